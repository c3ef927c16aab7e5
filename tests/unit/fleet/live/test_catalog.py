"""How listings are kept fresh, and how backends come and go."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from runtime_core.errors import UpstreamUnavailable
from runtime_core.fleet.catalog import Catalog, Listing
from runtime_core.types import ModelInfo

DOWN = UpstreamUnavailable("refused")


@contextlib.asynccontextmanager
async def running(*backends, period=3600.0, **options):
    catalog = Catalog(backends, period=period, **options)
    async with catalog:
        yield catalog


def names(backend):
    return [model.name for model in backend.models]


async def test_a_new_backend_is_listed_at_once_and_the_others_are_left_alone(
    FakeProvider, backend, until
):
    one, two = FakeProvider("a"), FakeProvider("b")
    first, second = backend("one", one), backend("two", two)
    async with running(first) as catalog:
        await until(lambda: first.listed_at is not None)
        catalog.apply([first, second])
        assert catalog.pending == [second]
        await until(lambda: not catalog.pending)
        assert names(second) == ["b"]
    assert (one.listings, two.listings) == (1, 1)
    assert (one.closed, two.closed) == (1, 1)


async def test_a_slow_backend_delays_nobody(FakeProvider, backend, until):
    slow = backend("slow", FakeProvider(listing=asyncio.Event()))
    quick = [backend(f"q{number}", FakeProvider("m")) for number in range(20)]
    async with running(slow, *quick) as catalog:
        await until(lambda: catalog.pending == [slow])


async def test_backends_are_listed_again_and_again_each_on_its_own(FakeProvider, backend, until):
    hanging, steady = FakeProvider(listing=asyncio.Event()), FakeProvider("m")
    async with running(backend("h", hanging), backend("s", steady), period=0.001):
        await until(lambda: steady.listings > 5)
    assert hanging.listings == 1


async def test_a_backend_that_is_gone_closes_after_its_last_call(FakeProvider, backend, until):
    provider = FakeProvider("m")
    old = backend("b", provider)
    async with running(old) as catalog:
        await until(lambda: not catalog.pending)
        with old.calling():
            catalog.apply([])
            assert catalog.backends == ()
            assert catalog.get(old.id) is None
            with old.calling():
                pass
            for _ in range(5):
                await asyncio.sleep(0)
            assert provider.closed == 0
        await until(lambda: provider.closed == 1)
        old.breaker = "open"
    assert provider.closed == 1


async def test_a_backend_that_is_gone_stays_open_for_who_holds_its_provider(
    FakeProvider, backend, until
):
    provider = FakeProvider("m")
    old = backend("b", provider)
    async with running(old) as catalog:
        await until(lambda: not catalog.pending)
        with old.holding() as held:
            assert held is provider
            assert old.in_flight == 0
            catalog.apply([])
            with old.calling():
                pass
            for _ in range(5):
                await asyncio.sleep(0)
            assert provider.closed == 0
        await until(lambda: provider.closed == 1)


async def test_a_backend_that_is_gone_closes_with_the_server_at_the_latest(FakeProvider, backend):
    provider = FakeProvider("m")
    old = backend("b", provider)
    with old.calling():
        async with running(old) as catalog:
            catalog.apply([])
        assert provider.closed >= 1


async def test_what_a_removed_backend_still_says_is_not_heard(FakeProvider, backend, until):
    go = asyncio.Event()
    provider = FakeProvider("m", listing=go)
    old = backend("b", provider)
    async with running(old) as catalog:
        await provider.begun.wait()
        catalog.apply([])
        go.set()
        await until(lambda: provider.closed)
        assert old.models == ()


async def test_a_provider_that_cannot_be_stopped_is_not_heard_either(FakeProvider, backend, until):
    class Stubborn(FakeProvider):
        answered = False

        async def models(self):
            self.begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            self.answered = True
            return self.listed

    provider, told = Stubborn("m"), []
    old = backend("b", provider)
    async with running(old) as catalog:
        catalog.observers.append(lambda id, one: told.append((id, one)))
        await provider.begun.wait()
        catalog.apply([])
        await until(lambda: provider.answered)
        await asyncio.sleep(0.01)
        assert old.models == ()
        assert told == [("static:b", None)]


async def test_looking_during_a_listing_lists_once_more(FakeProvider, backend, until):
    go = asyncio.Event()
    provider = FakeProvider("old", listing=go)
    one = backend("b", provider)
    async with running(one) as catalog:
        await provider.begun.wait()
        catalog.look(one.id)
        go.set()
        await until(lambda: provider.listings == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert provider.listings == 2


async def test_looking_wakes_who_waits(FakeProvider, backend, until):
    provider = FakeProvider("old")
    one = backend("b", provider)
    async with running(one) as catalog:
        await until(lambda: names(one) == ["old"])
        version = catalog.version
        provider.listed = [ModelInfo("new")]
        catalog.look(one.id)
        catalog.look("unknown")
        await until(lambda: names(one) == ["new"])
        assert catalog.version > version


async def test_the_same_listing_again_is_no_change(FakeProvider, backend, until):
    provider = FakeProvider("m")
    one = backend("b", provider)
    async with running(one) as catalog:
        await until(lambda: names(one) == ["m"])
        version, models = catalog.version, one.models
        catalog.look(one.id)
        await until(lambda: provider.listings == 2)
        await until(lambda: one.latency is not None)
        assert catalog.version == version
        assert one.models is models


async def test_after_a_failure_the_next_listing_comes_soon(
    FakeProvider, backend, until, monkeypatch
):
    monkeypatch.setattr("runtime_core.fleet.catalog._FIRST_RETRY_S", 0.001)
    provider = FakeProvider("m", listing=DOWN)
    one = backend("b", provider)
    async with running(one):
        await until(lambda: one.failures >= 3)
        assert (one.models, one.error, one.latency) == ((), "refused", None)
        since = one.error_at
        assert since
        assert since < one.checked_at
        provider.listing = None
        await until(lambda: names(one) == ["m"])
    assert (one.error, one.error_at, one.failures) == ("", "", 0)


async def test_pauses_after_failures_grow_up_to_the_period(FakeProvider, backend, monkeypatch):
    monkeypatch.setattr("runtime_core.fleet.catalog._JITTER", 0)
    one = backend("b", FakeProvider())
    catalog = Catalog([one], period=10)
    pauses = []
    for one.failures in (0, 1, 2, 4, 5, 2000):
        pauses.append(catalog._pause(one))
    assert pauses == [10, 1, 2, 8, 10, 10]


async def test_a_backend_that_is_busy_keeps_its_models_once(
    FakePuller, backend, until, monkeypatch
):
    monkeypatch.setattr("runtime_core.fleet.catalog._FIRST_RETRY_S", 3600)
    provider = FakePuller("m", memory=["m"])
    one = backend("b", provider)
    async with running(one, timeout=0.01) as catalog:
        await until(lambda: names(one) == ["m"])
        provider.listing = asyncio.Event()
        catalog.look(one.id)
        await until(lambda: one.failures == 1)
        assert (names(one), one.loaded) == (["m"], ("m",))
        assert "more than 0.01 s" in one.error
        catalog.look(one.id)
        await until(lambda: one.failures == 2)
        assert (one.models, one.loaded) == ((), ())


async def test_a_backend_that_refuses_loses_its_models_at_once(FakeProvider, backend, until):
    provider = FakeProvider("m")
    one = backend("b", provider)
    async with running(one) as catalog:
        await until(lambda: names(one) == ["m"])
        provider.listing = DOWN
        catalog.look(one.id)
        await until(lambda: one.error)
        assert one.models == ()


@pytest.mark.parametrize("memory", [UpstreamUnavailable("404"), TimeoutError()])
async def test_not_knowing_what_is_loaded_is_no_error(FakePuller, backend, until, memory):
    one = backend("b", FakePuller("m", memory=memory))
    async with running(one):
        await until(lambda: names(one) == ["m"])
    assert (one.error, one.loaded) == ("", ())


async def test_what_is_loaded_is_known(FakePuller, backend, until):
    one = backend("b", FakePuller("m", "n", memory=["n"]))
    async with running(one):
        await until(lambda: one.loaded == ("n",))


@pytest.mark.parametrize("fault", [KeyError("models"), asyncio.CancelledError()])
async def test_a_provider_that_breaks_is_out_until_it_works(
    FakeProvider, backend, until, monkeypatch, fault
):
    monkeypatch.setattr("runtime_core.fleet.catalog._FIRST_RETRY_S", 0.001)
    provider = FakeProvider("m", listing=fault)
    one = backend("b", provider)
    async with running(one):
        await until(lambda: "broke while listing" in one.error)
        provider.listing = None
        await until(lambda: names(one) == ["m"])


async def test_a_provider_that_closes_badly_does_not_keep_the_others_open(
    FakeProvider, backend, monkeypatch
):
    class Bad(FakeProvider):
        async def aclose(self):
            raise DOWN

    last = FakeProvider("m")
    async with running(backend("a", Bad("m")), backend("b", last)):
        pass
    assert last.closed == 1


async def test_new_groups_are_a_change_and_keep_the_listing(FakeProvider, backend, until):
    provider = FakeProvider("m")
    one = backend("b", provider)
    async with running(one) as catalog:
        await until(lambda: names(one) == ["m"])
        version = catalog.version
        one.regroup(frozenset({"mine"}), ("x",), None)
        catalog.apply([one])
        assert catalog.version > version
        assert names(one) == ["m"]
        assert one.serves("embed")
    assert provider.listings == 1


async def test_roles_of_groups(FakeProvider, backend):
    one = backend("b", FakeProvider())
    assert [one.serves(role) for role in ("chat", "task", "embed")] == [True, True, True]
    one.regroup(frozenset({"internal_chat_group"}), (), None)
    assert [one.serves(role) for role in ("chat", "task", "embed")] == [True, False, False]
    one.regroup(frozenset({"internal_chat_group", "mine"}), (), None)
    assert [one.serves(role) for role in ("chat", "task", "embed")] == [True, True, True]


class TestDeclared:
    async def test_it_wins_over_the_listing(self, FakeProvider, backend, declared, until):
        one = backend("b", FakeProvider(ModelInfo("m:latest", 7), ModelInfo("n", 7)))
        said = declared("m", context_length=99, can_chat=False, can_embed=True)
        async with running(one) as catalog:
            await until(lambda: len(one.models) == 2)
            version = catalog.version
            catalog.apply([one], [said])
            assert catalog.version > version
            m, n = one.models
            assert (m.context_length, m.can_chat, m.can_embed, m.can_prompt) == (
                99,
                False,
                True,
                False,
            )
            assert n == ModelInfo("n", 7)
            catalog.apply([one], [])
            assert one.models[0] == ModelInfo("m:latest", 7)

    async def test_the_settings_say_what_a_model_is_for_not_all_it_can_do(
        self, FakeProvider, backend, declared, until
    ):
        one = backend("b", FakeProvider(ModelInfo("m", 7, can_embed=False)))
        said = ModelInfo("m", None, can_chat=False, can_prompt=False, can_embed=True)
        async with running(one, declared={"m": said}) as catalog:
            catalog.apply([one], [declared("m", context_length=42, can_chat=False)])
            await until(lambda: one.models)
            model = one.models[0]
        assert (model.can_chat, model.can_prompt, model.can_embed) == (True, True, True)
        assert model.context_length == 42


class TestHearing:
    async def test_what_others_found_is_taken_over_and_saves_a_listing(
        self, FakeProvider, backend, until
    ):
        provider = FakeProvider("mine", listing=asyncio.Event())
        one = backend("b", provider)
        async with running(one) as catalog:
            await provider.begun.wait()
            found = Listing(models=(ModelInfo("theirs"),), checked_at="then", latency=0.5)
            catalog.hear(one.id, one.fingerprint, found)
            assert (names(one), one.latency, one.checked_at) == (["theirs"], 0.5, "then")
            assert catalog.pending == []

    async def test_of_another_configuration_it_means_nothing(self, FakeProvider, backend):
        one = backend("b", FakeProvider("mine", listing=asyncio.Event()))
        other = backend("b", FakeProvider(), api_key="another")
        async with running(one) as catalog:
            catalog.hear(one.id, other.fingerprint, Listing(models=(ModelInfo("theirs"),)))
            catalog.hear("nobody", one.fingerprint, Listing())
            assert catalog.pending == [one]

    async def test_who_cannot_reach_a_backend_does_not_take_it_from_others(
        self, FakeProvider, backend, until
    ):
        provider = FakeProvider("m")
        one = backend("b", provider)
        async with running(one, period=0.2) as catalog:
            await until(lambda: names(one) == ["m"])
            catalog.hear(one.id, one.fingerprint, Listing(error="refused"))
            assert names(one) == ["m"]
            await until(lambda: provider.listings == 2)
            assert one.error == ""

    async def test_who_can_reach_a_backend_does_not_talk_others_into_it(
        self, FakeProvider, backend, until
    ):
        provider = FakeProvider("m", listing=DOWN)
        one = backend("b", provider)
        async with running(one, period=0.2) as catalog:
            await until(lambda: one.error)
            catalog.hear(one.id, one.fingerprint, Listing(models=(ModelInfo("m"),)))
            assert one.models == ()
            provider.listing = None
            await until(lambda: names(one) == ["m"])

    async def test_a_failure_is_not_taken_on_trust_by_who_never_looked(self, FakeProvider, backend):
        one = backend("b", FakeProvider("m", listing=asyncio.Event()))
        async with running(one) as catalog:
            catalog.hear(one.id, one.fingerprint, Listing(error="refused"))
            assert catalog.pending == [one]

    async def test_disagreement_does_not_become_a_storm(self, FakeProvider, backend, until):
        provider = FakeProvider("m")
        one = backend("b", provider)
        async with running(one) as catalog:
            await until(lambda: names(one) == ["m"])
            for _ in range(50):
                catalog.hear(one.id, one.fingerprint, Listing(error="refused"))
                await asyncio.sleep(0)
        assert provider.listings == 1


async def test_a_fingerprint_gives_away_no_key(FakeProvider, backend):
    plain, keyed = backend("b", FakeProvider()), backend("b", FakeProvider(), api_key="sk-1")
    again = backend("b", FakeProvider(), api_key="sk-1")
    assert "sk-1" not in keyed.fingerprint
    assert len({plain.fingerprint, keyed.fingerprint, again.fingerprint}) == 2


async def test_a_listing_with_news_keeps_the_objects_of_all_other_models(
    FakeProvider, backend, until, declared
):
    provider = FakeProvider("a", "b", "c")
    one = backend("b", provider)
    async with running(one) as catalog:
        await until(lambda: not catalog.pending)
        catalog.apply([one], [declared("c", context_length=9)])
        listed, described = one.listed, one.models
        provider.listed = [ModelInfo("a"), ModelInfo("b", size=7), ModelInfo("c")]
        catalog.look("static:b")
        await until(lambda: one.models[1].size == 7)
        assert one.listed[0] is listed[0]
        assert one.listed[2] is listed[2]
        assert one.models[2] is described[2]
        assert one.models[2].context_length == 9
        # as many as before, at other places
        provider.listed = [ModelInfo("c"), ModelInfo("d"), ModelInfo("a")]
        catalog.look("static:b")
        await until(lambda: one.models[1].name == "d")
        assert [(m.name, m.context_length) for m in one.models] == [
            ("c", 9),
            ("d", None),
            ("a", None),
        ]
        assert one.listed[0] is listed[2]
        provider.listed = [ModelInfo("c")]
        catalog.look("static:b")
        await until(lambda: len(one.models) == 1)
        assert one.models[0].context_length == 9


async def test_a_backend_that_a_call_could_not_reach_is_looked_at_soon_but_not_often(
    FakeProvider, backend, until, monkeypatch
):
    provider = FakeProvider("m")
    one = backend("b", provider)
    async with running(one) as catalog:
        await until(lambda: not catalog.pending)
        for _ in range(100):
            one.suspect()
            await asyncio.sleep(0)
        # it was listed less than a second ago
        assert provider.listings == 1
        monkeypatch.setattr("runtime_core.fleet.catalog._MINIMUM_AGE_S", 0.0)
        provider.listing = DOWN
        one.suspect()
        await until(lambda: one.error == "refused")
        listings = provider.listings
        for _ in range(100):
            one.suspect()
            await asyncio.sleep(0)
        # it is known to be out: its own schedule says when it is looked at
        assert provider.listings == listings


async def test_nobody_looks_at_a_backend_that_is_gone(FakeProvider, backend, until):
    provider = FakeProvider("m")
    one = backend("b", provider)
    async with running(one) as catalog:
        await until(lambda: not catalog.pending)
        catalog.apply([])
        one.suspect()
        await until(lambda: provider.closed)
    assert provider.listings == 1
