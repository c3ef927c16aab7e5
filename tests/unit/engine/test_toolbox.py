from __future__ import annotations

import asyncio
import contextlib

import pytest

from runtime_core.engine.toolbox import SourceToolbox
from runtime_core.errors import NotFound, UpstreamUnavailable
from runtime_core.types import HookInfo, ToolRequest, Value


@pytest.fixture
def source(bench):
    """Make a source of hooks, each with one tool that tells the source's name."""

    def make(name, *hooks):
        made = type(bench.hooks)()
        for hook in hooks:
            made.add(hook, "t", Value(name, "string"))
        return made

    return make


class Broken:
    def __init__(self, error):
        self.error = error

    async def hooks(self, tenant_id):
        raise self.error

    async def call(self, request):
        raise AssertionError("not to be called")


class Slow(Broken):
    async def hooks(self, tenant_id):
        await asyncio.Event().wait()


def call(hook: str, tool: str = "t") -> ToolRequest:
    return ToolRequest(hook=hook, tool=tool)


async def test_lists_all_sources_and_earlier_ones_win(source):
    two = source("two", "b", "c")
    two.add("b", "more", Value("two", "string"))
    toolbox = SourceToolbox({"one": source("one", "a", "b"), "two": two})
    listed = await toolbox.hooks("default")
    assert [hook.name for hook in listed] == ["a", "b", "c"]
    assert [tool.name for tool in listed[1].tools] == ["t"]
    assert (await toolbox.call(call("b"))).data == "one"
    assert (await toolbox.call(call("c"))).data == "two"


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (Broken(UpstreamUnavailable("refused")), "refused"),
        (Broken(KeyError("insides")), "failed unexpectedly"),
        (Slow(None), "no answer within 0.01 s"),
    ],
)
async def test_a_broken_source_is_one_row_with_its_error(source, broken, error):
    toolbox = SourceToolbox({"bad": broken, "good": source("good", "a")}, timeout=0.01)
    rows = {hook.name: hook for hook in await toolbox.hooks("default")}
    assert set(rows) == {"bad", "a"}
    assert rows["bad"].error == error
    assert rows["a"].error == ""
    assert (await toolbox.call(call("a"))).data == "good"


async def test_sources_are_listed_side_by_side(source):
    both = asyncio.Barrier(2)

    class Meeting(Broken):
        async def hooks(self, tenant_id):
            await both.wait()
            return []

    toolbox = SourceToolbox({"one": Meeting(None), "two": Meeting(None)}, timeout=5)
    assert list(await toolbox.hooks("default")) == []


async def test_an_unknown_hook_names_the_known_ones(source):
    with pytest.raises(NotFound, match="unknown hook 'x'; there are: a, b"):
        await SourceToolbox({"one": source("one", "a"), "two": source("two", "b")}).call(call("x"))
    with pytest.raises(NotFound, match="there are none"):
        await SourceToolbox({}).call(call("x"))


async def test_a_hook_that_may_be_in_a_broken_source_is_not_called_unknown(source):
    toolbox = SourceToolbox({"bad": Broken(UpstreamUnavailable("refused"))})
    with pytest.raises(UpstreamUnavailable, match=r"'x' was not found.*bad \(refused\)"):
        await toolbox.call(call("x"))


async def test_an_unknown_tool_is_the_sources_word(source):
    with pytest.raises(NotFound, match="no 'zz'"):
        await SourceToolbox({"one": source("one", "a")}).call(call("a", "zz"))


# -------------------------------------------------------------------------
# Sources that can find one hook
# -------------------------------------------------------------------------


class Finding:
    """A source that finds hooks, remembers for which it was asked, and can be made to wait."""

    def __init__(self, *hooks: str, gate: asyncio.Event | None = None) -> None:
        self.known = hooks
        self.asked: list[str] = []
        self.listed = 0
        self.gate = gate
        self.begun = asyncio.Event()
        self.stopped = 0

    async def hooks(self, tenant_id):
        self.listed += 1
        await self._wait()
        return [HookInfo(name=name, type="finding") for name in self.known]

    async def hook(self, tenant_id, name):
        self.asked.append(name)
        await self._wait()
        return HookInfo(name=name, type="finding") if name in self.known else None

    async def call(self, request):
        return Value("finding", "string")

    async def _wait(self):
        self.begun.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise


async def test_a_source_that_can_find_hooks_is_asked_for_those_named_only():
    finding = Finding("a", "b", "c")
    toolbox = SourceToolbox({"finding": finding})
    assert [hook.name for hook in await toolbox.hooks("default", ["b"])] == ["b"]
    assert [hook.name for hook in await toolbox.hooks("default", ["a", "x", "c"])] == ["a", "c"]
    assert (await toolbox.call(call("a"))).data == "finding"
    assert finding.asked == ["b", "a", "x", "c", "a"]
    assert finding.listed == 0


