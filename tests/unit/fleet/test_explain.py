"""Why a backend would be asked, or would not."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager

import pytest

from runtime_core.errors import ModelNotFound, NoBackendAvailable, UpstreamUnavailable
from runtime_core.fleet.backend import Backend
from runtime_core.fleet.breaker import BreakerLimits
from runtime_core.fleet.catalog import Catalog
from runtime_core.fleet.gateway import LAST_RESORT, FleetGateway
from runtime_core.fleet.index import ModelIndex
from runtime_core.fleet.policies import RoundRobin
from runtime_core.fleet.search import Budget
from runtime_core.types import BackendConfig, ChatChunk, ChatRequest, ModelInfo, Wanted

EMBEDDER = ModelInfo("e", can_chat=False, can_prompt=False, can_embed=True)


class Lister:
    def __init__(self, *models, error=None):
        self.listed = [m if isinstance(m, ModelInfo) else ModelInfo(m) for m in models]
        self.error = error

    async def models(self):
        if self.error:
            raise self.error
        return self.listed

    async def aclose(self):
        pass


class Chatter(Lister):
    down = False
    asked = 0

    async def chat(self, request):
        self.asked += 1
        if self.down:
            raise UpstreamUnavailable("it broke")
        yield ChatChunk("a", finish_reason="stop")


def backend(name, provider, kind="x", *, groups=None, **options):
    config = BackendConfig(name=name, type=kind, base_url=f"http://{name}", **options)
    return Backend(config, provider, **({} if groups is None else {"groups": frozenset(groups)}))


@asynccontextmanager
async def fleet(*backends, **options):
    async with Catalog(backends, period=3600) as catalog:
        gateway = FleetGateway(catalog, {}, **options)
        await gateway.models()
        yield gateway


async def explained(gateway, *models, role="chat", providers=(), tokens=0):
    found = await gateway.explain(Wanted(role, models, providers, tokens))
    rejected = {(row.backend, row.model): row.reason for row in found.rejected}
    return [row.backend for row in found.candidates], rejected


async def test_everybody_is_named_with_a_reason():
    backends = [
        backend("good", Chatter("m")),
        backend("second", Chatter("M:latest")),
        backend("lacks", Chatter("other")),
        backend("down", Chatter(error=UpstreamUnavailable("refused"))),
        backend("ungrouped", Chatter("m"), groups=[]),
        backend("tasks", Chatter("m"), groups=["internal_tasks_group"]),
        backend("mute", Lister("m")),
        backend("short", Chatter(ModelInfo("m", context_length=10))),
        backend("embeds", Chatter(ModelInfo("m:1", can_chat=False))),
        backend("foreign", Chatter("m"), "y"),
    ]
    async with fleet(*backends) as gateway:
        asked, rejected = await explained(gateway, "m", providers=("X",), tokens=11)
    assert asked == ["good", "second"]
    assert rejected == {
        ("short", "m"): "its context is too short: 10 tokens, 11 are needed",
        ("lacks", "m"): "it does not have m",
        ("down", "m"): "it is out: refused",
        ("ungrouped", "m"): "it is in no group that serves the role chat",
        ("tasks", "m"): "it is in no group that serves the role chat",
        ("mute", "m"): "its provider x cannot chat",
        ("embeds", "m:1"): "the model cannot chat",
        ("foreign", "m"): "its provider y is not wanted",
    }


async def test_without_a_name_each_backend_is_told_of_once():
    backends = [
        backend("good", Chatter("m", "n")),
        backend("embeds", Chatter(EMBEDDER)),
        backend("empty", Chatter()),
        backend("echo", Chatter("echo"), priority=LAST_RESORT),
    ]
    async with fleet(*backends) as gateway:
        asked, rejected = await explained(gateway)
    assert asked == ["good"]
    assert rejected == {
        ("embeds", ""): "none of its models can chat",
        ("empty", ""): "it lists no models",
        ("echo", ""): "it is a last resort, and other backends are configured",
    }


async def test_an_open_breaker_is_told_of_until_when():
    bad = Chatter("m")
    bad.down = True
    budget = Budget(breaker=BreakerLimits(failures=1, cool_down=30))
    async with fleet(backend("bad", bad), backend("good", Chatter("m")), budget=budget) as gateway:
        async for _ in gateway.chat(Wanted("chat", ("m",)), ChatRequest(model="", messages=())):
            pass
        asked, rejected = await explained(gateway, "m")
    assert asked == ["good"]
    reason = rejected["bad", "m"]
    assert re.fullmatch(r"its circuit breaker is open until [\dT:.-]{23}Z: it broke", reason)


async def test_explaining_asks_nobody_and_changes_nothing():
    one, two = Chatter("m"), Chatter("m")
    async with fleet(backend("a", one), backend("b", two), router=RoundRobin()) as gateway:
        orders = [(await explained(gateway, "m"))[0] for _ in range(3)]
        found = await gateway.explain(Wanted("task", ("m",)))
    assert orders == [["a", "b"]] * 3
    assert (one.asked, two.asked) == (0, 0)
    assert (found.role, found.policy) == ("task", "RoundRobin")


async def test_a_wanted_provider_may_be_one_backend():
    backends = [backend("a", Chatter("m")), backend("B", Chatter("m"))]
    async with fleet(*backends) as gateway:
        asked, rejected = await explained(gateway, "m", providers=("b",))
    assert asked == ["B"]
    assert rejected == {("a", "m"): "its provider x is not wanted"}


# -------------------------------------------------------------------------
# The index behind it
# -------------------------------------------------------------------------


def holders(found):
    return [(held.backend.config.name, held.model.name) for held in found]


@pytest.fixture
async def pair():
    first, second = backend("a", Chatter()), backend("b", Chatter())
    first.models = (ModelInfo("m:1"), ModelInfo("n"))
    second.models = (ModelInfo("M"),)
    return first, second


async def test_the_index_finds_by_name_and_by_meaning(pair):
    index = ModelIndex()
    index.update(pair)
    assert holders(index.exactly("n")) == [("a", "n")]
    assert holders(index.alike("m")) == [("a", "m:1"), ("b", "M")]
    index.update(pair[::-1])
    assert holders(index.alike("m")) == [("b", "M"), ("a", "m:1")]
    assert holders(index.alike("-")) == []


async def test_the_index_follows_changes(pair):
    first, _ = pair
    index = ModelIndex()
    index.update(pair)
    first.models = (ModelInfo("n"),)
    index.update(pair)
    assert holders(index.alike("m")) == [("b", "M")]
    index.update([first])
    assert holders(index.alike("m")) == []
    assert holders(index.exactly("n")) == [("a", "n")]
    assert index._by_meaning.keys() == {"n"}


# -------------------------------------------------------------------------
# Models that nobody lists
# -------------------------------------------------------------------------

DOWN = UpstreamUnavailable("refused")


async def missing(name, *backends):
    async with fleet(*backends) as gateway:
        assert await gateway.find(name) is None
        return gateway.missing(name)


async def test_a_model_that_no_backend_has_is_not_found():
    error = await missing("m", backend("a", Lister("x")), backend("b", Lister()))
    assert isinstance(error, ModelNotFound)
    assert (error.param, "'m'" in error.message) == ("model", True)


async def test_a_backend_that_was_never_listed_may_have_any_model():
    error = await missing("m", backend("a", Lister("x")), backend("b", Lister(error=DOWN)))
    assert isinstance(error, NoBackendAvailable)
    assert error.param == "model"
    assert error.message.endswith("\n- backend b (http://b) is out: refused")


async def test_a_backend_nobody_asked_for_is_no_reason_to_wait():
    error = await missing("m", backend("b", Lister(error=DOWN), implicit=True))
    assert isinstance(error, ModelNotFound)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("m", NoBackendAvailable), ("org/M:latest", NoBackendAvailable), ("x", ModelNotFound)],
)
async def test_a_backend_that_is_out_has_what_it_had(monkeypatch, name, kind):
    monkeypatch.setattr("runtime_core.fleet.catalog._MINIMUM_AGE_S", 0)
    provider = Lister("old", "m")
    async with fleet(backend("b", provider)) as gateway:
        provider.listed = [ModelInfo("m")]
        await gateway.find("nothing")
        provider.error = DOWN
        assert await gateway.find("nothing") is None
        assert isinstance(gateway.missing(name), kind)
        assert isinstance(gateway.missing("old"), ModelNotFound)
