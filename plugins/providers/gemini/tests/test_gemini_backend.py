"""Settings, environment, models and embeddings, seen from the server that is asked."""

import json

import httpx
import pytest
from pydantic import ValidationError
from runtime_provider_gemini import (
    GeminiProvider,
    GeminiSettings,
    register_backends,
    register_providers,
    settings_model,
)

from runtime_core import errors
from runtime_core.protocols import ChatProvider, EmbeddingProvider
from runtime_core.testing import Reply, Upstream
from runtime_core.types import BackendConfig, ChatRequest, Message, PluginContext, Usage
from runtime_core.upstream import create_client

GOOGLE = "https://generativelanguage.googleapis.com"
JSON = {"content-type": "application/json; charset=UTF-8"}
HI = ChatRequest(model="gemini-2.5-flash", messages=(Message(role="user", content="Hi"),))


@pytest.fixture
async def upstream(gemini_wire):
    upstream = Upstream(gemini_wire)
    async with upstream.serving():
        yield upstream


@pytest.fixture
async def client():
    async with create_client(read_timeout=5) as client:
        yield client


def backends(settings=None, **environ):
    return register_backends(PluginContext(name="gemini", settings=settings, environ=environ))


def provider_of(upstream, client, ending="", **options):
    config = BackendConfig(
        name="g", type="gemini", base_url=upstream.url + ending, api_key="k", options=options
    )
    return GeminiProvider(config, client)


def test_nothing_set_is_no_backend():
    assert backends() == ()
    assert backends(GeminiSettings(), GEMINI_API_KEY=" ", GEMINI_BASE_URL="") == ()


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"GEMINI_API_KEY": "a"}, "a"),
        ({"GOOGLE_API_KEY": "b"}, "b"),
        ({"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"}, "a"),
        ({"GEMINI_API_KEY": " ", "GOOGLE_API_KEY": "b"}, "b"),
    ],
)
def test_a_key_alone_is_google(environ, key):
    (backend,) = backends(**environ)
    assert (backend.name, backend.type, backend.base_url) == ("gemini", "gemini", GOOGLE)
    assert (backend.api_key, backend.implicit, backend.options) == (key, False, {})


def test_an_address_alone_is_a_gateway():
    (backend,) = backends(GEMINI_BASE_URL="http://gateway")
    assert (backend.base_url, backend.api_key) == ("http://gateway", None)


def test_settings_and_environment():
    config = {"topK": 3}
    settings = GeminiSettings(api_key="file", priority=2, generation_config=config)
    (from_file,) = backends(settings)
    assert (from_file.api_key, from_file.priority, from_file.options) == (
        "file",
        2,
        {"generation_config": config},
    )
    (mixed,) = backends(settings, GOOGLE_API_KEY="env", GEMINI_BASE_URL="http://env")
    assert (mixed.api_key, mixed.base_url, mixed.options) == (
        "env",
        "http://env",
        {"generation_config": config},
    )


def test_keys_are_not_shown():
    settings = GeminiSettings(api_key="hidden-key")
    (backend,) = backends(settings)
    assert "hidden-key" not in f"{settings!r} {settings} {backend!r}"


def test_every_setting_has_a_default():
    assert settings_model()() == GeminiSettings()
    with pytest.raises(ValidationError, match="generationConfig"):
        GeminiSettings(generationConfig={})


async def test_from_the_environment_to_an_answer(upstream, client):
    environ = {"GEMINI_API_KEY": "k-env", "GEMINI_BASE_URL": upstream.url}
    context = PluginContext(name="gemini", environ=environ)
    (backend,) = register_backends(context)
    provider = register_providers(context)["gemini"](backend, client)
    assert isinstance(provider, ChatProvider)
    assert isinstance(provider, EmbeddingProvider)
    assert [chunk.text async for chunk in provider.chat(HI)] == ["ok", ""]
    asked = upstream.requests[-1]
    assert asked.headers["x-goog-api-key"] == "k-env"
    assert "k-env" not in asked.target
    assert "authorization" not in asked.headers


@pytest.mark.parametrize("ending", ["", "/", "/v1beta", "/v1beta/"])
async def test_addresses_with_and_without_the_version(upstream, client, ending):
    async for _ in provider_of(upstream, client, ending).chat(HI):
        pass
    assert upstream.requests[-1].path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent"


