"""Answers as Gemini sends them, event by event."""

import json

import pytest
from runtime_provider_gemini import GeminiProvider

from runtime_core import errors
from runtime_core.testing import Reply, Upstream
from runtime_core.types import BackendConfig, ChatRequest, FunctionCall, Message, ToolCall, Usage
from runtime_core.upstream import create_client

SSE = {"content-type": "text/event-stream"}
QUESTION = Message(role="user", content="Hi")


@pytest.fixture
async def upstream(gemini_wire):
    upstream = Upstream(gemini_wire)
    async with upstream.serving():
        yield upstream


@pytest.fixture
async def provider(upstream):
    async with create_client(read_timeout=5) as client:
        config = BackendConfig(name="g", type="gemini", base_url=upstream.url, api_key="k-secret")
        yield GeminiProvider(config, client)


@pytest.fixture
def hear(upstream, provider):
    """Ask, have the events sent, and return the chunks."""

    async def hear(*events, messages=(QUESTION,), model="gemini-3-pro"):
        frames = [upstream.wire.frame(json.dumps(event).encode()) for event in events]
        upstream.will_reply(Reply(tuple(frames), 200, SSE))
        request = ChatRequest(model=model, messages=messages)
        return [chunk async for chunk in provider.chat(request)]

    return hear


def event(*parts, finish=None, **more):
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate]} | more


async def test_text_and_thoughts_in_one_event(hear):
    chunks = await hear(
        event({"text": "Hm. ", "thought": True}, {"text": "A"}, {"text": "B"}, finish="STOP")
    )
    assert [(chunk.text, chunk.reasoning) for chunk in chunks] == [("AB", "Hm. "), ("", "")]


async def test_the_last_counts_are_the_answers(hear):
    chunks = await hear(
        event({"text": "a"}, usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 1}),
        event({"text": "b"}, finish="STOP"),
        {
            "usageMetadata": {
                "promptTokenCount": 5,
                "toolUsePromptTokenCount": 2,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 40,
                "totalTokenCount": 50,
            }
        },
    )
    assert [chunk.text for chunk in chunks] == ["a", "b", ""]
    assert chunks[-1].usage == Usage(7, 43)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("OTHER", "content_filter"),
        ("A_WORD_OF_NEXT_YEAR", "stop"),
    ],
)
async def test_why_answers_end(hear, word, reason):
    chunks = await hear({"candidates": [{"finishReason": word, "index": 0}]})
    assert [chunk.finish_reason for chunk in chunks] == [reason]


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("MALFORMED_FUNCTION_CALL", errors.UpstreamProtocolError),
        ("UNEXPECTED_TOOL_CALL", errors.UpstreamProtocolError),
        ("MISSING_THOUGHT_SIGNATURE", errors.UpstreamRejected),
    ],
)
async def test_answers_that_cannot_be_used(hear, word, error):
    candidate = {"finishReason": word, "finishMessage": "print(now())"}
    with pytest.raises(error, match=rf"{word}: print\(now") as caught:
        await hear(event({"text": "a"}), {"candidates": [candidate]})
    assert type(caught.value) is error


