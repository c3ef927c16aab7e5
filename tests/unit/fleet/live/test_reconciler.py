"""The backends there are follow what is declared, here and in other replicas."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from runtime_core.bus import MemoryBus
from runtime_core.errors import (
    DatabaseUnavailable,
    SettingsError,
    SubscriptionLost,
    UpstreamUnavailable,
)
from runtime_core.fleet.catalog import Catalog
from runtime_core.fleet.connecting import Connector, connect
from runtime_core.fleet.reconciler import Reconciler
from runtime_core.types import BackendConfig, Declarations, ModelInfo


class Replica:
    """One server's share of the fleet; remembers the providers it built."""

    def __init__(self, reader, make, *, static=(), bus=None, client=None, reread=3600.0):
        self.built = []
        self.make = make
        factories = {"fake": self.build, "Other": self.build}
        self.bus = bus or MemoryBus()
        self.catalog = Catalog(connect(static, factories, client), period=3600)
        self.reconciler = Reconciler(
            "default",
            self.catalog,
            Connector(factories, client),
            reader,
            self.bus,
            static=static,
            reread=reread,
            retry_after=0.001,
        )

    def build(self, config, client):
        provider = self.make(config)
        provider.config = config
        self.built.append(provider)
        return provider

    @contextlib.asynccontextmanager
    async def running(self):
        async with self.reconciler, self.catalog:
            yield self

    def names(self):
        return sorted(backend.config.name for backend in self.catalog.backends)

    def find(self, name):
        return next(b for b in self.catalog.backends if b.config.name == name)


@pytest.fixture
async def replica(reader, FakeProvider):
    clients = []

    def make(provider=lambda config: FakeProvider("m"), **options):
        clients.append(httpx.AsyncClient())
        return Replica(reader, provider, client=clients[-1], **options)

    yield make
    for client in clients:
        await client.aclose()


def static(name, **options):
    return BackendConfig(name=name, type="fake", base_url=f"http://{name}", **options)


async def test_stored_backends_in_a_group_serve_beside_those_of_the_settings(
    replica, reader, stored
):
    reader.declare(stored("in"), stored("out"))
    groups = frozenset({("g", "id-in")})
    reader.declared = Declarations(backends=reader.declared.backends, backend_groups=groups)
    async with replica(static=[static("fixed")]).running() as one:
        assert one.names() == ["fixed", "in"]
        assert one.find("in").groups == {"g"}
        assert one.find("in").id == "id-in"
        assert one.find("fixed").id == "static:fixed"
        assert one.find("fixed").serves("chat")


async def test_a_change_is_followed_at_once(replica, reader, stored, until):
    reader.declare(stored("a"), stored("b"))
    async with replica().running() as one:
        await until(lambda: not one.catalog.pending)
        kept, gone = one.find("a"), one.find("b")
        reader.declare(stored("a"), stored("c"))
        await one.reconciler.changed()
        assert one.names() == ["a", "c"]
        assert one.find("a") is kept
        await until(lambda: not one.catalog.pending)
        await until(lambda: gone.provider.closed)
        assert (kept.provider.listings, kept.provider.closed) == (1, 0)


@pytest.mark.parametrize("change", ["key", "url", "name", "type"])
async def test_a_changed_backend_gets_a_new_provider(replica, reader, stored, until, change):
    reader.declare(stored("a"))
    async with replica().running() as one:
        await until(lambda: not one.catalog.pending)
        old = one.find("a")
        same = stored("a")
        changed = {
            "key": lambda: reader.declare(same, keys=[("Fake", "sk-1")]),
            "url": lambda: reader.declare(stored("a", base_url="http://elsewhere")),
            "name": lambda: reader.declare(type(same)(**{**fields(same), "name": "z"})),
            "type": lambda: reader.declare(stored("a", type="OTHER")),
        }
        changed[change]()
        with old.calling():
            await one.reconciler.changed()
            (new,) = one.catalog.backends
            assert new is not old
            assert new.id == old.id
            assert old.provider.closed == 0
        await until(lambda: old.provider.closed == 1)
        await until(lambda: new.models)
    if change == "key":
        assert new.config.api_key == "sk-1"
    if change == "type":
        assert new.config.type == "Other"