async def test_no_address_is_google():
    seen = []

    def handle(request):
        seen.append(request)
        return httpx.Response(200, json={})

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        config = BackendConfig(name="g", type="gemini", base_url="", api_key="k")
        assert await GeminiProvider(config, client).models() == []
    assert str(seen[0].url) == f"{GOOGLE}/v1beta/models?pageSize=1000"
    assert seen[0].headers["x-goog-api-key"] == "k"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"topK": 3}, "topK"), ({"embed_dimensions": 0}, "embed_dimensions")],
)
async def test_wrong_options_are_named(upstream, client, options, message):
    with pytest.raises(errors.SettingsError, match=f"'g'.*{message}"):
        provider_of(upstream, client, **options)


async def test_an_address_that_cannot_be_used(client):
    config = BackendConfig(name="mine", type="gemini", base_url="http://[::1")
    with pytest.raises(errors.UpstreamUnavailable, match=r"mine.*base URL"):
        GeminiProvider(config, client)


# -- models ------------------------------------------------------------------


async def test_models_of_all_pages(upstream, client):
    found = await provider_of(upstream, client).models()
    assert [(m.name, m.context_length, m.can_chat, m.can_embed) for m in found] == [
        ("gemini-2.5-flash", 1048576, True, False),
        ("gemma-3-4b-it", 32768, True, False),
        ("gemini-embedding-001", 2048, False, True),
    ]
    assert found[0].details == {
        "display_name": "Gemini-2.5-Flash",
        "output_token_limit": 65536,
        "thinking": True,
    }
    assert upstream.listings == 2


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("imagen-4.0-generate-001", ["predict"]),
        ("gemini-2.5-flash-preview-tts", ["generateContent"]),
        ("gemini-2.5-flash-image", ["generateContent"]),
        ("odd", []),
    ],
)
async def test_models_that_neither_chat_nor_embed(upstream, client, name, methods):
    listed = {"name": f"models/{name}", "supportedGenerationMethods": methods}
    upstream.will_list(Reply((json.dumps({"models": [listed]}).encode(),), 200, JSON))
    (model,) = await provider_of(upstream, client).models()
    assert model.name == name
    assert (model.can_chat, model.can_prompt, model.can_stream, model.can_embed) == (False,) * 4
    assert model.context_length is None


async def test_tuned_models_keep_their_collection(upstream, client):
    listed = {"name": "tunedModels/mine", "supportedGenerationMethods": ["generateContent"]}
    upstream.will_list(Reply((json.dumps({"models": [listed]}).encode(),), 200, JSON))
    (model,) = await provider_of(upstream, client).models()
    assert (model.name, model.can_chat) == ("tunedModels/mine", True)


async def test_a_list_in_a_circle_ends(upstream, client):
    upstream.will_list(Reply((b'{"models": [], "nextPageToken": "again"}',), 200, JSON))
    with pytest.raises(errors.UpstreamProtocolError, match="in a circle"):
        await provider_of(upstream, client).models()
    assert upstream.listings == 2


async def test_a_list_without_an_end_ends():
    tokens = iter(range(1000))

    def handle(request):
        return httpx.Response(200, json={"nextPageToken": f"a b&{next(tokens)}"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        config = BackendConfig(name="g", type="gemini", base_url="http://g")
        with pytest.raises(errors.UpstreamProtocolError, match="more than 100 pages"):
            await GeminiProvider(config, client).models()


# -- embeddings --------------------------------------------------------------


async def test_many_texts_are_embedded_in_batches(upstream, client):
    wire = upstream.wire

    def embed(request):
        return wire.embeddings(request, [[float(text)] for text in wire.asked_texts(request)])

    upstream.will_reply(embed)
    texts = [str(number) for number in range(250)]
    found = await provider_of(upstream, client).embed("gemini-embedding-001", texts)
    assert found.vectors == [[float(number)] for number in range(250)]
    assert [len(wire.asked_texts(request)) for request in upstream.requests] == [100, 100, 50]
    assert (found.model, found.usage) == ("gemini-embedding-001", None)


async def test_no_texts_are_no_call(upstream, client):
    assert (await provider_of(upstream, client).embed("m", [])).vectors == []
    assert upstream.requests == []


async def test_dimensions_task_and_usage(upstream, client):
    answer = {"embeddings": [{"values": [1.0]}], "usageMetadata": {"promptTokenCount": 4}}
    upstream.will_reply(Reply((json.dumps(answer).encode(),), 200, JSON))
    provider = provider_of(upstream, client, embed_dimensions=1, embed_task_type="CLUSTERING")
    found = await provider.embed("models/gemini-embedding-001", ["a"])
    assert found.usage == Usage(4)
    assert upstream.requests[-1].json() == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": "a"}]},
                "outputDimensionality": 1,
                "taskType": "CLUSTERING",
            }
        ]
    }
