"""Chunks of answers, from servers that keep to the protocol and from those that do not."""

import json

import pytest
from runtime_openai_wire import ChatDecoder

from runtime_core import errors
from runtime_core.types import ChatChunk, ToolCallDelta, Usage


def event(delta=None, finish=None, **rest):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return json.dumps({"choices": [choice], **rest}).encode()


def read(*events):
    """Return the chunks of a stream, the last one included."""
    decoder = ChatDecoder("acme")
    chunks = [chunk for data in events if (chunk := decoder.feed(data)) is not None]
    return [*chunks, decoder.end()]


def deltas(*events):
    return [delta for chunk in read(*events, event(finish="stop")) for delta in chunk.tool_calls]


def call(index=None, id_=None, name=None, arguments=None):
    function = {
        key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None
    }
    found = {"function": function} | ({"index": index} if index is not None else {})
    return found | ({"id": id_} if id_ is not None else {})


def test_text_finish_and_usage():
    chunks = read(
        event({"role": "assistant", "content": ""}),
        event({"content": " a"}),
        event({"content": "\n"}),
        event({}, "stop"),
        b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}',
    )
    assert chunks == [
        ChatChunk(" a"),
        ChatChunk("\n"),
        ChatChunk(finish_reason="stop", usage=Usage(3, 2)),
    ]


def test_the_last_usage_counts():
    chunks = read(
        event({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
        event({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2}),
        b'{"usage": null}',
    )
    assert [chunk.usage for chunk in chunks] == [None, Usage(3, 2)]
    assert read(event({}, "stop"))[-1].usage is None


def test_text_in_the_chunk_of_the_finish_reason():
    assert read(event({"content": "all"}, "length")) == [
        ChatChunk("all"),
        ChatChunk(finish_reason="length"),
    ]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("eos", "stop"),
    ],
)
def test_words_for_the_end(word, reason):
    assert read(event(finish=word))[-1].finish_reason == reason


def test_an_empty_finish_reason_is_none():
    with pytest.raises(errors.UpstreamProtocolError, match=r"acme.*no finish reason"):
        read(event({"content": "a"}, ""))


@pytest.mark.parametrize("word", ["error", "abort", "insufficient_system_resource"])
def test_servers_that_give_up(word):
    with pytest.raises(errors.UpstreamUnavailable, match=word):
        read(event({"content": "a"}), event({}, word))


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning(key):
    chunks = read(event({"content": None, key: "hm"}), event({"content": "42"}), event({}, "stop"))
    assert chunks[:2] == [ChatChunk(reasoning="hm"), ChatChunk("42")]
    both = read(event({"content": "42", key: "hm"}), event({}, "stop"))
    assert both[0] == ChatChunk("42", reasoning="hm")


def test_refusals_are_text():
    assert read(event({"refusal": "I will not."}), event({}, "stop"))[0].text == "I will not."


def test_content_in_parts():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}, 3]},
        {"type": "text", "text": "4"},
        {"type": "text", "text": None},
        {"type": "image"},
        {"type": "text", "text": "2"},
    ]
    assert read(event({"content": parts}), event({}, "stop"))[0] == ChatChunk("42", reasoning="hm")


def test_other_choices_are_left_out():
    other = b'{"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "length"}]}'
    assert read(event({"content": "a"}), other, event({}, "stop")) == [
        ChatChunk("a"),
        ChatChunk(finish_reason="stop"),
    ]


def test_tool_calls_in_pieces():
    assert deltas(
        event({"content": None, "tool_calls": [call(0, "c1", "f", "")]}),
        event({"tool_calls": [call(0, arguments='{"a"')]}),
        event({"tool_calls": [call(1, "c2", "g", "")]}),
        event({"tool_calls": [call(0, arguments=": 1}"), call(1, arguments="{}")]}),
    ) == [
        ToolCallDelta(0, "c1", "f", ""),
        ToolCallDelta(0, None, None, '{"a"'),
        ToolCallDelta(1, "c2", "g", ""),
        ToolCallDelta(0, None, None, ": 1}"),
        ToolCallDelta(1, None, None, "{}"),
    ]


def test_tool_calls_with_text_in_one_chunk():
    (chunk, _) = read(
        event({"content": "Look: ", "tool_calls": [call(0, "c", "f", "{}")]}, "tool_calls")
    )
    assert chunk == ChatChunk("Look: ", (ToolCallDelta(0, "c", "f", "{}"),))


def test_ids_and_names_are_said_once():
    assert deltas(
        event({"tool_calls": [call(0, "c1", "f", "{")]}),
        event({"tool_calls": [call(0, "c1", "f", "}")]}),
        event({"tool_calls": [call(0, "", "", "")]}),
    ) == [
        ToolCallDelta(0, "c1", "f", "{"),
        ToolCallDelta(0, None, None, "}"),
        ToolCallDelta(0, None, None, ""),
    ]


