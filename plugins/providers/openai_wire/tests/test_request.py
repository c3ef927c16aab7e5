"""Request bodies."""

import json

import pytest
from runtime_openai_wire import encode_chat, encode_embeddings

from runtime_core.types import ChatRequest, FunctionCall, Message, Tool, ToolCall

HI = (Message(role="user", content="hi"),)


def body(*, messages=HI, max_tokens_field="max_tokens", include_usage=True, **fields):
    request = ChatRequest(model="m", messages=messages, **fields)
    encoded = encode_chat(request, max_tokens_field=max_tokens_field, include_usage=include_usage)
    return json.loads(encoded)


def test_only_what_is_set_is_sent():
    assert body() == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "stream_options" not in body(include_usage=False)


def test_everything_set_is_sent_zeros_too():
    fields = {
        "temperature": 0.0,
        "top_p": 0.0,
        "seed": 0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "response_format": {"type": "json_object"},
    }
    sent = body(**fields, max_tokens=0, stop=("a", "b"))
    assert {name: sent[name] for name in fields} == fields
    assert (sent["max_tokens"], sent["stop"]) == (0, ["a", "b"])


def test_the_field_of_the_token_limit():
    sent = body(max_tokens=5, max_tokens_field="max_completion_tokens")
    assert sent["max_completion_tokens"] == 5
    assert "max_tokens" not in sent


def test_messages_keep_everything_that_models_may_see():
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "u"}}]
    call = ToolCall("call_1", FunctionCall("f", '{"a": "ü"}'))
    sent = body(
        messages=(
            Message(role="developer", content="d", name="boss"),
            Message(role="user", content=parts, id="stored", timestamp="2026-01-01T00:00:00Z"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content="r", tool_call_id="call_1"),
            Message(role="assistant"),
        )
    )["messages"]
    assert sent == [
        {"role": "developer", "content": "d", "name": "boss"},
        {"role": "user", "content": parts},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": "ü"}'},
                }
            ],
        },
        {"role": "tool", "content": "r", "tool_call_id": "call_1"},
        {"role": "assistant", "content": ""},
    ]


def test_tools():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    sent = body(
        tools=(Tool("f", "does f", schema, strict=False), Tool("g")),
        tool_choice={"type": "function", "function": {"name": "f"}},
        parallel_tool_calls=False,
    )
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "does f",
                "parameters": schema,
                "strict": False,
            },
        },
        {"type": "function", "function": {"name": "g"}},
    ]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert sent["parallel_tool_calls"] is False


@pytest.mark.parametrize("field", [{"tool_choice": "auto"}, {"parallel_tool_calls": True}])
def test_choices_about_tools_need_tools(field):
    assert not field.keys() & body(**field).keys()


def test_extra_fields_win():
    sent = body(temperature=0.5, extra={"temperature": 1, "top_k": 3, "stream": False})
    assert (sent["temperature"], sent["top_k"], sent["stream"]) == (1, 3, False)


def test_embeddings():
    assert json.loads(encode_embeddings("m", ("a", ""), extra={"dimensions": 3})) == {
        "model": "m",
        "input": ["a", ""],
        "encoding_format": "float",
        "dimensions": 3,
    }
