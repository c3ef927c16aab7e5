"""The frames of a stream, byte by byte, and what a run's output becomes."""

from __future__ import annotations

import json

import pytest
from runtime_shim_openai.answers import CompletionStream, begins, completion_of
from runtime_shim_openai.frames import DONE
from runtime_shim_openai.wire import EmbeddingRequest, embeddings_to_wire, texts_of

from runtime_core.errors import InvalidRequest, TaskFailed, Unprocessable
from runtime_core.types import (
    ChatChunk,
    ChatHistory,
    Delta,
    Embeddings,
    FunctionCall,
    Message,
    ModelRouted,
    Routed,
    RunFinished,
    StepStarted,
    ToolCall,
    ToolCallDelta,
    Usage,
)

CALL = ToolCall("call_1", FunctionCall("add", '{"a": 1}'))


def delta(text="", *, final=True, **more):
    return Delta("t", ChatChunk(text, **more), final)


def finished(*messages, reason="stop", tokens=(3, 2)):
    history = ChatHistory(tuple(messages), "m", *tokens, reason)
    return RunFinished(history, "chat_history")


def assistant(content="", calls=()):
    return Message(role="assistant", content=content, tool_calls=tuple(calls))


def frames(raw: bytes) -> list[dict]:
    parts = raw.split(b"\n\n")
    assert parts.pop() == b""
    assert all(part.startswith(b"data: ") and b"\n" not in part for part in parts)
    return [json.loads(part[6:]) for part in parts]


def deltas(found: list[dict]) -> list[dict]:
    return [choice["delta"] for frame in found for choice in frame["choices"]]


def test_a_stream_begins_with_the_role_and_ends_with_the_reason():
    stream = CompletionStream("gpt", include_usage=False)
    found = frames(
        stream.encode([delta("Hel"), delta('lo "\n✓'), finished(assistant('Hello "\n✓'))])
    )
    assert deltas(found) == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": 'lo "\n✓'},
        {},
    ]
    assert [f["choices"][0]["finish_reason"] for f in found] == [None, None, None, "stop"]
    assert {(f["id"], f["model"], f["object"]) for f in found} == {
        (found[0]["id"], "gpt", "chat.completion.chunk")
    }
    assert stream.finish() == DONE


def test_usage_is_a_frame_of_its_own_when_asked_for():
    stream = CompletionStream("gpt", include_usage=True)
    last = frames(stream.encode([delta("x"), finished(assistant("x"))]))[-1]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_what_is_not_final_is_not_sent():
    stream = CompletionStream("gpt", include_usage=False)
    assert stream.encode([delta("secret", final=False)]) == b""
    assert not begins(delta("secret", final=False))
    assert begins(delta("x"))


def test_an_answer_begins_when_tools_are_used():
    using = StepStarted("t", "execute_tool_calls")
    assert begins(using)
    assert not begins(StepStarted("t", "chat_completion"))
    stream = CompletionStream("gpt", include_usage=False)
    assert stream.encode([StepStarted("t", "chat_completion")]) == b""
    first = frames(stream.encode([using]))
    assert deltas(first) == [{"role": "assistant", "content": ""}]
    rest = frames(stream.encode([using, delta("x"), finished(assistant("x"))]))
    assert deltas(rest) == [{"content": "x"}, {}]


def test_what_the_last_model_did_not_stream_of_the_answer_follows():
    stream = CompletionStream("gpt", include_usage=False)
    routed = ModelRouted("t", Routed("b", "x", "real"))
    calling = delta("One.", tool_calls=(ToolCallDelta(0, "c", "mine"),))
    events = [routed, calling, routed, finished(assistant("Two.", [CALL]), reason="tool_calls")]
    found = deltas(frames(stream.encode(events)))
    assert found[2]["content"] == "\n\nTwo."
    assert found[2]["tool_calls"][0]["id"] == "call_1"


