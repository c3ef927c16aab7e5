"""Which backend answers, and what happens when it does not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from runtime_core.errors import (
    ContextLengthExceeded,
    NoBackendAvailable,
    SettingsError,
    UpstreamContextExceeded,
    UpstreamRejected,
    UpstreamUnavailable,
)
from runtime_core.fleet.catalog import Backend, Catalog
from runtime_core.fleet.connecting import connect
from runtime_core.fleet.gateway import LAST_RESORT, Defaults, FleetGateway
from runtime_core.fleet.names import same_model
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


class Provider:
    """Holds *models*; fails with *error*, before or after the first chunk."""

    def __init__(self, *models, error=None, late_error=None, listing=None):
        self.listed = [m if isinstance(m, ModelInfo) else ModelInfo(m) for m in models]
        self.error, self.late_error, self.listing = error, late_error, listing
        self.asked = []
        self.closed_streams = 0
        self.closed = False

    async def models(self):
        if isinstance(self.listing, asyncio.Event):
            await self.listing.wait()
        elif self.listing:
            raise self.listing
        return self.listed

    async def chat(self, request):
        self.asked.append(request.model)
        try:
            if self.error:
                raise self.error
            yield ChatChunk("a")
            if self.late_error:
                raise self.late_error
            yield ChatChunk("b", finish_reason="stop")
        finally:
            self.closed_streams += 1

    async def embed(self, model, texts):
        if self.error:
            raise self.error
        return Embeddings([[1.0]] * len(texts), model)

    async def aclose(self):
        self.closed = True


@asynccontextmanager
async def fleet(*backends, defaults=None, declared=None, limit=5.0):
    catalog = Catalog(
        [
            Backend(
                BackendConfig(name=name, type=kind, base_url=f"http://{name}", **options), provider
            )
            for name, kind, provider, options in backends
        ],
        declared=declared,
        period=3600,
        timeout=limit,
    )
    async with catalog:
        yield FleetGateway(catalog, defaults or {})


def backend(name, provider, kind="x", **options):
    return name, kind, provider, options


async def ask(gateway, *models, role="chat", providers=(), tokens=0):
    request = ChatRequest(model="", messages=(Message(role="user", content="hi"),))
    return [
        item async for item in gateway.chat(Wanted(role, models, tuple(providers), tokens), request)
    ]


@pytest.mark.parametrize(
    ("wanted", "name", "same"),
    [
        ("phi3:3.8b", "phi3:3.8b", True),
        ("PHI3:latest", "phi3:3.8b", True),
        ("org/Llama-3_1.awq", "llama31", True),
        ("phi3", "phi4", False),
        (":", ":other", False),
    ],
)
def test_names(wanted, name, same):
    assert same_model(wanted, name) is same


async def test_the_first_wanted_model_answers_and_says_where():
    one, two = Provider("small"), Provider("large:7b")
    async with fleet(backend("b1", one), backend("b2", two)) as gateway:
        routed, *chunks = await ask(gateway, "LARGE", "small")
    assert (routed.backend, routed.provider, routed.model) == ("b2", "x", "large:7b")
    assert (routed.attempts, routed.failed) == (1, ())
    assert [chunk.text for chunk in chunks] == ["a", "b"]
    assert (one.asked, two.asked) == ([], ["large:7b"])
    assert one.closed
    assert two.closed


async def test_an_exact_name_beats_a_similar_one_on_a_preferred_backend():
    async with fleet(
        backend("b1", Provider("m:1")), backend("b2", Provider("m:2"), priority=5)
    ) as gateway:
        assert (await ask(gateway, "m:2"))[0].backend == "b2"


@pytest.mark.parametrize("error", [UpstreamUnavailable("down"), UpstreamRejected("no")])
async def test_the_next_candidate_is_tried_before_the_first_chunk(error):
    bad, good = Provider("m", error=error), Provider("m")
    async with fleet(backend("bad", bad), backend("good", good)) as gateway:
        routed, *chunks = await ask(gateway, "m")
    assert (routed.backend, routed.attempts, len(chunks)) == ("good", 2, 2)
    assert bad.closed_streams == 1


async def test_nobody_takes_over_after_the_first_chunk():
    bad, good = Provider("m", late_error=UpstreamUnavailable("broke")), Provider("m")
    async with fleet(backend("bad", bad), backend("good", good)) as gateway:
        with pytest.raises(UpstreamUnavailable):
            await ask(gateway, "m")
    assert good.asked == []


async def test_a_prompt_too_long_is_not_sent_elsewhere():
    bad, good = Provider("m", error=UpstreamContextExceeded("long")), Provider("m")
    async with fleet(backend("bad", bad), backend("good", good)) as gateway:
        with pytest.raises(UpstreamContextExceeded):
            await ask(gateway, "m")
    assert good.asked == []


async def test_a_closed_stream_closes_the_provider():
    provider = Provider("m")
    async with fleet(backend("b", provider)) as gateway:
        stream = gateway.chat(Wanted("chat", ("m",)), ChatRequest(model="", messages=()))
        assert isinstance(await anext(stream), Routed)
        await stream.aclose()
        assert provider.closed_streams == 1


async def test_nobody_there_lists_what_is():
    down = Provider("m", listing=UpstreamUnavailable("refused"))
    async with fleet(backend("b", Provider("other")), backend("down", down)) as gateway:
        with pytest.raises(NoBackendAvailable) as caught:
            await ask(gateway, "m")
    assert "'m'" in caught.value.message
    assert "other on b" in caught.value.message
    assert "http://down) is out: refused" in caught.value.message


async def test_a_model_that_appeared_is_found(monkeypatch):
    monkeypatch.setattr("runtime_core.fleet.catalog._MINIMUM_AGE_S", 0)
    provider = Provider("old")
    async with fleet(backend("b", provider)) as gateway:
        await ask(gateway, "old")
        provider.listed = [ModelInfo("new")]
        assert (await ask(gateway, "new"))[0].model == "new"


async def test_a_slow_backend_does_not_delay_one_that_is_preferred():
    never = asyncio.Event()
    slow = Provider("m", listing=never)
    async with fleet(backend("fast", Provider("m")), backend("slow", slow, priority=1)) as gateway:
        async with asyncio.timeout(1):
            assert (await ask(gateway, "m"))[0].backend == "fast"


async def test_a_listing_that_hangs_is_given_up():
    hanging = Provider("m", listing=asyncio.Event())
    async with fleet(backend("b", hanging), limit=0.01) as gateway:
        with pytest.raises(NoBackendAvailable, match=r"more than 0\.01 s"):
            await ask(gateway, "m")


async def test_a_provider_that_breaks_is_out_and_the_others_serve(caplog):
    broken = Provider("m", listing=KeyError("models"))
    async with fleet(backend("broken", broken), backend("b", Provider("m"))) as gateway:
        assert (await ask(gateway, "m"))[0].backend == "b"
        with pytest.raises(NoBackendAvailable, match=r"broken.*broke while listing"):
            await ask(gateway, "other")


class TestNoNameWanted:
    async def test_the_default_model_of_the_role(self):
        async with fleet(
            backend("b", Provider("one", "two")), defaults={"chat": Defaults("two")}
        ) as gateway:
            assert (await ask(gateway))[0].model == "two"
            assert (await ask(gateway, role="task"))[0].model == "one"

    async def test_the_default_provider(self):
        async with fleet(
            backend("a", Provider("m"), "x"),
            backend("b", Provider("m"), "y"),
            defaults={"chat": Defaults(provider="y")},
        ) as gateway:
            assert (await ask(gateway))[0].backend == "b"

    async def test_the_last_resort_stands_in_for_nothing_configured(self):
        echo = backend("echo", Provider("echo"), implicit=True, priority=LAST_RESORT)
        away = Provider(listing=UpstreamUnavailable("refused"))
        async with fleet(echo, backend("away", away, implicit=True)) as gateway:
            assert (await ask(gateway))[0].model == "echo"

    async def test_the_last_resort_does_not_stand_in_for_a_backend_that_is_down(self):
        echo = backend("echo", Provider("echo"), implicit=True, priority=LAST_RESORT)
        down = Provider(listing=UpstreamUnavailable("refused"))
        async with fleet(echo, backend("prod", down)) as gateway:
            with pytest.raises(NoBackendAvailable):
                await ask(gateway)
            assert (await ask(gateway, "echo"))[0].model == "echo"

    async def test_only_models_with_the_capability(self):
        embedder = ModelInfo("e", can_chat=False, can_prompt=False, can_embed=True)
        async with fleet(backend("b", Provider(embedder, "m"))) as gateway:
            assert (await ask(gateway))[0].model == "m"
            routed, vectors = await gateway.embed(Wanted("embed"), ["x", "y"])
        assert (routed.model, len(vectors.vectors)) == ("e", 2)


async def test_context_length_decides():
    small, large = ModelInfo("m:1", context_length=10), ModelInfo("m:2", context_length=100)
    async with fleet(backend("b", Provider(small, large))) as gateway:
        assert (await ask(gateway, "m", tokens=50))[0].model == "m:2"
        with pytest.raises(ContextLengthExceeded, match=r"101 tokens.*100"):
            await ask(gateway, "m", tokens=101)


async def test_what_settings_declare_wins_over_the_listing():
    declared = {"m": ModelInfo("m", context_length=7, can_embed=True)}
    async with fleet(backend("b", Provider("m")), declared=declared) as gateway:
        [(_, model)] = await gateway.models()
        assert (model.context_length, model.can_embed, model.can_chat) == (7, True, True)
        assert (await gateway.find("M:latest")) == model
        assert await gateway.find("other") is None


def test_connect_names_what_is_wrong():
    config = BackendConfig(name="b", type="x", base_url="http://b")
    with pytest.raises(SettingsError, match=r"'x'.*installed types: y"):
        connect([config], {"y": lambda config, client: Provider()}, None)
    with pytest.raises(SettingsError, match="two backends are named 'b'"):
        connect([config, config], {"x": lambda config, client: Provider()}, None)


def test_a_backend_of_a_plugin_that_cannot_be_used_does_not_stop_the_start():
    config = BackendConfig(name="b", type="x", base_url="http://b")
    [backend] = connect([config], {}, None, excused=["acme"])
    with pytest.raises(UpstreamUnavailable, match=r"'x'.*cannot be used: acme"):
        asyncio.run(backend.provider.models())


def test_a_provider_that_cannot_be_built_takes_only_its_backend_out():
    def broken(config, client):
        raise KeyError("oops")

    config = BackendConfig(name="b", type="x", base_url="http://b")
    [backend] = connect([config], {"x": broken}, None)
    with pytest.raises(UpstreamUnavailable, match="cannot be built: 'oops'"):
        asyncio.run(backend.provider.models())


def test_wrong_options_of_a_backend_stop_the_start():
    def picky(config, client):
        raise SettingsError("options.speed: must be a number")

    with pytest.raises(SettingsError, match="speed"):
        connect([BackendConfig(name="b", type="x", base_url="http://b")], {"x": picky}, None)
