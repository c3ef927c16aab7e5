"""Values: what clients send, what they get back, what prompts read."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core.engine.values import json_text, prompt_text, text_of_value, to_value, wire_output
from runtime_core.errors import TaskFailed, Unprocessable
from runtime_core.types import (
    DATA_TYPES,
    ChatCompletion,
    ChatHistory,
    ChatRequest,
    Message,
    Usage,
    Value,
)

MESSAGE = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("data", "input_type", "expected"),
    [
        # no type: a string is a string, all else is json
        ("text", None, Value("text", "string")),
        ("text", "", Value("text", "string")),
        ({"a": 1}, None, Value({"a": 1}, "json")),
        (5, None, Value(5, "json")),
        (None, None, Value(None, "json")),
        # json reaches the chain
        ({"a": [1]}, "json", Value({"a": [1]}, "json")),
        ("x", "JSON", Value("x", "json")),
        # string
        ("x", "String", Value("x", "string")),
        ({"value": "v", "b": 1}, "string", Value("v", "string")),
        ({"value": 1, "a": "ü"}, "string", Value('{"a":"ü","value":1}', "string")),
        (5, "string", Value("5", "string")),
        (5.0, "string", Value("5", "string")),
        (12345678, "string", Value("12345678", "string")),
        (1e6, "string", Value("1000000", "string")),
        (0.25, "string", Value("0.25", "string")),
        (True, "string", Value("true", "string")),
        (None, "string", Value("null", "string")),
        ([1, {"b": 2.0, "a": None}], "string", Value('[1,{"b":2,"a":null}]', "string")),
        # bool
        *((word, "bool", Value(True, "bool")) for word in ("1", "t", "T", "TRUE", "true", "True")),
        *((word, "bool", Value(False, "bool")) for word in ("0", "false", "yes", "", "tRUE")),
        (2, "bool", Value(True, "bool")),
        (0.0, "bool", Value(False, "bool")),
        (True, "bool", Value(True, "bool")),
        ([1], "bool", Value(False, "bool")),
        # int
        (5.9, "int", Value(5, "int")),
        (-5.9, "int", Value(-5, "int")),
        ("42", "int", Value(42, "int")),
        ("-7", "int", Value(-7, "int")),
        ("4.2", "int", Value(0, "int")),
        (" 42", "int", Value(0, "int")),
        ("4_2", "int", Value(0, "int")),
        ("9" * 5000, "int", Value(0, "int")),
        (math.inf, "int", Value(0, "int")),
        (True, "int", Value(0, "int")),
        (None, "int", Value(0, "int")),
        # float
        (5, "float", Value(5.0, "float")),
        ("2.5", "float", Value(2.5, "float")),
        ("1e3", "float", Value(1000.0, "float")),
        ("abc", "float", Value(0.0, "float")),
        ("nan", "float", Value(0.0, "float")),
        ("1e999", "float", Value(0.0, "float")),
        (10**400, "float", Value(0.0, "float")),
        ({}, "float", Value(0.0, "float")),
        # raw
        ([0.5], "vector", Value([0.5], "vector")),
        ({"a": 1}, "any", Value({"a": 1}, "any")),
        (None, "nil", Value(None, "nil")),
        # structured
        (None, "chat_history", Value(ChatHistory(), "chat_history")),
        (
            {"messages": [MESSAGE], "model": "m", "inputTokens": 3.0},
            "chat_history",
            Value(ChatHistory((Message(role="user", content="hi"),), "m", 3), "chat_history"),
        ),
        (
            {"model": "m", "messages": [MESSAGE], "temperature": 1, "stop": "x"},
            "openai_chat",
            Value(
                ChatRequest(
                    model="m",
                    messages=(Message(role="user", content="hi"),),
                    temperature=1.0,
                    stop=("x",),
                ),
                "openai_chat",
            ),
        ),
        (
            {
                "id": "i",
                "created": 1,
                "model": "m",
                "choices": [{"message": MESSAGE}],
                "usage": {"prompt_tokens": 2},
            },
            "openai_chat_response",
            Value(
                ChatCompletion(
                    "i", 1, "m", Message(role="user", content="hi"), "stop", Usage(2, 0)
                ),
                "openai_chat_response",
            ),
        ),
        (
            [{"id": "a", "type": "doc", "distance": 1, "more": 1}],
            "search_results",
            Value([{"id": "a", "type": "doc", "distance": 1.0}], "search_results"),
        ),
    ],
)
def test_what_clients_send(data: object, input_type: str | None, expected: Value) -> None:
    value = to_value(data, input_type)
    assert value == expected
    assert type(value.data) is type(expected.data)


@pytest.mark.parametrize(
    ("data", "input_type", "param", "part"),
    [
        (1, "number", "inputType", "unknown type 'number': use one of any, bool"),
        ("x", "chat_history", "input", "expected an object, got a string"),
        (
            {"messages": [{"role": "x"}]},
            "chat_history",
            "input.messages.0.role",
            "unknown value 'x': use one of system",
        ),
        ({"messages": [{}]}, "openai_chat", "input.messages.0.role", "required"),
        ({"temperature": "hot"}, "openai_chat", "input.temperature", "expected a number"),
        ({"inputTokens": 1.5}, "chat_history", "input.inputTokens", "whole number"),
        (None, "openai_chat", "input", "expected an object, got null"),
        (None, "openai_chat_response", "input", "expected an object, got null"),
        ({"choices": [{}]}, "openai_chat_response", "input.choices.0.message", "required"),
        ([{"type": "x"}], "search_results", "input.0.id", "required"),
        ({}, "search_results", "input", "expected a list, got an object"),
    ],
)
def test_what_has_the_wrong_shape_is_named(
    data: object, input_type: str, param: str, part: str
) -> None:
    with pytest.raises(Unprocessable) as failure:
        to_value(data, input_type)
    assert failure.value.param == param
    assert part in failure.value.message


@pytest.mark.parametrize("input_type", sorted(DATA_TYPES))
def test_every_type_is_known_in_any_case(input_type: str) -> None:
    data = {} if input_type in ("openai_chat", "openai_chat_response") else None
    assert to_value(data, f" {input_type.upper()} ").type == input_type


def test_wire_output() -> None:
    history = ChatHistory((Message(role="user", content="hi", id="1"),), "m", 3, 4, "stop")
    assert wire_output(Value(history, "chat_history")) == {
        "messages": [
            {"id": "1", "role": "user", "content": "hi", "timestamp": "0001-01-01T00:00:00Z"}
        ],
        "model": "m",
        "inputTokens": 3,
        "outputTokens": 4,
    }
    data = {"a": [1, 2.0]}
    assert wire_output(Value(data, "json")) is data
    request = ChatRequest(model="m", messages=(), seed=1)
    assert wire_output(Value(request, "openai_chat")) == {"model": "m", "messages": [], "seed": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Value("x", "string"), "x"),
        (Value(5, "int"), "5"),
        (Value(0.5, "float"), "0.500000"),
        (Value(True, "bool"), "true"),
        (Value(False, "bool"), "false"),
        (Value(ChatHistory(), "chat_history"), ""),
        (
            Value(
                ChatHistory(
                    (Message(role="user", content="a"), Message(role="assistant", content="b"))
                ),
                "chat_history",
            ),
            "b",
        ),
        (
            Value(
                ChatRequest(
                    model="",
                    messages=(
                        Message(
                            role="user",
                            content=[
                                {"type": "text", "text": "see"},
                                {"type": "image_url", "image_url": {"url": "data:"}},
                            ],
                        ),
                    ),
                ),
                "openai_chat",
            ),
            "see",
        ),
    ],
)
def test_prompt_text(value: Value, expected: str) -> None:
    assert prompt_text(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        Value({"a": 1}, "json"),
        Value([1.0], "vector"),
        Value(None, "nil"),
        Value(None, "any"),
        Value([], "search_results"),
        Value("text", "json"),
        Value(5, "any"),
    ],
)
def test_what_cannot_be_a_prompt_says_what_to_do(value: Value) -> None:
    with pytest.raises(
        TaskFailed, match=rf"type {value.type} cannot be a prompt: use prompt_templ"
    ):
        prompt_text(value)


def test_text_of_value() -> None:
    assert text_of_value(Value("x", "string")) == "x"
    assert text_of_value(Value({"a": "x"}, "json")) == '{"a":"x"}'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (5.0, "5"),
        (-0.0, "0"),
        (1e16, "10000000000000000"),
        (1e21, "1e21"),
        (1.5, "1.5"),
        (math.nan, "null"),
        ({"b": [1.0, 2.5], "a": {"c": 3.0}}, '{"b":[1,2.5],"a":{"c":3}}'),
        ((1, 2), "[1,2]"),
        ("\u2028é", '"\u2028é"'),
        (
            [Message(role="user", content="x")],
            '[{"id":"","role":"user","content":"x","timestamp":"0001-01-01T00:00:00Z"}]',
        ),
        (Usage(1, 2), '{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'),
    ],
)
def test_json_text(data: object, expected: str) -> None:
    assert json_text(data) == expected


def test_json_text_refuses_what_is_not_data() -> None:
    with pytest.raises(TaskFailed, match="is not JSON data"):
        json_text({"a": object()})
    deep: object = 1
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(TaskFailed, match="nested too deeply"):
        json_text(deep)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(JSON)
def test_json_text_reads_back_as_the_same_data(data: object) -> None:
    before = json.dumps(data)
    assert json.loads(json_text(data)) == data
    assert json.dumps(data) == before


@given(JSON, st.sampled_from(sorted(DATA_TYPES)))
def test_any_input_becomes_a_value_or_a_named_error(data: object, input_type: str) -> None:
    try:
        value = to_value(data, input_type)
    except Unprocessable as failure:
        assert failure.param is not None  # noqa: PT017 - both ends are fine
    else:
        assert value.type == input_type
        text_of_value(value)
