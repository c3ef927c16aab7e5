"""What a call does on its way: failover, breakers, budgets, and the record of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from runtime_core.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    NoBackendAvailable,
    TimedOut,
    UpstreamContextExceeded,
    UpstreamDisconnected,
    UpstreamModelNotFound,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamUnauthenticated,
    UpstreamUnavailable,
)
from runtime_core.fleet.backend import Backend
from runtime_core.fleet.breaker import BreakerLimits
from runtime_core.fleet.catalog import Catalog
from runtime_core.fleet.gateway import FleetGateway
from runtime_core.fleet.policies import RoundRobin
from runtime_core.fleet.search import Budget
from runtime_core.types import (
    BackendConfig,
    ChatChunk,
    ChatRequest,
    Embeddings,
    Message,
    ModelInfo,
    Routed,
    Wanted,
)

DOWN = UpstreamUnavailable("down")
WHOLE = (ChatChunk("a"), ChatChunk("b", finish_reason="stop"))
HALF = (ChatChunk("a"), UpstreamProtocolError("broke off"))
HANG = "hang"


class Provider:
    """Plays its scripts, one a call, the last one again and again: chunks, errors, HANG."""

    def __init__(self, *scripts, models=("m",)):
        self.scripts = list(scripts) or [WHOLE]
        self.listed = [m if isinstance(m, ModelInfo) else ModelInfo(m) for m in models]
        self.asked = 0
        self.open = 0
        self.hanging = asyncio.Event()

    async def models(self):
        return self.listed

    def _script(self):
        self.asked += 1
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]

    async def _play(self, step):
        if step == HANG:
            self.hanging.set()
            await asyncio.Event().wait()
        if isinstance(step, Exception):
            raise step
        return step

    async def chat(self, request):
        self.open += 1
        try:
            for step in self._script():
                yield await self._play(step)
        finally:
            self.open -= 1

    async def embed(self, model, texts):
        for step in self._script():
            await self._play(step)
        return Embeddings([[1.0]] * len(texts), model)

    async def aclose(self):
        pass


@asynccontextmanager
async def fleet(*, router=None, budget=None, priorities=(), groups=None, tokens=None, **providers):
    groups = groups or {}
    backends = [
        Backend(
            BackendConfig(
                name=name,
                type="x",
                base_url=f"http://{name}",
                priority=priorities[n] if priorities else 0,
            ),
            provider,
            **({"groups": frozenset(groups[name])} if name in groups else {}),
        )
        for n, (name, provider) in enumerate(providers.items())
    ]
    async with Catalog(backends, period=3600) as catalog:
        gateway = FleetGateway(catalog, {}, router=router, budget=budget, tokens=tokens)
        await gateway.models()
        yield gateway
        assert [backend.in_flight for backend in catalog.backends] == [0] * len(backends)
        assert [provider.open for provider in providers.values()] == [0] * len(backends)


async def ask(gateway, *models, whole=False, tokens=0, role="chat"):
    wanted = Wanted(role, models or ("m",), context_tokens=tokens, whole=whole)
    routed, *chunks = [item async for item in gateway.chat(wanted, REQUEST)]
    assert isinstance(routed, Routed)
    return routed, "".join(chunk.text for chunk in chunks)


REQUEST = ChatRequest(model="", messages=())


# -------------------------------------------------------------------------
# Failover
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        TimedOut("late"),
        UpstreamRateLimited("slow down"),
        UpstreamProtocolError("nonsense"),
        UpstreamUnauthenticated("bad key"),
        UpstreamModelNotFound("no such model"),
    ],
)
async def test_the_next_one_stands_in_and_the_record_says_why(error):
    async with fleet(bad=Provider([error]), good=Provider()) as gateway:
        routed, text = await ask(gateway)
        assert (routed.backend, routed.attempts, text) == ("good", 2, "ab")
        [failed] = routed.failed
        assert (failed.backend, failed.provider, failed.model) == ("bad", "x", "m")
        assert (failed.code, failed.reason) == (error.code, error.message)
        assert 0 <= failed.seconds <= routed.route_seconds
        embedded, _ = await gateway.embed(Wanted("embed", ("m",)), ["x"])
        assert (embedded.backend, embedded.attempts) == ("good", 2)


async def test_a_prompt_that_is_too_long_goes_nowhere_else():
    good = Provider()
    async with fleet(bad=Provider([UpstreamContextExceeded("long")]), good=good) as gateway:
        for _ in range(9):
            with pytest.raises(UpstreamContextExceeded):
                await ask(gateway)
    assert good.asked == 0


async def test_an_error_of_the_request_itself_goes_nowhere_else():
    good = Provider()
    async with fleet(bad=Provider([InvalidRequest("no such image")]), good=good) as gateway:
        with pytest.raises(InvalidRequest):
            await ask(gateway)
    assert good.asked == 0


async def test_chunks_that_say_nothing_are_no_beginning():
    bad = Provider([ChatChunk(""), ChatChunk(""), DOWN])
    async with fleet(bad=bad, good=Provider()) as gateway:
        assert (await ask(gateway))[0].backend == "good"


@pytest.mark.parametrize("script", [[], [ChatChunk("")], [ChatChunk("a")]])
async def test_a_whole_answer_has_an_end(script):
    async with fleet(bad=Provider(script), good=Provider()) as gateway:
        routed, text = await ask(gateway, whole=True)
        assert (routed.backend, text) == ("good", "ab")


async def test_an_answer_that_breaks_off_is_begun_anew_when_nobody_has_seen_it():
    async with fleet(bad=Provider(HALF), good=Provider()) as gateway:
        routed, text = await ask(gateway, whole=True)
        assert (routed.backend, routed.attempts, text) == ("good", 2, "ab")


async def test_an_answer_that_somebody_has_seen_is_not_begun_anew():
    good = Provider()
    async with fleet(bad=Provider(HALF), good=good) as gateway:
        with pytest.raises(UpstreamProtocolError, match="broke off"):
            await ask(gateway)
    assert good.asked == 0


async def test_when_all_fail_the_error_names_them_all():
    bad, worse = Provider([UpstreamRateLimited("slow down", retry_after=7)]), Provider([DOWN])
    async with fleet(bad=bad, worse=worse) as gateway:
        with pytest.raises(UpstreamUnavailable) as caught:
            await ask(gateway)
    assert caught.value.message == "2 attempts failed: bad (m): slow down; worse (m): down"


async def test_an_error_worth_another_try_is_preferred_to_one_that_is_not():
    bad, refusing = Provider([DOWN]), Provider([UpstreamUnauthenticated("bad key")])
    async with fleet(bad=bad, refusing=refusing) as gateway:
        with pytest.raises(UpstreamUnavailable, match="bad key"):
            await ask(gateway)


async def test_one_failure_is_told_as_it_is():
    async with fleet(bad=Provider([DOWN])) as gateway:
        with pytest.raises(UpstreamUnavailable) as caught:
            await ask(gateway)
    assert caught.value is DOWN


# -------------------------------------------------------------------------
# Connections that were kept open for too long
# -------------------------------------------------------------------------


async def test_a_stale_connection_is_no_failure_of_the_backend():
    provider = Provider([UpstreamDisconnected("closed")], WHOLE)
    budget = Budget(breaker=BreakerLimits(failures=1))
    async with fleet(budget=budget, b=provider, other=Provider()) as gateway:
        routed, text = await ask(gateway)
        assert (routed.backend, routed.attempts, text) == ("b", 2, "ab")
        assert (await ask(gateway))[0].attempts == 1


async def test_a_second_broken_connection_is_one():
    provider = Provider([UpstreamDisconnected("closed")])
    async with fleet(b=provider, other=Provider()) as gateway:
        routed, _ = await ask(gateway)
    assert (routed.backend, routed.attempts, provider.asked) == ("other", 3, 2)


async def test_a_backend_that_refuses_is_not_asked_twice():
    provider = Provider([DOWN])
    async with fleet(b=provider) as gateway:
        with pytest.raises(UpstreamUnavailable):
            await ask(gateway)
    assert provider.asked == 1


# -------------------------------------------------------------------------
# Breakers
# -------------------------------------------------------------------------


async def test_a_backend_that_fails_again_and_again_rests():
    bad = Provider([DOWN])
    async with fleet(bad=bad, good=Provider()) as gateway:
        attempts = [(await ask(gateway))[0].attempts for _ in range(8)]
        backend = gateway._catalog.backends[0]
        assert attempts == [2, 2, 2, 2, 2, 1, 1, 1]
        assert (bad.asked, backend.breaker) == (5, "open")
        gateway.forgive()
        assert backend.breaker == "closed"
        assert (await ask(gateway))[0].attempts == 2


async def test_when_all_rest_the_error_says_until_when():
    budget = Budget(breaker=BreakerLimits(failures=1, cool_down=20))
    async with fleet(budget=budget, b=Provider([DOWN])) as gateway:
        with pytest.raises(UpstreamUnavailable):
            await ask(gateway)
        with pytest.raises(NoBackendAvailable, match=r"b, for \d+\.\d s more, .*: down") as caught:
            await ask(gateway)
    assert caught.value.retry_after == pytest.approx(20, abs=2)


async def test_a_backend_that_asked_for_patience_gets_it_and_the_client_is_told():
    provider = Provider([UpstreamRateLimited("slow down", retry_after=30)])
    async with fleet(b=provider) as gateway:
        for _ in range(2):
            with pytest.raises(UpstreamRateLimited) as caught:
                await ask(gateway)
            assert caught.value.retry_after == pytest.approx(30, abs=2)
    assert provider.asked == 1


async def test_after_its_rest_one_call_tries_it():
    provider = Provider([DOWN], [HANG])
    budget = Budget(breaker=BreakerLimits(failures=1, cool_down=0.01))
    async with fleet(budget=budget, b=provider, good=Provider()) as gateway:
        await ask(gateway)
        await asyncio.sleep(0.02)
        probe = asyncio.create_task(ask(gateway))
        await provider.hanging.wait()
        assert (await ask(gateway))[0].backend == "good"
        assert gateway._catalog.backends[0].breaker == "half_open"
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        provider.scripts = [WHOLE]
        assert (await ask(gateway))[0].backend == "b"
        assert gateway._catalog.backends[0].breaker == "closed"


async def test_a_refused_key_does_not_make_a_backend_rest():
    refusing = Provider([UpstreamUnauthenticated("bad key")])
    async with fleet(refusing=refusing, good=Provider()) as gateway:
        for _ in range(9):
            await ask(gateway)
    assert refusing.asked == 9


async def test_a_stream_that_always_breaks_off_makes_a_backend_rest():
    async with fleet(bad=Provider(HALF), good=Provider()) as gateway:
        for _ in range(5):
            with pytest.raises(UpstreamProtocolError):
                await ask(gateway)
        assert (await ask(gateway))[0].backend == "good"


# -------------------------------------------------------------------------
# Budgets
# -------------------------------------------------------------------------


async def test_attempts_are_limited():
    providers = {f"b{n}": Provider([DOWN]) for n in range(9)}
    async with fleet(budget=Budget(attempts=3), **providers) as gateway:
        with pytest.raises(UpstreamUnavailable, match="3 attempts failed"):
            await ask(gateway)
    assert [provider.asked for provider in providers.values()] == [1, 1, 1] + [0] * 6


async def test_a_silent_backend_is_given_up_for_the_next():
    async with fleet(budget=Budget(silence=0.02), b=Provider([HANG]), good=Provider()) as gateway:
        routed, _ = await ask(gateway)
        assert routed.backend == "good"
        assert routed.failed[0].reason == "b did not begin to answer within 0.02 s"
        assert routed.route_seconds >= 0.02
        assert (await gateway.embed(Wanted("embed", ("m",)), ["x"]))[0].backend == "good"


async def test_a_stream_that_falls_silent_times_out():
    async with fleet(budget=Budget(silence=0.02), b=Provider([ChatChunk("a"), HANG])) as gateway:
        with pytest.raises(TimedOut, match=r"b stopped .* within 0\.02 s"):
            await ask(gateway)


async def test_a_slow_client_is_not_a_silent_backend():
    async with fleet(budget=Budget(silence=0.02), b=Provider()) as gateway:
        stream = gateway.chat(Wanted("chat", ("m",)), REQUEST)
        async for _ in stream:
            await asyncio.sleep(0.05)


async def test_the_search_ends_in_time_and_names_who_was_asked():
    providers = {f"b{n}": Provider([HANG]) for n in range(9)}
    budget = Budget(attempts=9, seconds=0.1, silence=0.04)
    async with fleet(budget=budget, **providers) as gateway, asyncio.timeout(5):
        with pytest.raises(TimedOut, match=r"within 0\.1 s; tried: b0 \(m\): .*; b1 \(m\): "):
            await ask(gateway)
    assert sum(provider.asked for provider in providers.values()) == 3


async def test_the_time_an_answer_takes_is_not_the_searchs():
    slow = Provider([ChatChunk("a"), HANG])
    budget = Budget(seconds=0.1, silence=0.15)
    async with fleet(budget=budget, slow=slow, good=Provider()) as gateway:
        assert (await ask(gateway, whole=True))[0].backend == "good"


# -------------------------------------------------------------------------
# What is counted
# -------------------------------------------------------------------------


async def test_calls_in_flight_are_counted_until_they_are_left():
    async with fleet(b=Provider()) as gateway:
        [backend] = gateway._catalog.backends
        stream = gateway.chat(Wanted("chat", ("m",)), REQUEST)
        await anext(stream)
        assert backend.in_flight == 1
        await stream.aclose()
        assert backend.in_flight == 0


async def test_a_call_cancelled_before_its_answer_is_over():
    provider = Provider([HANG])
    async with fleet(b=provider) as gateway:
        task = asyncio.create_task(ask(gateway))
        await provider.hanging.wait()
        assert gateway._catalog.backends[0].in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_provider_that_breaks_leaves_nothing_behind():
    async with fleet(b=Provider([KeyError("oops")])) as gateway:
        with pytest.raises(KeyError):
            await ask(gateway)


async def test_round_robin_takes_turns_among_equals_only():
    providers = {name: Provider() for name in ("a", "b", "spare")}
    async with fleet(router=RoundRobin(), priorities=(0, 0, 5), **providers) as gateway:
        asked = [(await ask(gateway))[0].backend for _ in range(4)]
        assert asked == ["a", "b", "a", "b"]


# -------------------------------------------------------------------------
# Groups
# -------------------------------------------------------------------------


async def test_groups_say_which_roles_a_backend_serves():
    groups = {"tasks": ["internal_tasks_group"], "own": ["mine"], "none": []}
    providers = {name: Provider() for name in groups}
    async with fleet(groups=groups, **providers) as gateway:
        assert (await ask(gateway, role="task"))[0].backend == "tasks"
        assert (await ask(gateway, role="chat"))[0].backend == "own"
        names = [c.backend.config.name for c in await gateway.candidates(Wanted("task", ("m",)))]
        assert names == ["tasks", "own"]


@pytest.mark.parametrize(
    ("error", "looked"),
    [
        (DOWN, True),
        (UpstreamDisconnected("closed"), True),
        (UpstreamRateLimited("slow down"), False),
        (UpstreamModelNotFound("no such model"), False),
        (TimedOut("late"), False),
    ],
)
async def test_what_says_that_a_backend_is_gone(error, looked):
    async with fleet(gone=Provider([error]), spare=Provider()) as gateway:
        suspected = []
        for backend in gateway._catalog.backends:
            backend.on_suspicion = suspected.append
        await ask(gateway)
        assert [backend.config.name for backend in suspected] == ["gone"] * looked


async def test_a_connection_that_was_kept_open_for_too_long_says_nothing():
    scripts = [UpstreamDisconnected("closed")], WHOLE
    async with fleet(one=Provider(*scripts)) as gateway:
        suspected = []
        gateway._catalog.backends[0].on_suspicion = suspected.append
        await ask(gateway)
        assert suspected == []


# -------------------------------------------------------------------------
# How long the prompt is
# -------------------------------------------------------------------------


class Count:
    """Counts as many tokens as it is told, and remembers whose."""

    def __init__(self, tokens):
        self.tokens = tokens
        self.asked = []

    async def count_messages(self, messages, model=""):
        self.asked.append((messages, model))
        return self.tokens


async def routed_by(count, estimated, *, counted=False):
    """Ask fleets of a model with 100 tokens and one with 400 of the same name."""
    lengths = {"short": 100, "long": 400}
    providers = {
        name: Provider(models=[ModelInfo("m", length)]) for name, length in lengths.items()
    }
    request = ChatRequest(model="", messages=(Message(role="user", content="hi"),))
    async with fleet(tokens=count, **providers) as gateway:
        wanted = Wanted("chat", ("m",), context_tokens=estimated, counted=counted)
        routed, *_ = [item async for item in gateway.chat(wanted, request)]
        return routed.backend


async def test_a_prompt_that_may_not_fit_is_counted():
    assert await routed_by(Count(100), 399) == "short"
    count = Count(101)
    assert await routed_by(count, 26) == "long"
    [(messages, model)] = count.asked
    assert (messages[0].content, model) == ("hi", "m")
    with pytest.raises(ContextLengthExceeded, match="about 401 tokens"):
        await routed_by(Count(401), 26)


async def test_a_prompt_that_fits_whatever_its_tokens_is_not_counted():
    count = Count(101)
    assert await routed_by(count, 25) == "short"
    assert count.asked == []


async def test_what_was_counted_is_not_counted_again():
    count = Count(1)
    assert await routed_by(count, 101, counted=True) == "long"
    assert count.asked == []
