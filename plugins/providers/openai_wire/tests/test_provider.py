"""The provider against the fake server, over real connections."""

import asyncio
from contextlib import aclosing

import httpx
import pytest
from runtime_openai_wire import Dialect, OpenAIWireProvider
from runtime_openai_wire.testing import CHAT_MODEL, EMBED_MODEL, FakeOpenAI

from runtime_core import errors
from runtime_core.types import BackendConfig, ChatRequest, Message, Tool, ToolCallDelta, Usage
from runtime_core.upstream import create_client

HI = ChatRequest(model=CHAT_MODEL, messages=(Message(role="user", content="say hi"),))


@pytest.fixture
def fake():
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def client():
    async with create_client(read_timeout=5) as client:
        yield client


@pytest.fixture
def build(fake, client):
    def build(**dialect):
        config = BackendConfig(
            name="acme", type="acme", base_url=fake.base_url, api_key=fake.api_key
        )
        return OpenAIWireProvider(config, client, dialect=Dialect(**dialect))

    return build


@pytest.fixture
def provider(build):
    return build()


async def collect(provider, request=HI):
    return [chunk async for chunk in provider.chat(request)]


async def test_a_chat(provider, fake):
    chunks = await collect(provider)
    assert [chunk.text for chunk in chunks] == ["say", " hi", ""]
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("stop", Usage(2, 2))
    assert fake.requests[-1].json["stream_options"] == {"include_usage": True}


async def test_tool_calls(provider, fake):
    fake.will_answer("Let me", tool_calls=[("f", '{"a": "b"}'), ("g", "{}")])
    request = ChatRequest(model=CHAT_MODEL, messages=HI.messages, tools=(Tool("f"), Tool("g")))
    chunks = await collect(provider, request)
    pieces = [piece for chunk in chunks for piece in chunk.tool_calls]
    assert pieces[0] == ToolCallDelta(0, "call_fake_0", "f")
    assert "".join(piece.arguments for piece in pieces if piece.index == 0) == '{"a": "b"}'
    assert chunks[-1].finish_reason == "tool_calls"


async def test_embeddings_and_models(provider):
    result = await provider.embed(EMBED_MODEL, ["one", "two words"])
    assert [len(vector) for vector in result.vectors] == [8, 8]
    assert result.usage == Usage(3)
    assert [model.name for model in await provider.models()] == [CHAT_MODEL, EMBED_MODEL]


async def test_no_texts_are_no_call(provider, fake):
    assert (await provider.embed(EMBED_MODEL, [])).vectors == []
    assert fake.requests == []


async def test_a_server_that_does_not_stream(provider):
    request = ChatRequest(model=CHAT_MODEL, messages=HI.messages, extra={"stream": False})
    chunks = await collect(provider, request)
    assert [chunk.text for chunk in chunks] == ["say hi", ""]
    assert chunks[-1].usage == Usage(2, 2)


async def test_a_stream_without_its_last_word(provider, fake):
    fake.will_stream(
        b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n',
        b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n',
    )
    assert [chunk.finish_reason for chunk in await collect(provider)] == [None, "stop"]


async def test_what_follows_the_last_word_is_left_out(provider, fake):
    fake.will_stream(
        b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n',
        b"data: [DONE]\n\n",
        b"data: nonsense\n\n",
    )
    assert len(await collect(provider)) == 1


async def test_a_server_that_keeps_the_connection_open_after_the_last_word(provider, fake):
    fake.will_stream(
        b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
        b": bye\n\n",
        pause=30,
    )
    async with asyncio.timeout(2):
        assert len(await collect(provider)) == 1
    assert await asyncio.to_thread(fake.wait_until_idle)


async def test_a_page_says_what_is_wrong(provider, fake):
    fake.will_send(b"<html>Please log in</html>", content_type="text/html")
    with pytest.raises(errors.UpstreamProtocolError, match=r"acme.*web page.*base URL"):
        await collect(provider)


async def test_a_broken_connection_is_no_end(provider, fake):
    fake.will_break("so far")
    seen = []

    async def listen():
        async for chunk in provider.chat(HI):
            seen.append(chunk)

    with pytest.raises((errors.UpstreamUnavailable, errors.UpstreamProtocolError)):
        await listen()
    assert [chunk.text for chunk in seen] == ["so far"]


async def test_leaving_closes_the_connection(provider, fake):
    fake.will_answer("a", "b", pause=30)
    async with aclosing(provider.chat(HI)) as stream:
        assert (await anext(stream)).text == "a"
        assert fake.open_streams == 1
    assert await asyncio.to_thread(fake.wait_until_idle)


async def test_refusals(provider, fake):
    fake.will_fail(429, "slow down", headers={"retry-after": "7"})
    with pytest.raises(errors.UpstreamRateLimited, match="slow down") as caught:
        await collect(provider)
    assert caught.value.retry_after == 7
    with pytest.raises(errors.UpstreamModelNotFound, match="nobody"):
        await collect(provider, ChatRequest(model="nobody", messages=HI.messages))


async def test_a_dialect(build, fake):
    provider = build(
        auth_header="api-key",
        auth_scheme="",
        headers={"x-team": "blue"},
        query={"api-version": "1 a"},
        max_tokens_field="max_completion_tokens",
        include_usage=False,
    )
    fake.api_key = None
    await collect(provider, ChatRequest(model=CHAT_MODEL, messages=HI.messages, max_tokens=3))
    seen = fake.requests[-1]
    assert seen.path == "/v1/chat/completions?api-version=1+a"
    assert (seen.headers["api-key"], seen.headers["x-team"]) == ("sk-fake", "blue")
    assert "authorization" not in seen.headers
    assert seen.json["max_completion_tokens"] == 3
    assert "stream_options" not in seen.json


async def test_paths_of_a_dialect(build, fake):
    provider = build(models_path="/elsewhere")
    with pytest.raises(errors.UpstreamModelNotFound):
        await provider.models()
    assert fake.requests[-1].path == "/v1/elsewhere"


async def test_errors_in_answers_do_not_quote_the_key(fake, client):
    fake.api_key = "aVerySecretKeyOfNoKnownForm"
    config = BackendConfig(name="acme", type="acme", base_url=fake.base_url, api_key=fake.api_key)
    provider = OpenAIWireProvider(config, client)
    body = b'{"error": {"message": "key aVerySecretKeyOfNoKnownForm is odd"}}'
    fake.will_send(body)
    with pytest.raises(errors.UpstreamError, match=r"key \*\*\* is odd"):
        await provider.embed(EMBED_MODEL, ["a"])
    fake.will_stream(b"data: " + body + b"\n\n")
    with pytest.raises(errors.UpstreamError, match=r"key \*\*\* is odd"):
        await collect(provider)


async def test_errors_in_lists_of_models_do_not_quote_the_key():
    def handle(request):
        error = {"error": {"message": f"{request.headers['authorization'].split()[1]} is odd"}}
        return httpx.Response(200, json=error)

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        config = BackendConfig(name="acme", type="acme", base_url="http://x", api_key="oddKey77")
        with pytest.raises(errors.UpstreamError, match="is odd") as caught:
            await OpenAIWireProvider(config, client).models()
    assert "oddKey77" not in str(caught.value)
