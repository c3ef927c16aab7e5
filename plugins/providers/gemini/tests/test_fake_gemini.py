"""The imitation of Gemini is judged by Google's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from google import genai
from google.genai import errors, types

from runtime_core.testing import Answer, Upstream
from runtime_core.types import FunctionCall, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODEL = "gemini-2.5-flash"
CALLS = (
    ToolCall("ignored", FunctionCall("get_weather", '{"city": "Oslo"}')),
    ToolCall("ignored", FunctionCall("now", "{}")),
)
TOOLS = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="Get the weather.",
            parameters_json_schema={
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        ),
        types.FunctionDeclaration(name="now", description="The time."),
    ]
)


@pytest.fixture
async def upstream(gemini_wire) -> AsyncIterator[Upstream]:
    upstream = Upstream(gemini_wire)
    async with upstream.serving():
        yield upstream


@pytest.fixture
async def sdk(upstream):
    async with httpx.AsyncClient() as http:  # what it would use by itself warns of its own code
        options = types.HttpOptions(
            base_url=upstream.url, api_version="v1beta", httpx_async_client=http
        )
        with genai.Client(api_key="k", http_options=options) as client:
            yield client.aio


async def test_streams_a_conversation(sdk, upstream):
    upstream.will_answer(
        Answer(reasoning=("hm",), text=("Hel", "lo ✓"), finish_reason="length", usage=Usage(3, 5))
    )
    stream = await sdk.models.generate_content_stream(model=MODEL, contents="Hello")
    parts = [part async for part in stream]
    said = [p for event in parts for p in event.candidates[0].content.parts]
    assert [p.text for p in said if p.thought] == ["hm"]
    assert "".join(p.text for p in said if not p.thought) == "Hello ✓"
    last = parts[-1]
    assert last.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    usage = last.usage_metadata
    assert (usage.prompt_token_count, usage.total_token_count) == (3, 8)
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (3, 2)
    assert upstream.requests[-1].headers["x-goog-api-key"] == "k"


async def test_answers_a_conversation_whole(sdk, upstream):
    upstream.will_answer(Answer(text=("Hel", "lo"), usage=Usage(3, 4)))
    answer = await sdk.models.generate_content(model=MODEL, contents="Hello")
    assert answer.text == "Hello"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP


@pytest.mark.parametrize("stream", [True, False])
async def test_calls_tools(sdk, upstream, stream):
    upstream.will_answer(Answer(tool_calls=CALLS, finish_reason="tool_calls"))
    config = types.GenerateContentConfig(
        tools=[TOOLS],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(mode="ANY")
        ),
    )
    asked = {"model": MODEL, "contents": "Weather?", "config": config}
    if stream:
        events = [e async for e in await sdk.models.generate_content_stream(**asked)]
    else:
        events = [await sdk.models.generate_content(**asked)]
    calls = [call for event in events for call in event.function_calls or ()]
    assert [(call.name, call.args or {}) for call in calls] == [
        ("get_weather", {"city": "Oslo"}),
        ("now", {}),
    ]
    first, second = upstream.wire.asked(upstream.requests[-1]).tools
    assert (first.parameters["required"], second.parameters) == (["city"], None)


async def test_takes_the_results_of_tools(sdk, upstream):
    call = types.Part.from_function_call(name="now", args={})
    result = types.Part.from_function_response(name="now", response={"output": "12:00"})
    contents = [
        types.Content(role="user", parts=[types.Part(text="Time?")]),
        types.Content(role="model", parts=[call]),
        types.Content(role="user", parts=[result]),
    ]
    await sdk.models.generate_content(model=MODEL, contents=contents)
    user, called, answered = upstream.wire.asked(upstream.requests[-1]).messages
    assert (user.content, called.tool_calls[0].function.name) == ("Time?", "now")
    assert (answered.role, answered.name, answered.content) == ("tool", "now", "12:00")


async def test_understands_options(sdk, upstream):
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=7,
        stop_sequences=["x"],
        seed=1,
        presence_penalty=0.25,
        frequency_penalty=0.75,
        response_mime_type="application/json",
        response_json_schema={"type": "object"},
    )
    await sdk.models.generate_content(model=MODEL, contents="Hi", config=config)
    asked = upstream.wire.asked(upstream.requests[-1])
    assert [(m.role, m.content) for m in asked.messages] == [
        ("system", "Be brief."),
        ("user", "Hi"),
    ]
    assert (asked.temperature, asked.top_p, asked.max_tokens) == (0.5, 0.9, 7)
    assert (asked.stop, asked.seed) == (("x",), 1)
    assert (asked.presence_penalty, asked.frequency_penalty) == (0.25, 0.75)
    assert asked.response_format["json_schema"]["schema"] == {"type": "object"}


async def test_embeds(sdk, upstream):
    upstream.will_embed([[0.5, 1.0], [0.25, -1.0]])
    answer = await sdk.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    assert [row.values for row in answer.embeddings] == [[0.5, 1.0], [0.25, -1.0]]
    assert upstream.wire.asked_texts(upstream.requests[-1]) == ["a", "b"]


async def test_lists_page_by_page(sdk, upstream):
    found = [model async for model in await sdk.models.list()]
    assert [model.name for model in found] == [
        "models/gemini-2.5-flash",
        "models/gemma-3-4b-it",
        "models/gemini-embedding-001",
    ]
    assert (found[0].input_token_limit, found[0].supported_actions) == (
        1048576,
        ["generateContent", "countTokens"],
    )
    assert upstream.listings == 2


async def test_refuses(sdk, upstream):
    upstream.will_fail(404, "models/nothing is not found")
    with pytest.raises(errors.ClientError) as caught:
        await sdk.models.generate_content(model="nothing", contents="Hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    upstream.will_answer(
        Answer(text=("one", "two")),
        spoil=lambda frames: (frames[0], upstream.wire.failure_midway("overloaded")),
    )
    with pytest.raises(errors.ServerError, match="overloaded"):
        _ = [e async for e in await sdk.models.generate_content_stream(model=MODEL, contents="Hi")]