def test_a_name_that_comes_late():
    first, second = deltas(
        event({"tool_calls": [call(0, "c1")]}), event({"tool_calls": [call(0, name="f")]})
    )
    assert (first.id, first.name, second.id, second.name) == ("c1", None, None, "f")


def test_missing_ids_are_made_up():
    one, two = deltas(event({"tool_calls": [call(0, name="f"), call(1, "", "f")]}))
    assert one.id
    assert two.id
    assert one.id != two.id


@pytest.mark.parametrize("index", [None, 0])
def test_parallel_calls_that_the_index_does_not_tell_apart(index):
    found = deltas(
        event({"tool_calls": [call(index, "c1", "f", "{}")]}),
        event({"tool_calls": [call(index, "c2", "g", "{")]}),
        event({"tool_calls": [call(index, None, None, "}")]}),
    )
    assert [(delta.index, delta.id, delta.arguments) for delta in found] == [
        (0, "c1", "{}"),
        (1, "c2", "{"),
        (1, None, "}"),
    ]


def test_no_index_in_one_chunk():
    found = deltas(
        event({"tool_calls": [call(None, "c1", "f", "{}"), call(None, "c2", "g", "{}")]})
    )
    assert [delta.index for delta in found] == [0, 1]


def test_arguments_that_are_no_text():
    (delta,) = deltas(event({"tool_calls": [call(0, "c", "f", {"a": 1})]}))
    assert json.loads(delta.arguments) == {"a": 1}


def test_calls_from_the_time_before_tools():
    chunks = read(
        event({"content": None, "function_call": {"name": "f", "arguments": ""}}),
        event({"function_call": {"arguments": "{}"}}),
        event({}, "function_call"),
    )
    (first,), (second,) = (chunk.tool_calls for chunk in chunks[:2])
    assert (first.index, first.name, second) == (0, "f", ToolCallDelta(0, None, None, "{}"))
    assert first.id
    assert chunks[-1].finish_reason == "tool_calls"


def test_a_call_from_that_time_with_text():
    (chunk, _) = read(
        event({"content": "Look: ", "function_call": {"name": "f", "arguments": "{}"}}, "stop")
    )
    assert chunk.text == "Look: "
    assert [(call.name, call.arguments) for call in chunk.tool_calls] == [("f", "{}")]


def test_an_answer_that_calls_tools_ends_with_tool_calls():
    chunks = read(event({"tool_calls": [call(0, "c", "f", "{}")]}), event({}, "stop"))
    assert chunks[-1].finish_reason == "tool_calls"
    cut = read(event({"tool_calls": [call(0, "c", "f", "{")]}), event({}, "length"))
    assert cut[-1].finish_reason == "length"


def test_a_whole_completion():
    message = {
        "role": "assistant",
        "content": "Hi",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert read(json.dumps(body).encode()) == [
        ChatChunk("Hi", (ToolCallDelta(0, "c", "f", "{}"),)),
        ChatChunk(finish_reason="tool_calls", usage=Usage(1, 2)),
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "busy", "type": "server_error"}, errors.UpstreamUnavailable),
        ({"message": "busy", "code": 502}, errors.UpstreamUnavailable),
        ({"message": "busy", "code": "429"}, errors.UpstreamRateLimited),
        ({"message": "busy", "code": "rate_limit_exceeded"}, errors.UpstreamRateLimited),
        ({"message": "busy", "type": "insufficient_quota"}, errors.UpstreamRateLimited),
        ({"message": "busy", "code": "invalid_api_key"}, errors.UpstreamUnauthenticated),
        ({"message": "busy", "code": "model_not_found"}, errors.UpstreamModelNotFound),
        ({"message": "busy", "code": "context_length_exceeded"}, errors.UpstreamContextExceeded),
        ({"message": "busy", "type": "invalid_request_error"}, errors.UpstreamRejected),
        ({"message": "busy", "type": "BadRequestError", "code": 400}, errors.UpstreamRejected),
        ("busy", errors.UpstreamUnavailable),
        ({"detail": "busy"}, errors.UpstreamUnavailable),
    ],
)
def test_errors_in_the_stream(error, kind):
    decoder = ChatDecoder("acme")
    decoder.feed(event({"content": "a"}))
    with pytest.raises(errors.UpstreamError, match=r"acme.*busy") as caught:
        decoder.feed(json.dumps({"error": error}).encode())
    assert type(caught.value) is kind


def test_an_error_that_is_the_whole_body():
    body = b'{"object": "error", "message": "no such model", "code": 404}'
    with pytest.raises(errors.UpstreamModelNotFound, match="no such model"):
        ChatDecoder("acme").feed(body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'"x"',
        b'{"choices": 3}',
        b'{"choices": [{"delta": "x"}]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_nonsense(data):
    with pytest.raises(errors.UpstreamProtocolError, match="acme"):
        ChatDecoder("acme").feed(data)
