from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from runtime_core.bus import MemoryBus
from runtime_core.errors import DatabaseUnavailable, NotFound, SubscriptionLost, UpstreamUnavailable
from runtime_core.storage.cache import ChainCache
from runtime_core.types import Chain, Page, StoredChain

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class MemoryChains:
    """A chain store that counts reads, and can be held up or broken."""

    def __init__(self) -> None:
        self.bodies: dict[tuple[str, str], str] = {}
        self.reads = 0
        self.open = asyncio.Event()
        self.open.set()
        self.reading = asyncio.Event()
        self.failure: Exception | None = None

    async def get(self, tenant_id: str, chain_id: str) -> StoredChain:
        self.reads += 1
        body = self.bodies.get((tenant_id, chain_id))
        self.reading.set()
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        if body is None:
            raise NotFound(f"task chain {chain_id!r} not found")
        return StoredChain(
            chain=Chain(id=chain_id, description=body), created_at=NOW, updated_at=NOW
        )

    async def put(self, tenant_id: str, chain: Chain) -> StoredChain:
        self.bodies[tenant_id, chain.id] = chain.description
        if self.failure is not None:
            raise self.failure
        return StoredChain(chain=chain, created_at=NOW, updated_at=NOW)

    update = put

    async def delete(self, tenant_id: str, chain_id: str) -> None:
        del self.bodies[tenant_id, chain_id]

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[StoredChain]:
        return Page([await self.get(*key) for key in self.bodies if key[0] == tenant_id][:limit])


@pytest.fixture
async def store() -> MemoryChains:
    store = MemoryChains()
    store.bodies["t", "a"] = "1"
    return store


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def settle() -> None:
    """Let everything that can run now run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_identical_object_is_returned_without_another_read(store):
    async with ChainCache(store, MemoryBus()) as cache:
        first = await cache.get("t", "a")
        assert all([await cache.get("t", "a") is first for _ in range(10)])
    assert store.reads == 1


async def test_tenants_do_not_see_each_other(store):
    store.bodies["u", "a"] = "other"
    async with ChainCache(store, MemoryBus()) as cache:
        assert (await cache.get("t", "a")).chain.description == "1"
        assert (await cache.get("u", "a")).chain.description == "other"
        with pytest.raises(NotFound):
            await cache.get("v", "a")


@pytest.mark.parametrize("write", ["put", "update"])
async def test_a_write_here_is_seen_at_once(store, write):
    async with ChainCache(store, MemoryBus()) as cache:
        await cache.get("t", "a")
        stored = await getattr(cache, write)("t", Chain(id="a", description="2"))

        assert stored.chain.description == "2"
        assert (await cache.get("t", "a")).chain.description == "2"


async def test_a_delete_here_is_seen_at_once(store):
    async with ChainCache(store, MemoryBus()) as cache:
        await cache.get("t", "a")
        await cache.delete("t", "a")

        with pytest.raises(NotFound):
            await cache.get("t", "a")


async def test_a_write_in_another_replica_is_seen_when_the_bus_rings(store):
    bus = MemoryBus()
    async with ChainCache(store, bus) as cache, ChainCache(store, bus) as other:
        await cache.get("t", "a")
        await other.put("t", Chain(id="a", description="2"))
        await settle()

        assert (await cache.get("t", "a")).chain.description == "2"


async def test_one_write_forgets_one_chain_of_one_tenant(store):
    bus = MemoryBus()
    store.bodies.update({("t", "b"): "b", ("u", "a"): "u"})
    async with ChainCache(store, bus) as cache, ChainCache(store, bus) as other:
        kept = [await cache.get("t", "b"), await cache.get("u", "a")]
        await other.put("t", Chain(id="a", description="2"))
        await settle()

        assert [await cache.get("t", "b"), await cache.get("u", "a")] == kept
        assert store.reads == 2


class LateBus(MemoryBus):
    """Delivers what was published when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[str, bytes]] = []

    async def publish(self, subject: str, payload: bytes) -> None:
        self.held.append((subject, payload))

    async def deliver(self) -> None:
        for subject, payload in self.held:
            await super().publish(subject, payload)