def fields(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


async def test_an_own_key_beats_that_of_the_type(replica, reader):
    reader.declare(keys=[("fake", "stored")])
    backends = [static("own", api_key="own"), static("none")]
    async with replica(static=backends).running() as one:
        assert one.find("own").config.api_key == "own"
        assert one.find("none").config.api_key == "stored"


async def test_who_was_not_asked_for_makes_way_for_the_same_place(replica, reader, stored):
    default = BackendConfig(
        name="default", type="fake", base_url="http://127.0.0.1:7", implicit=True
    )
    fixed = BackendConfig(name="set", type="fake", base_url="http://127.0.0.1:7")
    async with replica(static=[default, fixed]).running() as one:
        assert one.names() == ["default", "set"]
        reader.declare(stored("mine", type="FAKE"))
        await one.reconciler.changed()
        assert one.names() == ["default", "mine", "set"]
        reader.declare(stored("mine", type="other", base_url="http://127.0.0.1:7"))
        await one.reconciler.changed()
        assert one.names() == ["default", "mine", "set"]
        reader.declare(stored("mine", type="FAKE", base_url="http://LocalHost:7/"))
        await one.reconciler.changed()
        assert one.names() == ["mine", "set"]
        reader.declare()
        await one.reconciler.changed()
        assert one.names() == ["default", "set"]


async def test_a_type_that_nobody_provides_is_an_error_of_that_backend(
    replica, reader, stored, until
):
    reader.declare(stored("a", type="nobody"), stored("b"))
    async with replica().running() as one:
        await until(lambda: not one.catalog.pending)
        assert "has type 'nobody'" in one.find("a").error
        assert "installed types: Other, fake" in one.find("a").error
        assert one.find("b").models


async def test_a_provider_that_refuses_its_configuration_is_an_error_of_that_backend(
    replica, reader, stored, until, FakeProvider
):
    def make(config):
        if config.name == "a":
            raise SettingsError("no such address")
        return FakeProvider("m")

    reader.declare(stored("a"), stored("b"))
    async with replica(make).running() as one:
        await until(lambda: not one.catalog.pending)
        assert one.find("a").error == "no such address"
        assert one.find("b").models


async def test_without_a_database_the_backends_of_the_settings_serve(
    replica, reader, stored, until
):
    reader.error = "locked"
    async with replica(static=[static("fixed")], reread=0.001).running() as one:
        assert one.names() == ["fixed"]
        await one.reconciler.changed()
        reader.declare(stored("a"))
        reader.error = None
        await until(lambda: one.names() == ["a", "fixed"])
        reader.error = "locked"
        await one.reconciler.changed()
        assert one.names() == ["a", "fixed"]


async def test_many_changes_at_once_are_one_reading_or_two(replica, reader, stored, until):
    async with replica().running() as one:
        reader.gate = asyncio.Event()
        reads = reader.reads
        first = asyncio.create_task(one.reconciler.changed())
        await until(lambda: reader.reads == reads + 1)
        reader.declare(stored("late"))
        others = [asyncio.create_task(one.reconciler.changed()) for _ in range(20)]
        await asyncio.sleep(0)
        reader.gate.set()
        await asyncio.gather(first, *others)
        assert one.names() == ["late"]
        assert reader.reads == reads + 2


async def test_a_client_that_leaves_does_not_stop_its_change(replica, reader, stored, until):
    async with replica().running() as one:
        reader.gate = asyncio.Event()
        reader.declare(stored("a"))
        caller = asyncio.create_task(one.reconciler.changed())
        await until(lambda: reader.reads == 2)
        caller.cancel()
        await asyncio.wait([caller])
        assert caller.cancelled()
        reader.gate.set()
        await until(lambda: one.names() == ["a"])


async def test_a_look_at_what_is_declared_needs_nothing_running(replica, reader, stored):
    reader.declare(stored("a"))
    one = replica()
    await one.reconciler.load()
    assert one.names() == ["a"]
    reader.error = "locked"
    with pytest.raises(DatabaseUnavailable):
        await one.reconciler.load()
    async with one.catalog:
        pass


class TestReplicas:
    async def test_one_hears_of_the_others_changes(self, replica, reader, stored, until):
        bus = MemoryBus()
        async with replica(bus=bus).running() as one, replica(bus=bus).running() as two:
            reader.declare(stored("a"))
            await one.reconciler.changed()
            await until(lambda: two.names() == ["a"])
            reads = reader.reads
            await asyncio.sleep(0.01)
            assert reader.reads == reads

    async def test_one_listing_serves_all(self, replica, reader, stored, until, FakeProvider):
        bus = MemoryBus()
        reader.declare(stored("a"))
        hanging = replica(lambda config: FakeProvider(listing=asyncio.Event()), bus=bus)
        async with hanging.running() as two:
            await two.find("a").provider.begun.wait()
            async with replica(bus=bus).running():
                await until(lambda: two.find("a").models == (ModelInfo("m"),))
        assert two.find("a").error == ""

    async def test_what_one_finds_later_goes_to_the_others(self, replica, reader, stored, until):
        bus = MemoryBus()
        reader.declare(stored("a"))
        async with replica(bus=bus).running() as one, replica(bus=bus).running() as two:
            await until(lambda: one.find("a").models and two.find("a").models)
            listings = two.find("a").provider.listings
            one.find("a").provider.listed = [ModelInfo("new")]
            one.reconciler.look("id-a")
            await until(lambda: two.find("a").models == (ModelInfo("new"),))
            assert two.find("a").provider.listings == listings

    async def test_nonsense_on_the_bus_is_passed_over(self, replica, reader, stored, until, caplog):
        reader.declare(stored("a"))
        async with replica().running() as one:
            await one.bus.publish("fleet.state.default", b"x" * 16 + b"{")
            await one.bus.publish("fleet.state.default", b"")
            await one.bus.publish("fleet.changed.default", b"")
            await until(lambda: reader.reads == 2)
            await until(lambda: one.find("a").models)
        assert caplog.text.count("makes no sense") == 2

    async def test_without_a_bus_every_replica_looks_for_itself(
        self, replica, reader, stored, until
    ):
        class Silent(MemoryBus):
            async def publish(self, subject, payload):
                raise OSError("no route to host")

        reader.declare(stored("a"))
        async with replica(bus=Silent()).running() as one:
            await one.reconciler.changed()
            await until(lambda: one.find("a").models)

    async def test_what_was_missed_while_the_bus_was_away_is_read(
        self, replica, reader, stored, until
    ):
        async with replica().running() as one:
            reader.declare(stored("a"))
            one.bus.lose("missed messages while the bus was away")
            await until(lambda: one.names() == ["a"])
            reader.declare(stored("b"))
            await one.bus.publish("fleet.changed.default", b"somebody")
            await until(lambda: one.names() == ["b"])

    async def test_a_lost_subscription_is_made_again(self, replica, reader, stored, until):
        class Forgetful(MemoryBus):
            subscriptions = 0

            def subscribe(self, subject):
                self.subscriptions += 1
                if self.subscriptions <= 3:
                    return Lost()
                return super().subscribe(subject)

        class Lost:
            async def __aenter__(self):
                return self

            async def __aexit__(self, *exc):
                pass

            def __aiter__(self):
                return self

            async def __anext__(self):
                raise SubscriptionLost("too far behind")

        bus = Forgetful()
        async with replica(bus=bus).running() as one:
            await until(lambda: bus.subscriptions == 5)
            reader.declare(stored("a"))
            await bus.publish("fleet.changed.default", b"somebody")
            await until(lambda: one.names() == ["a"])


class TestWanted:
    @pytest.fixture
    async def puller(self, replica, FakePuller):
        asked = []

        async def want(tenant_id, missing):
            asked.extend((tenant_id, *pair) for pair in missing)

        one = replica(lambda config: FakePuller("have:latest", "b"))
        one.asked, one.reconciler.want = asked, want
        return one

    async def test_what_is_missing_is_asked_for_once(self, puller, reader, stored, declared, until):
        reader.declare(stored("a"), models=[declared(n) for n in ("have", "x", "y")])
        async with puller.running():
            await until(lambda: len(puller.asked) == 2)
            for _ in range(3):
                listings = puller.find("a").provider.listings
                puller.reconciler.look("id-a")
                await until(lambda: puller.find("a").provider.listings > listings)  # noqa: B023
            await puller.reconciler.changed()
        assert puller.asked == [("default", "id-a", "x"), ("default", "id-a", "y")]
        assert puller.find("a").wanted == ("have", "x", "y")

    async def test_what_is_declared_later_is_asked_for_at_once(
        self, puller, reader, stored, declared, until
    ):
        reader.declare(stored("a"))
        async with puller.running():
            await until(lambda: puller.find("a").models)
            reader.declare(stored("a"), models=[declared("x")])
            await puller.reconciler.changed()
            await until(lambda: puller.asked == [("default", "id-a", "x")])
            assert puller.find("a").provider.listings == 1

    async def test_what_came_and_went_is_asked_for_again(
        self, puller, reader, stored, declared, until
    ):
        reader.declare(stored("a"), models=[declared("b")])
        async with puller.running():
            await until(lambda: puller.find("a").models)
            assert puller.asked == []
            puller.find("a").provider.listed = []
            puller.reconciler.look("id-a")
            await until(lambda: len(puller.asked) == 1)
            puller.find("a").provider.listed = [ModelInfo("b")]
            puller.reconciler.look("id-a")
            await until(lambda: puller.find("a").models)
            puller.find("a").provider.listed = []
            puller.reconciler.look("id-a")
            await until(lambda: len(puller.asked) == 2)

    async def test_what_is_still_missing_much_later_is_asked_for_again(
        self, puller, reader, stored, declared, until, monkeypatch
    ):
        monkeypatch.setattr("runtime_core.fleet.reconciler.ASK_AGAIN_AFTER", 0)
        reader.declare(stored("a"), models=[declared("x")])
        async with puller.running():
            await until(lambda: len(puller.asked) == 1)
            puller.reconciler.look("id-a")
            await until(lambda: len(puller.asked) == 2)

    async def test_a_backend_that_is_configured_anew_is_asked_anew(
        self, puller, reader, stored, declared, until
    ):
        reader.declare(stored("a"), stored("b"), models=[declared("x")])
        async with puller.running():
            await until(lambda: len(puller.asked) == 2)
            moved = stored("a", base_url="http://elsewhere")
            reader.declare(moved, stored("b"), models=[declared("x")])
            await puller.reconciler.changed()
            await until(lambda: len(puller.asked) == 3)
            puller.reconciler.look("id-b")
        assert puller.asked[2:] == [("default", "id-a", "x")]

    async def test_a_queue_that_cannot_be_written_is_tried_again(
        self, puller, reader, stored, declared, until
    ):
        failures = [DatabaseUnavailable("locked")]
        asked = puller.reconciler.want

        async def want(tenant_id, missing):
            if failures:
                raise failures.pop()
            await asked(tenant_id, missing)

        puller.reconciler.want = want
        reader.declare(stored("a"), models=[declared("x")])
        async with puller.running():
            await until(lambda: not failures)
            puller.reconciler.look("id-a")
            await until(lambda: len(puller.asked) == 1)

    async def test_of_backends_of_the_settings_too_but_not_of_those_that_are_down(
        self, reader, stored, declared, until, replica, FakePuller
    ):
        asked = []

        async def want(tenant_id, missing):
            asked.extend(missing)

        def make(config):
            down = UpstreamUnavailable("refused") if config.name == "a" else None
            return FakePuller("m", listing=down)

        one = replica(make, static=[static("fixed")])
        one.reconciler.want = want
        reader.declare(stored("a"), models=[declared("x")])
        reader.declared = Declarations(
            **{
                **fields(reader.declared),
                "model_groups": frozenset({("internal_chat_group", "id-x"), ("g", "id-x")}),
            }
        )
        async with one.running():
            await until(lambda: not one.catalog.pending)
            await asyncio.sleep(0.01)
            assert one.find("fixed").wanted == ("x",)
        assert asked == [("static:fixed", "x")]

    async def test_not_of_providers_that_cannot_fetch(
        self, replica, reader, stored, declared, until
    ):
        asked = []

        async def want(tenant_id, missing):
            asked.extend(missing)

        reader.declare(stored("a"), models=[declared("x")])
        one = replica()
        one.reconciler.want = want
        async with one.running():
            await until(lambda: not one.catalog.pending)
            await asyncio.sleep(0.01)
        assert asked == []

    async def test_a_change_of_nothing_means_that_models_came_or_went(
        self, puller, reader, stored, until
    ):
        reader.declare(stored("a"))
        async with puller.running():
            await until(lambda: puller.find("a").models)
            puller.find("a").provider.listed = [ModelInfo("new")]
            await puller.reconciler.changed()
            await until(lambda: puller.find("a").models == (ModelInfo("new"),))
