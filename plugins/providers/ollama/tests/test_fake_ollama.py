"""The imitation of Ollama is judged by Ollama's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ollama import AsyncClient, ResponseError

from runtime_core.testing import Answer, Upstream
from runtime_core.types import FunctionCall, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.testing import ChatWire

MODEL = "llama3.2:latest"
HELLO = [{"role": "user", "content": "Hello"}]
CALL = ToolCall("ignored", FunctionCall("get_weather", '{"city": "Oslo"}'))


@pytest.fixture
async def upstream(ollama_wire: ChatWire) -> AsyncIterator[Upstream]:
    upstream = Upstream(ollama_wire)
    async with upstream.serving():
        yield upstream


@pytest.fixture
async def sdk(upstream: Upstream) -> AsyncIterator[AsyncClient]:
    sdk = AsyncClient(host=upstream.url)
    yield sdk
    await sdk.close()


async def test_streams_a_conversation(sdk: AsyncClient, upstream: Upstream) -> None:
    upstream.will_answer(
        Answer(reasoning=("hm",), text=("Hel", "lo ✓"), finish_reason="length", usage=Usage(3, 4))
    )
    parts = [part async for part in await sdk.chat(MODEL, HELLO, stream=True)]
    assert "".join(part.message.content or "" for part in parts) == "Hello ✓"
    assert "".join(part.message.thinking or "" for part in parts) == "hm"
    assert [part.done for part in parts] == [False, False, False, True]
    assert parts[-1].done_reason == "length"
    assert (parts[-1].prompt_eval_count, parts[-1].eval_count) == (3, 4)
    assert parts[-1].model == MODEL


async def test_answers_a_conversation_whole(sdk: AsyncClient, upstream: Upstream) -> None:
    upstream.will_answer(Answer(text=("Hel", "lo"), usage=Usage(3, 4)))
    answer = await sdk.chat(MODEL, HELLO)
    assert (answer.message.content, answer.done, answer.done_reason) == ("Hello", True, "stop")


@pytest.mark.parametrize("stream", [True, False])
async def test_calls_tools(sdk: AsyncClient, upstream: Upstream, stream: bool) -> None:
    def get_weather(city: str) -> str:
        """Get the weather.

        Args:
            city: Name of the city.
        """
        return city

    upstream.will_answer(Answer(tool_calls=(CALL,), finish_reason="tool_calls"))
    if stream:
        parts = [
            part async for part in await sdk.chat(MODEL, HELLO, tools=[get_weather], stream=True)
        ]
    else:
        parts = [await sdk.chat(MODEL, HELLO, tools=[get_weather])]
    (call,) = [call for part in parts for call in part.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Oslo"})
    (tool,) = upstream.wire.asked(upstream.requests[-1]).tools
    assert tool.name == "get_weather"
    assert (tool.parameters or {})["required"] == ["city"]


async def test_understands_options(sdk: AsyncClient, upstream: Upstream) -> None:
    options = {"temperature": 0.5, "num_predict": 7, "stop": ["x"], "seed": 1, "top_p": 0.9}
    await sdk.chat(MODEL, HELLO, options=options, format="json")
    asked = upstream.wire.asked(upstream.requests[-1])
    assert (asked.temperature, asked.max_tokens, asked.stop) == (0.5, 7, ("x",))
    assert asked.response_format == {"type": "json_object"}


async def test_embeds(sdk: AsyncClient, upstream: Upstream) -> None:
    upstream.will_embed([[0.5, 1.0], [0.25, -1.0]])
    answer = await sdk.embed(MODEL, ["a", "b"])
    assert answer.embeddings == [[0.5, 1.0], [0.25, -1.0]]


async def test_lists_and_shows(sdk: AsyncClient) -> None:
    (listed,) = (await sdk.list()).models
    assert (listed.model, listed.size) == (MODEL, 2019393189)
    shown = await sdk.show(MODEL)
    assert shown.capabilities == ["completion", "tools"]
    assert (shown.modelinfo or {})["llama.context_length"] == 131072


async def test_refuses(sdk: AsyncClient, upstream: Upstream) -> None:
    with pytest.raises(ResponseError, match="not found") as caught:
        await sdk.show("nothing")
    assert caught.value.status_code == 404
    upstream.will_answer(
        Answer(text=("one", "two")),
        spoil=lambda frames: (frames[0], upstream.wire.failure_midway("out of memory")),
    )
    with pytest.raises(ResponseError, match="out of memory"):
        _ = [part async for part in await sdk.chat(MODEL, HELLO, stream=True)]


async def test_pulls_and_deletes(sdk: AsyncClient) -> None:
    parts = [part async for part in await sdk.pull("phi3:3.8b", stream=True)]
    assert parts[0].status == "pulling manifest"
    about = [(part.status, part.completed, part.total) for part in parts if part.digest]
    assert about[:3] == [
        ("pulling aaaaaaaaaaaa", None, 1000),
        ("pulling aaaaaaaaaaaa", 500, 1000),
        ("pulling aaaaaaaaaaaa", 1000, 1000),
    ]
    assert parts[-1].status == "success"
    assert [model.model for model in (await sdk.list()).models] == [MODEL, "phi3:3.8b"]
    assert (await sdk.pull("tiny")).status == "success"
    assert (await sdk.delete("phi3:3.8b")).status == "success"
    assert [model.model for model in (await sdk.list()).models] == [MODEL]
    with pytest.raises(ResponseError, match="not found") as caught:
        await sdk.delete("phi3:3.8b")
    assert caught.value.status_code == 404


async def test_fails_to_pull(sdk: AsyncClient, ollama_wire: Any) -> None:
    ollama_wire.pull_ends = (ollama_wire.failure_midway("no space left on device"),)
    with pytest.raises(ResponseError, match="no space left on device"):
        _ = [part async for part in await sdk.pull("phi3", stream=True)]
    assert len((await sdk.list()).models) == 1