async def test_the_own_ring_costs_nothing(store):
    bus = LateBus()
    async with ChainCache(store, bus) as cache:
        await cache.put("t", Chain(id="a", description="2"))
        stored = await cache.get("t", "a")
        await bus.deliver()
        await settle()

        assert await cache.get("t", "a") is stored
    assert store.reads == 1


@pytest.mark.parametrize("tenant", ["default", "a b", "a.b", "*", ">", "", "ü", "\ud800"])
async def test_the_subject_takes_any_tenant(store, tenant):
    bus = MemoryBus()
    async with bus.subscribe("chains.changed.*") as heard, ChainCache(store, bus) as cache:
        await cache.put(tenant, Chain(id="a"))
        await bus.aclose()

        # half of a surrogate pair is not JSON: other replicas wait for the chain's age
        assert len([payload async for payload in heard]) == (tenant != "\ud800")


async def test_an_old_entry_is_read_again_and_stays_the_same_object_when_nothing_changed(
    store, clock
):
    async with ChainCache(store, MemoryBus(), max_age=5, clock=clock) as cache:
        first = await cache.get("t", "a")
        clock.now = 4.9
        await cache.get("t", "a")
        assert store.reads == 1

        clock.now = 5.0
        assert await cache.get("t", "a") is first
        assert store.reads == 2

        store.bodies["t", "a"] = "written by a process that rang no bell"
        clock.now = 9.9
        assert await cache.get("t", "a") is first
        clock.now = 10.0
        assert (await cache.get("t", "a")).chain.description != "1"

        del store.bodies["t", "a"]
        clock.now = 15.0
        with pytest.raises(NotFound):
            await cache.get("t", "a")


async def test_the_cache_is_bounded(store):
    store.bodies.update({("t", str(number)): "x" for number in range(10)})
    async with ChainCache(store, MemoryBus(), size=3) as cache:
        for number in range(10):
            await cache.get("t", str(number))
        store.reads = 0
        for number in (9, 8, 7):
            await cache.get("t", str(number))
        assert store.reads == 0
        await cache.get("t", "6")
        assert store.reads == 1
        assert len(cache._entries) == 3


async def test_many_who_ask_at_once_share_one_read(store):
    async with ChainCache(store, MemoryBus()) as cache:
        store.open.clear()
        asking = [asyncio.create_task(cache.get("t", "a")) for _ in range(50)]
        await settle()
        store.open.set()

        assert len({id(stored) for stored in await asyncio.gather(*asking)}) == 1
    assert store.reads == 1


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(store):
    async with ChainCache(store, MemoryBus()) as cache:
        store.open.clear()
        impatient, patient = (asyncio.create_task(cache.get("t", "a")) for _ in range(2))
        await store.reading.wait()
        impatient.cancel()
        await settle()
        store.open.set()

        assert (await patient).chain.description == "1"
        assert impatient.cancelled()


async def test_a_failure_nobody_waits_for_is_quiet(store):
    async with ChainCache(store, MemoryBus()) as cache:
        store.open.clear()
        store.failure = DatabaseUnavailable("gone")
        impatient = asyncio.create_task(cache.get("t", "a"))
        await store.reading.wait()
        impatient.cancel()
        store.open.set()
        await settle()


async def test_a_read_that_began_before_a_write_is_not_kept(store):
    async with ChainCache(store, MemoryBus()) as cache:
        store.open.clear()
        early = asyncio.create_task(cache.get("t", "a"))
        await store.reading.wait()
        await cache.put("t", Chain(id="a", description="2"))
        late = asyncio.create_task(cache.get("t", "a"))
        await settle()
        store.open.set()

        assert (await early).chain.description == "1"
        assert (await late).chain.description == "2"
        assert (await cache.get("t", "a")).chain.description == "2"
        assert store.reads == 2


async def test_a_read_that_ends_after_a_write_is_not_kept_either(store):
    async with ChainCache(store, MemoryBus()) as cache:
        store.open.clear()
        early = asyncio.create_task(cache.get("t", "a"))
        await store.reading.wait()
        await cache.put("t", Chain(id="a", description="2"))
        store.open.set()

        assert (await early).chain.description == "1"
        assert (await cache.get("t", "a")).chain.description == "2"


