from __future__ import annotations

import asyncio

import pytest

from runtime_core.engine.toolbox import SourceToolbox
from runtime_core.errors import NotFound, UpstreamUnavailable
from runtime_core.types import ToolRequest, Value


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