def test_an_answer_nobody_streamed_comes_in_one_piece():
    stream = CompletionStream("", include_usage=False)
    routed = ModelRouted("t", Routed("b", "x", "real"))
    events = [routed, finished(assistant("whole", [CALL]), reason="tool_calls")]
    found = frames(stream.encode(events))
    assert deltas(found)[1] == {
        "content": "whole",
        "tool_calls": [
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "add", "arguments": '{"a": 1}'},
            }
        ],
    }
    assert found[0]["model"] == "real"
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_first_piece_of_a_tool_call_has_its_name():
    stream = CompletionStream("gpt", include_usage=False)
    first = delta(tool_calls=(ToolCallDelta(0, "call_1", "add", ""),))
    second = delta("and", tool_calls=(ToolCallDelta(0, None, None, "{}"),), reasoning="hm")
    found = deltas(frames(stream.encode([first, second])))
    assert found[1]["tool_calls"] == [
        {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "add", "arguments": ""},
        }
    ]
    assert found[2] == {
        "content": "and",
        "reasoning_content": "hm",
        "tool_calls": [{"index": 0, "function": {"arguments": "{}"}}],
    }


def test_an_id_that_comes_before_the_name_is_kept():
    stream = CompletionStream("gpt", include_usage=False)
    pieces = (ToolCallDelta(0, "call_1"), ToolCallDelta(0, None, "add"))
    found = deltas(frames(stream.encode([delta(tool_calls=(piece,)) for piece in pieces])))
    assert [one["tool_calls"] for one in found[1:]] == [
        [{"index": 0, "id": "call_1", "type": "function", "function": {"arguments": ""}}],
        [{"index": 0, "function": {"name": "add", "arguments": ""}}],
    ]


def test_an_empty_chunk_is_no_frame():
    stream = CompletionStream("gpt", include_usage=False)
    stream.encode([delta("x")])
    assert stream.encode([delta("", usage=Usage(1, 1), finish_reason="stop")]) == b""


@pytest.mark.parametrize(
    ("output", "kind", "content"),
    [("text", "string", "text"), (ChatHistory((assistant("hi"),)), "chat_history", "hi")],
)
def test_text_and_conversations_are_answers(output, kind, content):
    completion = completion_of(RunFinished(output, kind), "asked")
    assert (completion.model, completion.message.content) == ("asked", content)


@pytest.mark.parametrize("role", ["tool", "user"])
def test_the_answer_is_the_assistants_whoever_spoke_last(role):
    message = Message(role=role, content="42", tool_call_id="c", name="n")
    completion = completion_of(RunFinished(ChatHistory((message,)), "chat_history"), "asked")
    assert completion.message == assistant("42")


def test_other_outputs_are_refused_with_the_way_out():
    with pytest.raises(TaskFailed, match=r"ended with vector.*convert_to"):
        completion_of(RunFinished([1.0], "vector"), "asked")


@pytest.mark.parametrize("given", ["", [], ["a", ""]])
def test_nothing_to_embed(given):
    with pytest.raises(InvalidRequest, match="at least one text"):
        texts_of(EmbeddingRequest(given))


@pytest.mark.parametrize("given", [[1, 2], [[1, 2]]])
def test_tokens_are_not_embedded(given):
    with pytest.raises(Unprocessable, match="not tokens"):
        texts_of(EmbeddingRequest(given))


def test_a_dimension_is_not_ignored():
    with pytest.raises(Unprocessable, match="dimensions"):
        texts_of(EmbeddingRequest("a", dimensions=2))


def test_vectors_are_packed_as_clients_unpack_them():
    answer = Embeddings([[1.0, -0.5]], "m", Usage(4, 0))
    packed = embeddings_to_wire(answer, "m", packed=True)
    assert packed.data[0].embedding == "AACAPwAAAL8="
    assert embeddings_to_wire(answer, "m", packed=False).data[0].embedding == [1.0, -0.5]
    assert (packed.usage.prompt_tokens, packed.usage.total_tokens) == (4, 4)
