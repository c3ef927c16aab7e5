"""The wire shapes of conversations."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core.errors import InvalidRequest, Unprocessable
from runtime_core.types import (
    ChatCompletion,
    ChatHistory,
    ChatRequest,
    FunctionCall,
    Message,
    Tool,
    ToolCall,
    Usage,
)
from runtime_core.types.interchange import (
    chat_request_to_wire,
    completion_from_history,
    completion_from_wire,
    completion_to_wire,
    history_from_wire,
    history_to_wire,
    read_chat_body,
)
from runtime_core.types.validation import validation_error

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
PARTS = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "be brief", "name": "dev"},
        {"role": "user", "content": PARTS},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "parameters": {"type": "object"},
                "strict": True,
            },
        },
        {"type": "function", "function": {"name": "g"}},
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_object"},
    "temperature": 0,
    "top_p": 0.5,
    "max_tokens": 10,
    "stop": ["a", "b"],
    "seed": 7.0,
    "presence_penalty": 1,
    "frequency_penalty": -1,
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 2,
    "logit_bias": {"5": 1},
    "unknown": {"x": 1},
}
REQUEST = ChatRequest(
    model="m",
    messages=(
        Message(role="developer", content="be brief", name="dev"),
        Message(role="user", content=PARTS),
        Message(role="assistant", tool_calls=(ToolCall("c1", FunctionCall("f", '{"a":1}')),)),
        Message(role="tool", content="42", tool_call_id="c1"),
    ),
    tools=(Tool("f", "d", {"type": "object"}, True), Tool("g")),
    tool_choice={"type": "function", "function": {"name": "f"}},
    parallel_tool_calls=False,
    response_format={"type": "json_object"},
    temperature=0.0,
    top_p=0.5,
    max_tokens=10,
    stop=("a", "b"),
    seed=7,
    presence_penalty=1.0,
    frequency_penalty=-1.0,
)


@pytest.mark.parametrize(
    "body", [BODY, json.dumps(BODY).encode(), bytearray(json.dumps(BODY).encode())]
)
def test_a_whole_request_keeps_everything_we_carry(body: object) -> None:
    read = read_chat_body(body)
    assert read.request == REQUEST
    assert (read.stream, read.include_usage) == (True, True)


def test_an_empty_request_is_read_too() -> None:
    read = read_chat_body(b"{}")
    assert read.request == ChatRequest(model="", messages=())
    assert (read.stream, read.include_usage) == (False, False)


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ({"stop": "x"}, "stop", ("x",)),
        ({"stop": None}, "stop", ()),
        ({"max_completion_tokens": 5, "max_tokens": 9}, "max_tokens", 5),
        ({"max_completion_tokens": 5.0}, "max_tokens", 5),
        ({"max_tokens": None}, "max_tokens", None),
        ({"tool_choice": "auto"}, "tool_choice", "auto"),
        ({"tools": None}, "tools", ()),
        ({"messages": None}, "messages", ()),
        ({"model": None}, "model", ""),
        ({"seed": 2**63}, "seed", 2**63),
    ],
)
def test_fields_in_their_other_shapes(fields: dict[str, Any], name: str, expected: object) -> None:
    assert getattr(read_chat_body(json.dumps(fields).encode()).request, name) == expected
    assert getattr(read_chat_body(fields).request, name) == expected


@pytest.mark.parametrize(
    ("fields", "param", "part"),
    [
        (
            {"messages": [{"role": "usr"}]},
            "messages.0.role",
            "unknown value 'usr': use one of system, developer, user, assistant, tool",
        ),
        (
            {"messages": [{"role": "user"}, {"content": "x"}]},
            "messages.1.role",
            "this field is required",
        ),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages.0.content",
            "expected a string or a list, got a whole number",
        ),
        (
            {"messages": [{"role": "user", "content": ["x"]}]},
            "messages.0.content.0",
            "expected an object",
        ),
        (
            {"messages": [{"role": "user", "content": [{}]}]},
            "messages.0.content.0.type",
            "needs a type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages.0.content.0.text",
            "needs its text",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]},
            "messages.0.tool_calls.0.function",
            "required",
        ),
        ({"messages": {}}, "messages", "expected a list, got an object"),
        ({"messages": "hi"}, "messages", "expected a list, got a string"),
        ({"messages": ["hi"]}, "messages.0", "expected an object, got a string"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.function", "only tools of type function"),
        (
            {"tools": [{"type": "custom", "function": {"name": "x"}}]},
            "tools.0.type",
            "only tools of type function",
        ),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name", "required"),
        ({"temperature": "hot"}, "temperature", "expected a number, got a string"),
        ({"max_tokens": 1.5}, "max_tokens", "expected a whole number, got 1.5"),
        ({"max_tokens": "5"}, "max_tokens", "expected a whole number, got a string"),
        ({"stop": [1]}, "stop.0", "expected a string"),
        ({"stream": "yes"}, "stream", "expected true or false"),
        ({"model": 5}, "model", "expected a string"),
        ([], None, "the body: expected an object, got a list"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(fields: Any, param: str | None, part: str) -> None:
    for body in (fields, json.dumps(fields).encode()):
        with pytest.raises(Unprocessable) as failure:
            read_chat_body(body)
        assert failure.value.param == param
        assert part in failure.value.message


def test_a_wrong_value_in_an_object_is_named_by_the_object() -> None:
    with pytest.raises(msgspec.ValidationError) as failure:
        msgspec.convert({"a": {"k": 1}}, dict[str, dict[str, str]])
    error = validation_error(failure.value, prefix="input.")
    assert error.param == "input"
    assert error.message == "input: expected a string, got a whole number"


@pytest.mark.parametrize("body", [b"", b"{", b"nope", b'{"a": }', b'{"model": "\xff"}'])
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the body is not JSON"):
        read_chat_body(body)


def test_a_request_goes_to_the_wire_and_back() -> None:
    wire = chat_request_to_wire(REQUEST)
    assert read_chat_body(json.dumps(wire).encode()).request == REQUEST
    assert chat_request_to_wire(ChatRequest(model="m", messages=())) == {
        "model": "m",
        "messages": [],
    }
    extra = ChatRequest(model="m", messages=(), seed=1, extra={"seed": 2, "top_k": 3})
    assert chat_request_to_wire(extra) == {"model": "m", "messages": [], "seed": 2, "top_k": 3}


HISTORY = ChatHistory(
    messages=(
        Message(role="user", content="hi", id="1", timestamp="2024-01-02T03:04:05Z"),
        Message(role="assistant", tool_calls=(ToolCall("c1", FunctionCall("f", '{"a":1}')),)),
        Message(role="tool", content="42", tool_call_id="c1"),
    ),
    model="m",
    input_tokens=3,
    output_tokens=4,
)
HISTORY_WIRE = {
    "messages": [
        {"id": "1", "role": "user", "content": "hi", "timestamp": "2024-01-02T03:04:05Z"},
        {"id": "", "role": "assistant", "callTools": [CALL], "timestamp": "0001-01-01T00:00:00Z"},
        {
            "id": "",
            "role": "tool",
            "content": "42",
            "tool_call_id": "c1",
            "timestamp": "0001-01-01T00:00:00Z",
        },
    ],
    "model": "m",
    "inputTokens": 3,
    "outputTokens": 4,
}


def test_a_history_has_its_documented_wire_shape() -> None:
    assert history_to_wire(HISTORY) == HISTORY_WIRE
    assert history_to_wire(ChatHistory())["messages"] == []


def test_a_history_comes_back_from_the_wire() -> None:
    assert history_from_wire(HISTORY_WIRE) == HISTORY
    assert history_from_wire(json.dumps(HISTORY_WIRE).encode()) == HISTORY
    assert history_from_wire(None) == ChatHistory()
    assert history_from_wire({"messages": None}) == ChatHistory()
    assert history_from_wire({"messages": [{"role": "assistant", "tool_calls": [CALL]}]}).messages[
        0
    ].tool_calls == (ToolCall("c1", FunctionCall("f", '{"a":1}')),)


def test_the_last_message_of_a_history_is_the_completion() -> None:
    answer = Message(role="assistant", content="ok")
    history = ChatHistory((Message(role="user", content="q"), answer), "m", 3, 4, "length")
    completion = completion_from_history(history, completion_id="x", created=9)
    assert completion == ChatCompletion("x", 9, "m", answer, "length", Usage(3, 4))
    assert completion_to_wire(completion) == {
        "id": "x",
        "object": "chat.completion",
        "created": 9,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ok"},
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }
    assert completion_from_wire(completion_to_wire(completion)) == completion


def test_tool_calls_finish_a_completion_and_leave_no_content() -> None:
    call = Message(role="assistant", tool_calls=(ToolCall("c1", FunctionCall("f", '{"a":1}')),))
    completion = completion_from_history(ChatHistory((call,), finish_reason="stop"))
    choice = completion_to_wire(completion)["choices"][0]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "tool_calls": [CALL]},
        "finish_reason": "tool_calls",
    }


def test_an_answer_after_tool_calls_has_stopped() -> None:
    answer = Message(role="assistant", content="ok")
    history = ChatHistory((answer,), finish_reason="tool_calls")
    assert completion_from_history(history).finish_reason == "stop"


def test_an_empty_history_has_no_choices_and_a_fresh_id() -> None:
    first, second = (completion_from_history(ChatHistory()) for _ in range(2))
    assert completion_to_wire(first)["choices"] == []
    assert first.id.startswith("chatcmpl-")
    assert first.id != second.id
    assert first.created > 1_700_000_000


def test_an_empty_answer_still_has_content() -> None:
    completion = completion_from_history(ChatHistory((Message(role="assistant"),)))
    assert completion_to_wire(completion)["choices"][0]["message"] == {
        "role": "assistant",
        "content": "",
    }


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
CALLS = st.builds(ToolCall, TEXT, st.builds(FunctionCall, TEXT, TEXT))
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
    content=TEXT.filter(bool) | st.none(),
    tool_calls=st.lists(CALLS, max_size=2).map(tuple),
    tool_call_id=TEXT.filter(bool) | st.none(),
    name=TEXT.filter(bool) | st.none(),
)


@given(st.lists(MESSAGES, max_size=3).map(tuple), TEXT)
def test_any_conversation_survives_both_wires(messages: tuple[Message, ...], model: str) -> None:
    history = ChatHistory(messages, model, 1, 2)
    assert history_from_wire(json.dumps(history_to_wire(history)).encode()) == history
    request = ChatRequest(model=model, messages=messages)
    assert read_chat_body(json.dumps(chat_request_to_wire(request)).encode()).request == request
