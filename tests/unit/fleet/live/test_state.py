"""What those see who look at the fleet, or watch it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest

from runtime_core.bus import MemoryBus
from runtime_core.errors import SubscriptionLost, UpstreamUnavailable
from runtime_core.fleet.catalog import Catalog
from runtime_core.fleet.connecting import Connector
from runtime_core.fleet.reconciler import Reconciler
from runtime_core.fleet.state import LiveState
from runtime_core.types import ModelInfo


@pytest.fixture
def fleet(reader, FakePuller):
    @asynccontextmanager
    async def run(*, queue_size=100, providers=None):
        async with httpx.AsyncClient() as client:
            made = {} if providers is None else providers

            def build(config, client):
                made[config.name] = FakePuller("m", memory=["m"])
                return made[config.name]

            catalog = Catalog([], period=3600)
            reconciler = Reconciler(
                "default", catalog, Connector({"fake": build}, client), reader, MemoryBus()
            )
            state = LiveState(catalog, reconciler, queue_size=queue_size)
            state.catalog = catalog
            async with reconciler, catalog:
                yield state

    return run


async def test_a_state_says_all_there_is(fleet, reader, stored, declared, until):
    reader.declare(stored("a", type="FAKE"), models=[declared("x"), declared("m")])
    async with fleet() as state:
        assert not state.states("default")[0].reachable
        await until(lambda: state.states("default")[0].reachable)
        (one,) = state.states("default")
    assert (one.id, one.name, one.type, one.base_url) == ("id-a", "a", "FAKE", "http://a")
    assert one.models == (ModelInfo("m", 100, can_prompt=False, can_stream=False),)
    assert (one.wanted, one.loaded) == (("m", "x"), ("m",))
    assert one.latency is not None
    assert 0 <= one.latency < 5
    assert (one.error, one.error_at) == ("", "")
    assert one.checked_at.endswith("Z")
    assert one.created_at == "2026-01-02T03:04:05.000006Z"
    assert (one.breaker, one.in_flight) == ("closed", 0)


async def test_other_tenants_see_nothing(fleet, reader, stored):
    reader.declare(stored("a"))
    async with fleet() as state:
        assert state.states("other") == ()
        reads = reader.reads
        await state.changed("other")
        state.look("other", "id-a")
        with state.using("other", "id-a") as theirs, state.using("default", "id-b") as missing:
            assert (theirs, missing) == (None, None)
        with state.using("default", "id-a") as ours:
            assert ours is not None
        assert state.place_of("other", "id-a") is None
        assert state.place_of("default", "id-a") == "http://a"
        assert reader.reads == reads


async def test_a_watcher_sees_what_is_and_then_every_change(fleet, reader, stored, until):
    reader.declare(stored("a"), stored("b"))
    providers = {}
    async with fleet(providers=providers) as state:
        await until(lambda: all(one.reachable for one in state.states("default")))
        async with aclosing(state.watch("default")) as changes, asyncio.timeout(5):
            assert {(await anext(changes)).id, (await anext(changes)).id} == {"id-a", "id-b"}

            reader.declare(stored("a"))
            await state.changed("default")
            assert await anext(changes) == "id-b"

            providers["a"].listing = UpstreamUnavailable("refused")
            state.look("default", "id-a")
            down = await anext(changes)
            assert (down.id, down.reachable, down.error) == ("id-a", False, "refused")
            assert down.error_at

            state.catalog.get("id-a").breaker = "open"
            assert (await anext(changes)).breaker == "open"

            reader.declare(stored("a"), stored("c"))
            await state.changed("default")
            new = await anext(changes)
            assert (new.id, new.reachable) == ("id-c", False)
            listed = await anext(changes)
            assert (listed.id, listed.reachable) == ("id-c", True)


async def test_looking_alone_is_no_change(fleet, reader, stored, until):
    reader.declare(stored("a"))
    providers = {}
    async with fleet(providers=providers) as state:
        await until(lambda: state.states("default")[0].reachable)
        before = state.states("default")[0].checked_at
        async with aclosing(state.watch("default")) as changes:
            await anext(changes)
            state.look("default", "id-a")
            await until(lambda: state.states("default")[0].checked_at > before)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 0.02)


async def test_a_watcher_that_is_too_slow_is_ended_not_skipped(fleet, reader, stored, until):
    reader.declare(stored("a"))
    async with fleet(queue_size=2) as state:
        await until(lambda: state.states("default")[0].reachable)
        async with aclosing(state.watch("default")) as slow:
            await anext(slow)
            for breaker in ("open", "half_open", "closed", "open"):
                state.catalog.get("id-a").breaker = breaker
            assert [(await anext(slow)).breaker for _ in range(2)] == ["open", "half_open"]
            with pytest.raises(SubscriptionLost, match="more than 2 changes"):
                await anext(slow)


async def test_a_watcher_that_left_costs_nothing(fleet, reader, stored):
    reader.declare(stored("a"))
    async with fleet() as state:
        changes = state.watch("default")
        await anext(changes)
        assert len(state._watchers) == 1
        await changes.aclose()
        assert not state._watchers
