"""What is Ollama's own, beyond what every provider must do."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from runtime_provider_ollama import OllamaProvider

from runtime_core.errors import (
    InvalidRequest,
    UpstreamContextExceeded,
    UpstreamProtocolError,
    UpstreamUnavailable,
)
from runtime_core.testing import Answer, Reply, Upstream, WireRequest
from runtime_core.types import (
    BackendConfig,
    ChatRequest,
    FunctionCall,
    Message,
    Tool,
    ToolCall,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.types import ChatChunk

MODEL = "llama3.2:latest"
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJg"
)


@pytest.fixture
def upstream(ollama_wire: Any) -> Upstream:
    return Upstream(ollama_wire)


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=upstream.transport) as client:
        yield client


@pytest.fixture
def provider(upstream: Upstream, client: httpx.AsyncClient) -> OllamaProvider:
    return OllamaProvider(config(upstream), client)


def config(upstream: Upstream, **options: Any) -> BackendConfig:
    return BackendConfig(name="box", type="ollama", base_url=upstream.url, options=options)


def request(*messages: Message, **fields: Any) -> ChatRequest:
    asked = messages or (Message(role="user", content="Hello"),)
    return ChatRequest(model=MODEL, messages=asked, **fields)


async def collect(provider: OllamaProvider, asked: ChatRequest) -> list[ChatChunk]:
    return [chunk async for chunk in provider.chat(asked)]


async def test_default_options_give_way_to_the_requests(
    upstream: Upstream, client: httpx.AsyncClient
) -> None:
    defaults = {"num_ctx": 8192, "temperature": 0.9, "seed": 1}
    provider = OllamaProvider(
        config(upstream, keep_alive="10m", think=False, options=defaults), client
    )
    await collect(provider, request(temperature=0.1, extra={"options": {"seed": 2}}))
    body = upstream.requests[-1].json()
    assert body["options"] == {"num_ctx": 8192, "temperature": 0.1, "seed": 2}
    assert (body["keep_alive"], body["think"]) == ("10m", False)
    await collect(provider, request(extra={"keep_alive": 0}))
    body = upstream.requests[-1].json()
    assert body["options"] == defaults
    assert body["keep_alive"] == 0


async def test_images_are_sent_in_base64(provider: OllamaProvider, upstream: Upstream) -> None:
    await collect(
        provider,
        request(
            Message(
                role="user",
                content=[
                    {"type": "text", "text": "What"},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/png;base64,{PIXEL}"},
                    },
                    {"type": "text", "text": "is this?"},
                ],
            )
        ),
    )
    upstream.wire.asked(upstream.requests[-1])
    (message,) = upstream.requests[-1].json()["messages"]
    assert message == {"role": "user", "content": "What\nis this?", "images": [PIXEL]}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}},
        {"type": "image_url"},
        {"type": "input_audio", "input_audio": {"data": "…"}},
        {},
    ],
)
async def test_parts_that_ollama_does_not_take(
    provider: OllamaProvider, upstream: Upstream, part: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest, match="Ollama takes") as caught:
        await collect(provider, request(Message(role="user", content=[part])))
    assert caught.value.param == "messages"
    assert upstream.requests == []


async def test_tool_results_name_their_tool(provider: OllamaProvider, upstream: Upstream) -> None:
    calls = (ToolCall("a", FunctionCall("now", "")), ToolCall("b", FunctionCall("add", '{"x":1}')))
    await collect(
        provider,
        request(
            Message(role="assistant", tool_calls=calls),
            Message(role="tool", content="2", tool_call_id="b"),
            Message(role="tool", content="12:00", tool_call_id="a"),
            Message(role="tool", content="?", tool_call_id="gone"),
        ),
    )
    assistant, *results = upstream.requests[-1].json()["messages"]
    assert assistant["content"] == ""
    assert [call["function"]["arguments"] for call in assistant["tool_calls"]] == [{}, {"x": 1}]
    assert [result["tool_name"] for result in results] == ["add", "now", ""]


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", "x"])
async def test_tool_arguments_that_are_no_object(provider: OllamaProvider, arguments: str) -> None:
    bad = Message(role="assistant", tool_calls=(ToolCall("a", FunctionCall("now", arguments)),))
    with pytest.raises(InvalidRequest, match="'a' are not a JSON object"):
        await collect(provider, request(bad))


@pytest.mark.parametrize(
    ("choice", "offered"),
    [
        (None, ["a", "b"]),
        ("auto", ["a", "b"]),
        ("required", ["a", "b"]),
        ("none", []),
        ({"type": "function", "function": {"name": "b"}}, ["b"]),
    ],
)
async def test_a_tool_choice_narrows_the_offer(
    provider: OllamaProvider, upstream: Upstream, choice: Any, offered: list[str]
) -> None:
    await collect(provider, request(tools=(Tool("a"), Tool("b")), tool_choice=choice))
    tools = upstream.requests[-1].json().get("tools", [])
    assert [tool["function"]["name"] for tool in tools] == offered


async def test_developers_speak_as_the_system(provider: OllamaProvider, upstream: Upstream) -> None:
    await collect(provider, request(Message(role="developer", content="Be brief.")))
    assert upstream.wire.asked(upstream.requests[-1]).messages[0].role == "system"


async def test_several_calls_in_one_line(provider: OllamaProvider, upstream: Upstream) -> None:
    function = {"name": "now", "arguments": {}}
    calls = [{"function": function}, {"id": "same", "function": function}] * 2
    lines = [
        {"message": {"role": "assistant", "content": "", "tool_calls": calls}, "done": False},
        {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
    ]
    upstream.will_reply(Reply(tuple(json.dumps(line).encode() + b"\n" for line in lines)))
    chunks = await collect(provider, request())
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert [delta.index for delta in deltas] == [0, 1, 2, 3]
    assert len({delta.id for delta in deltas}) == 4
    assert deltas[1].id == "same"
    assert chunks[-1].finish_reason == "tool_calls"


async def test_thinking_is_reasoning(provider: OllamaProvider, upstream: Upstream) -> None:
    upstream.will_answer(Answer(reasoning=("let me", " see"), text=("42",)))
    chunks = await collect(provider, request())
    assert "".join(chunk.reasoning for chunk in chunks) == "let me see"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"done_reason": "stop"}, "stop"),
        ({"done_reason": "length"}, "length"),
        ({"done_reason": "load"}, "stop"),
        ({"done_reason": "unload"}, "stop"),
        ({}, "stop"),
    ],
)
async def test_reasons_to_end(
    provider: OllamaProvider, upstream: Upstream, end: dict[str, str], reason: str
) -> None:
    whole = {"message": {"role": "assistant", "content": "Hi"}, "done": True, **end}
    upstream.will_reply(Reply((json.dumps(whole).encode(),)))
    (chunk,) = await collect(provider, request())
    assert (chunk.text, chunk.finish_reason) == ("Hi", reason)


async def test_an_answer_in_one_piece_is_understood(
    provider: OllamaProvider, upstream: Upstream
) -> None:
    upstream.will_answer(Answer(text=("Hel", "lo")))
    chunks = await collect(provider, request(extra={"stream": False}))
    assert [(chunk.text, chunk.finish_reason) for chunk in chunks] == [("Hello", "stop")]


async def test_an_error_in_mid_stream_is_read(provider: OllamaProvider, upstream: Upstream) -> None:
    text = "the input length exceeds the context length"
    for error, kind in (
        (text, UpstreamContextExceeded),
        ({"message": text}, UpstreamContextExceeded),
        ("", UpstreamUnavailable),
    ):
        upstream.will_reply(Reply((json.dumps({"error": error}).encode(),)))
        with pytest.raises(kind, match=r"^box:"):
            await collect(provider, request())


async def test_another_service_at_the_address(provider: OllamaProvider, upstream: Upstream) -> None:
    upstream.will_reply(Reply((b'{"id": "chatcmpl-1", "choices": []}',)))
    with pytest.raises(UpstreamProtocolError, match="Ollama server"):
        await collect(provider, request())


async def test_models_are_known_well(provider: OllamaProvider) -> None:
    (model,) = await provider.models()
    assert (model.name, model.context_length, model.size) == (MODEL, 131072, 2019393189)
    assert (model.can_chat, model.can_embed, model.can_prompt, model.can_stream) == (
        True,
        False,
        True,
        True,
    )
    assert model.details["capabilities"] == ["completion", "tools"]
    assert model.details["parameter_size"] == "3.2B"


class Shelf:
    """Several models, of which some cannot be shown."""

    def __init__(self, upstream: Upstream, *models: dict[str, Any]) -> None:
        self.wire = upstream.wire
        self.shown: list[str] = []
        self.broken: set[str] = set()
        self.put(upstream, *models)
        # the wire answers ``/api/show`` for its own model only
        self.wire.other = self.other  # type: ignore[method-assign]
        self.abilities: dict[str, list[str] | None] = {}

    def put(self, upstream: Upstream, *models: dict[str, Any]) -> None:
        listed = [self.wire.listed(**model) for model in models]  # type: ignore[attr-defined]
        upstream.will_list(Reply((json.dumps({"models": listed}).encode(),)))

    def other(self, asked: WireRequest) -> Reply:
        name = asked.json()["model"]
        self.shown.append(name)
        if name in self.broken:
            return self.wire.failure(500, "no")
        shown = self.wire.shown(capabilities=self.abilities.get(name))  # type: ignore[attr-defined]
        return Reply((json.dumps(shown).encode(),))


async def test_each_digest_is_asked_about_once(
    provider: OllamaProvider, upstream: Upstream
) -> None:
    shelf = Shelf(upstream, {"name": "a", "digest": "1"}, {"name": "b", "digest": "2"})
    await provider.models()
    await provider.models()
    assert sorted(shelf.shown) == ["a", "b"]
    shelf.put(upstream, {"name": "a", "digest": "3"})
    await provider.models()
    assert sorted(shelf.shown) == ["a", "a", "b"]


async def test_four_models_are_asked_about_at_once(upstream: Upstream) -> None:
    at_once: list[int] = []
    active = 0
    Shelf(upstream, *({"name": f"m{n}", "digest": str(n)} for n in range(12)))
    scripted = upstream.transport

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal active
        active += 1
        at_once.append(active)
        for _ in range(3):
            await asyncio.sleep(0)
        active -= 1
        return await scripted.handle_async_request(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as client:
        assert len(await OllamaProvider(config(upstream), client).models()) == 12
    assert max(at_once) == 4


async def test_a_model_that_cannot_be_shown_is_listed_and_asked_again(
    provider: OllamaProvider, upstream: Upstream
) -> None:
    shelf = Shelf(upstream, {"name": "a", "digest": "1"}, {"name": "b", "digest": "2"})
    shelf.broken.add("b")
    models = {model.name: model for model in await provider.models()}
    assert models["a"].context_length == 131072
    assert models["b"].context_length is None
    assert models["b"].can_chat
    shelf.broken.clear()
    models = {model.name: model for model in await provider.models()}
    assert models["b"].context_length == 131072


async def test_abilities(provider: OllamaProvider, upstream: Upstream) -> None:
    bert = {"family": "nomic-bert", "families": ["nomic-bert"]}
    shelf = Shelf(
        upstream,
        {"name": "e", "digest": "1"},
        {"name": "both", "digest": "2"},
        {"name": "old", "digest": "3", "details": bert},
        {"name": "older", "digest": "4"},
    )
    shelf.abilities = {"e": ["embedding"], "both": ["completion", "embedding"]}
    abilities = {model.name: (model.can_chat, model.can_embed) for model in await provider.models()}
    assert abilities == {
        "e": (False, True),
        "both": (True, True),
        "old": (False, True),
        "older": (True, False),
    }


async def test_no_models_at_all(provider: OllamaProvider, upstream: Upstream) -> None:
    upstream.will_list(Reply((b'{"models": null}',)))
    assert await provider.models() == []


async def test_embeddings_keep_the_model_loaded(
    upstream: Upstream, client: httpx.AsyncClient
) -> None:
    provider = OllamaProvider(config(upstream, keep_alive=-1), client)
    upstream.will_embed([[1.0]])
    result = await provider.embed(MODEL, ["x"])
    assert upstream.requests[-1].json() == {"model": MODEL, "input": ["x"], "keep_alive": -1}
    assert (result.model, result.usage and result.usage.prompt_tokens) == (MODEL, 8)
