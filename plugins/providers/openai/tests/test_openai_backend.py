"""Settings, environment and options, seen from the server that is asked."""

import pytest
from pydantic import ValidationError
from runtime_openai_wire.testing import CHAT_MODEL, EMBED_MODEL, FakeOpenAI
from runtime_provider_openai import (
    OpenAISettings,
    openai_provider,
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
    return register_backends(PluginContext(name="openai", settings=settings, environ=environ))


def test_nothing_set_is_no_backend():
    assert backends() == ()
    assert backends(OpenAISettings(), OPENAI_API_KEY=" ", OPENAI_BASE_URL="") == ()
    assert backends(OPENAI_ORG_ID="org") == ()


def test_a_key_alone_is_openai():
    (backend,) = backends(OPENAI_API_KEY="sk-1")
    assert (backend.name, backend.type, backend.base_url, backend.api_key) == (
        "openai",
        "openai",
        "https://api.openai.com/v1",
        "sk-1",
    )
    assert (backend.implicit, backend.options) == (False, {})


def test_an_address_alone_is_a_server_without_keys():
    (backend,) = backends(OPENAI_BASE_URL="http://127.0.0.1:8000/v1")
    assert (backend.base_url, backend.api_key) == ("http://127.0.0.1:8000/v1", None)


def test_settings_and_environment():
    settings = OpenAISettings(
        api_key="sk-file", base_url="http://file/v1", priority=3, organization="org-file"
    )
    (from_file,) = backends(settings)
    assert (from_file.api_key, from_file.base_url, from_file.priority, from_file.options) == (
        "sk-file",
        "http://file/v1",
        3,
        {"organization": "org-file"},
    )
    (mixed,) = backends(settings, OPENAI_API_KEY="sk-env", OPENAI_ORG_ID="org-env")
    assert (mixed.api_key, mixed.base_url, mixed.options) == (
        "sk-env",
        "http://file/v1",
        {"organization": "org-env"},
    )


def test_keys_are_not_shown():
    settings = OpenAISettings(api_key="sk-hidden")
    (backend,) = backends(settings)
    assert "sk-hidden" not in f"{settings!r} {settings} {backend!r}"


def test_every_setting_has_a_default():
    assert settings_model()() == OpenAISettings()
    with pytest.raises(ValidationError):
        OpenAISettings(max_tokens_field="tokens")


async def test_from_the_environment_to_an_answer(fake, client):
    context = PluginContext(
        name="openai",
        environ={
            "OPENAI_API_KEY": fake.api_key,
            "OPENAI_BASE_URL": fake.base_url,
            "OPENAI_ORG_ID": "org-1",
            "OPENAI_PROJECT_ID": "proj-1",
        },
    )
    (backend,) = register_backends(context)
    provider = register_providers(context)["openai"](backend, client)
    assert isinstance(provider, ChatProvider)
    assert isinstance(provider, EmbeddingProvider)
    chunks = [chunk async for chunk in provider.chat(HI)]
    assert "".join(chunk.text for chunk in chunks) == "say hi"
    seen = fake.requests[-1]
    assert seen.headers["openai-organization"] == "org-1"
    assert seen.headers["openai-project"] == "proj-1"
    assert seen.json["max_tokens"] == 9


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        ({"headers": {"x-team": "blue"}}, "x-team", "blue"),
        ({"auth_header": "api-key", "auth_scheme": ""}, "api-key", "sk-fake"),
        ({"auth_scheme": "Token"}, "authorization", "Token sk-fake"),
    ],
)
async def test_headers(fake, client, options, header, value):
    await ask(fake, client, options)
    assert fake.requests[-1].headers[header] == value


async def test_query_and_usage(fake, client):
    await ask(fake, client, {"query": {"api-version": "2"}, "include_usage": False})
    assert fake.requests[-1].path == "/v1/chat/completions?api-version=2"
    assert "stream_options" not in fake.requests[-1].json


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("auto", "max_tokens"),
        ("max_tokens", "max_tokens"),
        ("max_completion_tokens", "max_completion_tokens"),
    ],
)
async def test_the_token_limit(fake, client, option, field):
    await ask(fake, client, {"max_tokens_field": option})
    sent = fake.requests[-1].json
    assert [name for name in ("max_tokens", "max_completion_tokens") if name in sent] == [field]


async def test_dimensions_of_embeddings(fake, client):
    provider = built(fake, client, {"embed_dimensions": 3})
    assert [len(vector) for vector in (await provider.embed(EMBED_MODEL, ["a"])).vectors] == [3]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"organisation": "x"}, "organisation"), ({"embed_dimensions": 0}, "embed_dimensions")],
)
async def test_wrong_options_are_named(client, options, message):
    config = BackendConfig(name="mine", type="openai", base_url="", options=options)
    with pytest.raises(errors.SettingsError, match=f"'mine'.*{message}"):
        openai_provider(config, client)


async def test_an_address_that_cannot_be_used(client):
    config = BackendConfig(name="mine", type="openai", base_url="http://[::1")
    with pytest.raises(errors.UpstreamUnavailable, match=r"mine.*base URL"):
        openai_provider(config, client)


def built(fake, client, options):
    config = BackendConfig(
        name="mine", type="openai", base_url=fake.base_url, api_key=fake.api_key, options=options
    )
    return openai_provider(config, client)


async def ask(fake, client, options):
    provider = built(fake, client, options)
    if "auth_header" in options or "auth_scheme" in options:
        fake.api_key = None
    return [chunk async for chunk in provider.chat(HI)]