async def test_a_hook_that_breaks_its_lookup_is_its_own_row():
    class Partly(Finding):
        async def hook(self, tenant_id, name):
            if name.startswith("bad"):
                raise KeyError("insides")
            return await super().hook(tenant_id, name)

    toolbox = SourceToolbox({"partly": Partly("a", "b"), "later": Finding("bad")})
    rows = {hook.name: hook.error for hook in await toolbox.hooks("default", ["a", "bad", "b"])}
    assert rows == {"a": "", "bad": "failed unexpectedly", "b": ""}
    # where nothing can be found, the source itself is broken
    rows = {hook.name: hook.error for hook in await toolbox.hooks("default", ["bad"])}
    assert rows == {"partly": "failed unexpectedly", "bad": ""}
    assert (await toolbox.call(call("bad"))).data == "finding"


async def test_other_sources_are_listed_and_sifted(source):
    toolbox = SourceToolbox({"one": source("one", "a", "b", "c")})
    assert [hook.name for hook in await toolbox.hooks("default", ["c", "a"])] == ["a", "c"]


async def test_later_sources_are_not_asked_for_what_an_earlier_one_has(source):
    later = Finding("a")
    toolbox = SourceToolbox({"one": source("one", "a"), "later": later})
    assert (await toolbox.call(call("a"))).data == "one"
    await toolbox.hooks("default", ["a"])
    assert later.asked == []
    await toolbox.hooks("default", ["a", "z"])
    assert later.asked == ["a", "z"]


# -------------------------------------------------------------------------
# Sources that do not answer
# -------------------------------------------------------------------------


async def test_a_source_that_does_not_answer_does_not_keep_the_others_waiting(source):
    dead = Finding("b", gate=asyncio.Event())
    toolbox = SourceToolbox({"dead": dead, "one": source("one", "a")}, timeout=60, patience=0.02)
    async with asyncio.timeout(5):
        for _ in range(3):
            assert (await toolbox.call(call("a"))).data == "one"
        rows = {hook.name: hook.error for hook in await toolbox.hooks("default", ["a"])}
        assert rows == {"dead": "no answer within 0.02 s", "a": ""}
        # it was late, so that its own hooks are not waited for either, for a while
        with pytest.raises(UpstreamUnavailable, match=r"dead \(no answer within 0.02 s\)"):
            await toolbox.call(call("b"))
        assert {hook.name for hook in await toolbox.hooks("default")} == {"dead", "a"}
    assert dead.stopped == len(dead.asked) + dead.listed


async def test_a_source_that_answers_in_time_still_shadows_the_others(source):
    gate = asyncio.Event()
    slow = Finding("a", gate=gate)
    toolbox = SourceToolbox({"slow": slow, "one": source("one", "a")}, timeout=60, patience=60)
    asking = asyncio.create_task(toolbox.call(call("a")))
    await slow.begun.wait()
    gate.set()
    assert (await asking).data == "finding"


async def test_a_source_that_was_late_is_trusted_again(source):
    gate = asyncio.Event()
    slow = Finding("a", gate=gate)
    toolbox = SourceToolbox({"slow": slow}, timeout=0.02, patience=0.01)
    with pytest.raises(UpstreamUnavailable, match=r"no answer within 0\.02 s"):
        await toolbox.call(call("a"))
    gate.set()
    assert (await toolbox.call(call("a"))).data == "finding"


async def test_leaving_a_call_leaves_nothing_behind():
    before = asyncio.all_tasks()
    dead = Finding("a", gate=asyncio.Event())
    asking = asyncio.create_task(SourceToolbox({"dead": dead}, timeout=60).call(call("a")))
    await dead.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert dead.stopped == 1
    assert asyncio.all_tasks() == before


class Stubborn(Broken):
    """Refuses to be cancelled."""

    def __init__(self, gate: asyncio.Event) -> None:
        self.gate = gate

    async def hooks(self, tenant_id):
        while not self.gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.gate.wait()
        return []


async def test_a_source_that_refuses_to_stop_is_left_alone(source):
    gate = asyncio.Event()
    toolbox = SourceToolbox(
        {"stubborn": Stubborn(gate), "one": source("one", "a")}, timeout=0.02, patience=0.01
    )
    async with asyncio.timeout(5):
        rows = {hook.name: hook.error for hook in await toolbox.hooks("default")}
        assert rows == {"stubborn": "no answer within 0.02 s", "a": ""}
    gate.set()