async def test_a_cancelled_write_is_forgotten_when_it_is_over(store):
    class SlowChains(MemoryChains):
        async def put(self, tenant_id: str, chain: Chain) -> StoredChain:
            await self.open.wait()
            return await super().put(tenant_id, chain)

    slow = SlowChains()
    slow.bodies["t", "a"] = "1"
    async with ChainCache(slow, MemoryBus()) as cache:
        slow.open.clear()
        writing = asyncio.create_task(cache.put("t", Chain(id="a", description="2")))
        await settle()
        writing.cancel()
        await settle()
        assert writing.cancelled()
        slow.open.set()
        before = asyncio.create_task(cache.get("t", "a"))
        await settle()

        assert (await before).chain.description in ("1", "2")
        assert (await cache.get("t", "a")).chain.description == "2"


async def test_a_write_that_failed_half_way_is_forgotten_too(store):
    async with ChainCache(store, MemoryBus()) as cache:
        await cache.get("t", "a")
        store.failure = DatabaseUnavailable("was it committed?")
        with pytest.raises(DatabaseUnavailable):
            await cache.put("t", Chain(id="a", description="2"))
        store.failure = None

        assert (await cache.get("t", "a")).chain.description == "2"


async def test_a_failed_read_is_not_kept(store):
    async with ChainCache(store, MemoryBus()) as cache:
        store.failure = DatabaseUnavailable("gone")
        with pytest.raises(DatabaseUnavailable):
            await cache.get("t", "a")
        store.failure = None

        assert (await cache.get("t", "a")).chain.description == "1"


async def test_listings_come_from_the_store(store):
    async with ChainCache(store, MemoryBus()) as cache:
        store.bodies["t", "b"] = "2"
        assert [stored.chain.id for stored in (await cache.list("t", limit=5)).items] == ["a", "b"]


class BrokenBus(MemoryBus):
    """Fails to publish, and ends its first subscriptions with an error."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.subscribed = asyncio.Event()

    async def publish(self, subject: str, payload: bytes) -> None:
        raise UpstreamUnavailable("no bus")

    def subscribe(self, subject):
        if self.failures:
            self.failures -= 1
            raise SubscriptionLost("no bus")
        self.subscribed.set()
        return super().subscribe(subject)


async def test_a_broken_bus_breaks_no_write_and_says_what_it_costs(store, caplog):
    async with ChainCache(store, BrokenBus(0), max_age=7) as cache:
        await cache.put("t", Chain(id="a", description="2"))

        assert (await cache.get("t", "a")).chain.description == "2"
    assert "task chain 'a' only after 7 s: no bus" in caplog.text


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_lost_subscription_is_taken_up_again_with_an_empty_cache(store, failures, caplog):
    bus = BrokenBus(failures)
    async with asyncio.timeout(5), ChainCache(store, bus, retry_after=0.001) as cache:
        await cache.get("t", "a")
        await bus.subscribed.wait()
        await settle()
        await cache.get("t", "a")
    assert store.reads == 2
    assert "not hearing of changed task chains" in caplog.text


async def test_a_cache_that_fell_behind_forgets_everything(store):
    bus = MemoryBus(queue_size=1)
    async with asyncio.timeout(5), ChainCache(store, bus, retry_after=0.001) as cache:
        await cache.get("t", "a")
        store.bodies["t", "a"] = "2"
        for _ in range(3):
            await bus.publish("chains.changed.t", b'["x","t","b"]')
        await settle()

        assert (await cache.get("t", "a")).chain.description == "2"


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'["a"]'])
async def test_a_ring_that_makes_no_sense_forgets_everything(store, payload, caplog):
    bus = MemoryBus()
    async with ChainCache(store, bus) as cache:
        await cache.get("t", "a")
        await bus.publish("chains.changed.t", payload)
        await settle()
        await cache.get("t", "a")
    assert store.reads == 2
    assert "makes no sense" in caplog.text


async def test_leaving_leaves_no_task_behind(store):
    before = asyncio.all_tasks()
    async with ChainCache(store, MemoryBus()) as cache:
        store.open.clear()
        asking = asyncio.create_task(cache.get("t", "a"))
        await store.reading.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert asyncio.all_tasks() == before
