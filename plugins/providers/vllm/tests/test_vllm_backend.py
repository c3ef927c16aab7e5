"""Settings, environment and options, seen from the server that is asked."""

import msgspec
import pytest
from pydantic import ValidationError
from runtime_openai_wire.testing import CHAT_MODEL, EMBED_MODEL, FakeOpenAI
from runtime_provider_vllm import (
    VLLMProvider,
    VLLMSettings,
    register_backends,
    register_providers,
    settings_model,
)

from runtime_core import errors
from runtime_core.protocols import ChatProvider, EmbeddingProvider
from runtime_core.types import BackendConfig, ChatRequest, Message, PluginContext
from runtime_core.upstream import create_client

HI = ChatRequest(model=CHAT_MODEL, messages=(Message(role="user", content="say hi"),), max_tokens=9)


@pytest.fixture
def fake():
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def client():
    async with create_client(read_timeout=5) as client:
        yield client


def backends(settings=None, **environ):
    return register_backends(PluginContext(name="vllm", settings=settings, environ=environ))


def provider_of(fake, client, *, base_url="", **options):
    config = BackendConfig(
        name="gpu",
        type="vllm",
        base_url=base_url or fake.base_url,
        api_key=fake.api_key,
        options=options,
    )
    return VLLMProvider(config, client)


async def collect(provider, request=HI):
    return [chunk async for chunk in provider.chat(request)]


def test_nothing_set_is_no_backend():
    assert backends() == ()
    assert backends(VLLMSettings(), VLLM_BASE_URL=" ") == ()
    assert backends(VLLM_API_KEY="k") == ()


def test_an_address_is_a_backend_without_a_key():
    (backend,) = backends(VLLM_BASE_URL="http://gpu:8000")
    assert (backend.name, backend.type, backend.base_url) == ("vllm", "vllm", "http://gpu:8000")
    assert (backend.api_key, backend.implicit, backend.options) == (None, False, {})


def test_settings_and_environment():
    settings = VLLMSettings(
        base_url="http://file", api_key="file", priority=3, sampling={"top_k": 20}
    )
    (from_file,) = backends(settings)
    assert (from_file.base_url, from_file.api_key, from_file.priority, from_file.options) == (
        "http://file",
        "file",
        3,
        {"sampling": {"top_k": 20}},
    )
    (mixed,) = backends(settings, VLLM_BASE_URL="http://env", VLLM_API_KEY="env")
    assert (mixed.base_url, mixed.api_key, mixed.options) == (
        "http://env",
        "env",
        {"sampling": {"top_k": 20}},
    )


def test_keys_are_not_shown():
    settings = VLLMSettings(base_url="http://gpu", api_key="hidden-key")
    (backend,) = backends(settings)
    assert "hidden-key" not in f"{settings!r} {settings} {backend!r}"


def test_every_setting_has_a_default():
    assert settings_model()() == VLLMSettings()
    with pytest.raises(ValidationError, match="samplings"):
        VLLMSettings(samplings={})


async def test_from_the_environment_to_an_answer(fake, client):
    environ = {"VLLM_API_KEY": fake.api_key, "VLLM_BASE_URL": fake.base_url.removesuffix("/v1")}
    context = PluginContext(name="vllm", environ=environ)
    (backend,) = register_backends(context)
    provider = register_providers(context)["vllm"](backend, client)
    assert isinstance(provider, ChatProvider)
    assert isinstance(provider, EmbeddingProvider)
    assert "".join(chunk.text for chunk in await collect(provider)) == "say hi"
    assert fake.requests[-1].json["max_tokens"] == 9


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
async def test_addresses_with_and_without_the_version(fake, client, ending):
    base_url = fake.base_url.removesuffix("/v1") + ending
    await collect(provider_of(fake, client, base_url=base_url))
    assert fake.requests[-1].path == "/v1/chat/completions"


async def test_sampling_is_for_what_requests_leave_open(fake, client):
    sampling = {"top_k": 20, "temperature": 0.7, "seed": 1, "stop": ["x"], "max_tokens": 100}
    provider = provider_of(fake, client, sampling=sampling)
    asked = msgspec.structs.replace(HI, temperature=0.0, extra={"top_k": 5, "min_p": 0.1})
    await collect(provider, asked)
    sent = fake.requests[-1].json
    assert {name: sent[name] for name in (*sampling, "min_p")} == {
        "top_k": 5,
        "temperature": 0.0,
        "seed": 1,
        "stop": ["x"],
        "max_tokens": 9,
        "min_p": 0.1,
    }
    assert asked.extra == {"top_k": 5, "min_p": 0.1}, "the request is somebody else's too"
    await collect(provider)
    assert fake.requests[-1].json["top_k"] == 20


async def test_headers_and_dimensions(fake, client):
    provider = provider_of(fake, client, headers={"x-team": "blue"}, embed_dimensions=3)
    assert [len(vector) for vector in (await provider.embed(EMBED_MODEL, ["a"])).vectors] == [3]
    assert fake.requests[-1].headers["x-team"] == "blue"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 3}, "top_k"),
        ({"task": "classify"}, "task"),
        ({"sampling": {"stream": False, "model": "m"}}, "model, stream cannot be set"),
    ],
)
async def test_wrong_options_are_named(fake, client, options, message):
    with pytest.raises(errors.SettingsError, match=f"'gpu'.*{message}"):
        provider_of(fake, client, **options)


async def test_an_address_that_cannot_be_used(fake, client):
    with pytest.raises(errors.UpstreamUnavailable, match=r"gpu.*base URL"):
        provider_of(fake, client, base_url="http://[::1")