@pytest.mark.parametrize("answer", [None, 5, ["no hook"]])
async def test_a_source_that_answers_nonsense_is_its_own_row(source, answer):
    class Odd(Broken):
        async def hooks(self, tenant_id):
            return answer

    toolbox = SourceToolbox({"odd": Odd(None), "one": source("one", "a")})
    rows = {hook.name: hook.error for hook in await toolbox.hooks("default", ["a", "b"])}
    assert rows == {"odd": "failed unexpectedly", "a": ""}


async def test_a_source_that_cancels_itself_is_its_own_row(source):
    toolbox = SourceToolbox({"odd": Broken(asyncio.CancelledError()), "one": source("one", "a")})
    rows = {hook.name: hook.error for hook in await toolbox.hooks("default")}
    assert rows == {"odd": "failed unexpectedly", "a": ""}


# -------------------------------------------------------------------------
# Sources that keep something open
# -------------------------------------------------------------------------


class Running:
    """A source that is open or not, and does *opening* and *closing* on the way."""

    def __init__(self, name, opening=None, closing=None):
        self.name, self.opening, self.closing = name, opening, closing
        self.is_open = False
        self.tasks = []

    @contextlib.asynccontextmanager
    async def running(self, services):
        self.tasks.append(asyncio.current_task())
        if self.opening is not None:
            await self.opening()
        self.is_open = True
        try:
            yield
        finally:
            self.tasks.append(asyncio.current_task())
            if self.closing is not None:
                await self.closing()
            self.is_open = False

    async def hooks(self, tenant_id):
        return [HookInfo(name=self.name, type="running")]

    async def call(self, request):
        return Value(self.name, "string")


def raises(error):
    async def fail():
        raise error

    return fail


async def hang():
    await asyncio.Event().wait()


async def test_sources_are_opened_and_closed_in_one_task_each(source):
    one, two = Running("one"), Running("two")
    toolbox = SourceToolbox({"one": one, "two": two, "plain": source("plain", "p")})
    before = asyncio.all_tasks()
    async with toolbox.running(None):
        assert (one.is_open, two.is_open) == (True, True)
        assert (await toolbox.call(call("two"))).data == "two"
    assert (one.is_open, two.is_open) == (False, False)
    assert one.tasks[0] is one.tasks[1]
    assert two.tasks[0] is two.tasks[1] is not one.tasks[0]
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("opening", "reason"),
    [
        (raises(UpstreamUnavailable("refused")), "refused"),
        (raises(KeyError("insides")), "failed unexpectedly"),
        (raises(asyncio.CancelledError()), "failed unexpectedly"),
        (raises(ExceptionGroup("several", [KeyError()])), "failed unexpectedly"),
        (hang, "no answer within 0.02 s"),
    ],
)
async def test_a_source_that_does_not_open_is_out(source, opening, reason, caplog):
    bad = Running("bad", opening)
    good = Running("good")
    toolbox = SourceToolbox({"broken": bad, "good": good}, timeout=0.02)
    async with toolbox.running(None):
        rows = {hook.name: hook.error for hook in await toolbox.hooks("default")}
        assert rows == {"broken": reason, "good": ""}
        assert (await toolbox.call(call("good"))).data == "good"
        with pytest.raises(UpstreamUnavailable, match=rf"broken \({reason}\)"):
            await toolbox.call(call("bad"))
    assert "hook source 'broken' cannot be used" in caplog.text
    assert (bad.is_open, good.is_open) == (False, False)


async def test_a_source_that_opens_for_too_long_is_stopped_at_once():
    stopped = asyncio.Event()

    async def stay():
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with SourceToolbox({"slow": Running("slow", stay)}, timeout=0.02).running(None):
        assert stopped.is_set()


async def test_a_source_that_cannot_even_be_entered_is_out():
    class Wrong(Running):
        def running(self, services):
            raise KeyError("insides")

    toolbox = SourceToolbox({"wrong": Wrong("w"), "good": Running("good")})
    async with toolbox.running(None):
        rows = {hook.name: hook.error for hook in await toolbox.hooks("default")}
    assert rows == {"wrong": "failed unexpectedly", "good": ""}


@pytest.mark.parametrize("closing", [raises(KeyError("insides")), hang])
async def test_a_source_that_does_not_close_does_not_keep_the_others_open(closing, caplog):
    bad, good = Running("bad", closing=closing), Running("good")
    async with SourceToolbox({"bad": bad, "good": good}, timeout=0.02).running(None):
        pass
    assert not good.is_open
    assert "closing failed" in caplog.text


async def test_what_fails_inside_closes_the_sources():
    one = Running("one")
    with pytest.raises(KeyError):
        async with SourceToolbox({"one": one}).running(None):
            raise KeyError
    assert not one.is_open