async def test_an_unspecified_reason_is_no_end(hear):
    with pytest.raises(errors.UpstreamProtocolError, match="half-way"):
        await hear(event({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED"))


async def test_a_blocked_prompt(hear):
    chunks = await hear(
        {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
        }
    )
    assert [(c.text, c.finish_reason, c.usage) for c in chunks] == [
        ("", "content_filter", Usage(5, 0))
    ]


async def test_feedback_without_a_block(hear):
    feedback = {"safetyRatings": [], "blockReason": "BLOCK_REASON_UNSPECIFIED"}
    chunks = await hear(event({"text": "a"}, finish="STOP"), {"promptFeedback": feedback})
    assert chunks[-1].finish_reason == "stop"


async def test_other_candidates_and_parts_are_left_out(hear):
    second = {"content": {"parts": [{"text": "other"}]}, "finishReason": "SAFETY", "index": 1}
    events = event(
        {"inlineData": {"mimeType": "image/png", "data": "eA=="}},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"text": "a"},
        finish="STOP",
    )
    events["candidates"].append(second)
    chunks = await hear({"candidates": [second]}, events)
    assert [(c.text, c.finish_reason) for c in chunks] == [("a", None), ("", "stop")]


async def test_arguments_are_passed_on_as_they_were_written(hear):
    chunks = await hear(
        event(
            {"functionCall": {"name": "f", "args": {"n": 12345678901234567890, "s": "✓"}}},
            {"functionCall": {"name": "g"}},
            {"functionCall": {"name": "h", "args": None}},
            finish="STOP",
        )
    )
    deltas = chunks[0].tool_calls
    assert [json.loads(delta.arguments) for delta in deltas] == [
        {"n": 12345678901234567890, "s": "✓"},
        {},
        {},
    ]
    assert [(delta.index, delta.name) for delta in deltas] == [(0, "f"), (1, "g"), (2, "h")]
    assert chunks[-1].finish_reason == "tool_calls"


async def test_ids_of_the_model_are_kept_when_they_are_its_own(hear):
    chunks = await hear(
        event({"functionCall": {"id": "x", "name": "f"}}),
        event({"functionCall": {"id": "x", "name": "f"}}, finish="STOP"),
    )
    first, second = (delta.id for chunk in chunks for delta in chunk.tool_calls)
    assert first == "x"
    assert second not in ("x", "", None)


async def test_a_cut_call_is_too_long_an_answer(hear):
    chunks = await hear(event({"functionCall": {"name": "f"}}, finish="MAX_TOKENS"))
    assert chunks[-1].finish_reason == "length"


@pytest.mark.parametrize("args", [[1], "x", 7])
async def test_arguments_that_are_no_object(hear, args):
    with pytest.raises(errors.UpstreamProtocolError, match="f with arguments"):
        await hear(event({"functionCall": {"name": "f", "args": args}}, finish="STOP"))


async def test_other_media_types_are_not_answers(upstream, provider):
    upstream.will_reply(
        Reply((b'[{"candidates": []}]',), 200, {"content-type": "application/json"})
    )
    with pytest.raises(errors.UpstreamProtocolError, match="base URL"):
        async for _ in provider.chat(ChatRequest(model="m", messages=(QUESTION,))):
            pass


# -- thought signatures ------------------------------------------------------


async def answered(hear, chunks, model="gemini-3-pro", earlier=()):
    """Send the results of the calls in *chunks* back, and return the parts of the calls."""
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    calls = tuple(ToolCall(d.id, FunctionCall(d.name, d.arguments)) for d in deltas)
    results = [Message(role="tool", content="1", tool_call_id=call.id) for call in calls]
    asked = Message(role="assistant", content=None, tool_calls=calls)
    await hear(
        event({"text": "ok"}, finish="STOP"),
        messages=(QUESTION, *earlier, asked, *results),
        model=model,
    )


async def test_signatures_go_back_with_their_calls(hear, upstream):
    chunks = await hear(
        event(
            {"functionCall": {"name": "f"}, "thoughtSignature": "c2lnbmVk"},
            {"functionCall": {"name": "g"}},
            finish="STOP",
        )
    )
    await answered(hear, chunks)
    parts = upstream.requests[-1].json()["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["c2lnbmVk", None]


@pytest.mark.parametrize(
    ("model", "signature"),
    [
        ("gemini-3-pro", "skip_thought_signature_validator"),
        ("models/gemini-3-pro", "skip_thought_signature_validator"),
        ("gemini-flash-latest", "skip_thought_signature_validator"),
        ("gemini-2.5-pro", None),
        ("gemini-1.5-flash", None),
        ("gemma-3-4b-it", None),
    ],
)
async def test_calls_of_somebody_else_are_not_refused(hear, upstream, model, signature):
    calls = tuple(ToolCall(name, FunctionCall("f", "{}")) for name in "ab")
    await hear(
        event({"text": "ok"}, finish="STOP"),
        messages=(QUESTION, Message(role="assistant", content="So:", tool_calls=calls)),
        model=model,
    )
    parts = upstream.requests[-1].json()["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, signature, None]


async def test_only_the_latest_signatures_are_kept(hear, upstream):
    signed = {"functionCall": {"name": "f"}, "thoughtSignature": "c2lnbmVk"}
    first = await hear(event(signed, finish="STOP"))
    latest = await hear(event(*[signed] * 1024, finish="STOP"))
    huge = await hear(event(signed | {"thoughtSignature": "x" * 100_000}, finish="STOP"))
    for chunks, signature in (
        (first, "skip_thought_signature_validator"),
        (huge, "skip_thought_signature_validator"),
        (latest, "c2lnbmVk"),
    ):
        await answered(hear, chunks)
        parts = upstream.requests[-1].json()["contents"][1]["parts"]
        assert {part.get("thoughtSignature") for part in parts} == {signature}
