"""OpenAI's own client, blocking, against the server's two families of routes."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_openai_wire.testing import FakeOpenAI

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
#: Every kind of white space, pieces of one character's bytes, quotes, and nothing lost.
PIECES = ("  Once", "\n\n\tupon  a", " time", ",", ' "Grüße" 🌍\r\n', "  ")


def ask(client: openai.OpenAI, model: str, text: str = "hello there", **options: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=model, messages=messages, **options)


def test_a_plain_answer(client: openai.OpenAI, place: Any, upstream: FakeOpenAI) -> None:
    upstream.will_answer(*PIECES, usage=(11, 7))
    answer = ask(client, place.model, temperature=0.5, max_tokens=50, stop=["END"], seed=7)
    assert answer.object == "chat.completion"
    assert answer.id
    assert answer.created > 1_600_000_000
    assert answer.model == place.model
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "".join(PIECES))
    assert choice.message.tool_calls is None
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (11, 7, 18)


def test_what_the_client_asked_for_reaches_the_model(
    client: openai.OpenAI, place: Any, upstream: FakeOpenAI
) -> None:
    ask(client, place.model, temperature=0.5, top_p=0.9, max_tokens=50, stop=["END"], seed=7)
    seen = upstream.requests[-1].json
    expected = [{"role": "user", "content": "hello there"}]
    if place.instruction:
        expected.insert(0, {"role": "system", "content": place.instruction})
    assert seen["messages"] == expected
    options = {name: seen.get(name) for name in ("temperature", "top_p", "stop", "seed")}
    assert options == {"temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 7}
    assert 50 in (seen.get("max_tokens"), seen.get("max_completion_tokens"))


def test_a_stream(client: openai.OpenAI, place: Any, upstream: FakeOpenAI) -> None:
    upstream.will_answer(*PIECES)
    chunks = list(ask(client, place.model, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.model for chunk in chunks} == {place.model}
    first, *middle, last = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert [chunk.choices[0].delta.content for chunk in middle] == list(PIECES)
    assert {chunk.choices[0].finish_reason for chunk in (first, *middle)} == {None}
    assert (last.choices[0].finish_reason, last.choices[0].delta.content) == ("stop", None)
    assert {chunk.usage for chunk in chunks} == {None}


def test_a_stream_with_usage(client: openai.OpenAI, place: Any, upstream: FakeOpenAI) -> None:
    upstream.will_answer("one", " two", usage=(5, 2))
    *rest, last = ask(client, place.model, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (5, 2)
    assert last.usage.total_tokens == 7
    assert all(chunk.choices for chunk in rest)
    assert rest[-1].choices[0].finish_reason == "stop"


def test_a_stream_ends_with_done(client: openai.OpenAI, place: Any) -> None:
    body = {"model": place.model, "messages": [{"role": "user", "content": "x"}], "stream": True}
    response = client.post("/chat/completions", body=body, cast_to=httpx.Response)
    lines = response.text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    assert response.headers["content-type"].startswith("text/event-stream")


def test_tool_calls(client: openai.OpenAI, place: Any, upstream: FakeOpenAI) -> None:
    calls = (("weather", '{"city": "Bern"}'), ("weather", '{"city": "Zürich"}'))
    upstream.will_answer(tool_calls=calls)
    (choice,) = ask(client, place.model, tools=[WEATHER], tool_choice="auto").choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    made = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert tuple(made) == calls
    assert upstream.requests[-1].json["tools"] == [WEATHER]
    ids = {call.id for call in choice.message.tool_calls}
    assert len(ids) == 2
    assert all(ids)


def test_a_conversation_with_a_tool(
    client: openai.OpenAI, place: Any, upstream: FakeOpenAI
) -> None:
    """What the client hands back, as the client itself writes it, reaches the model unchanged."""
    upstream.will_answer(tool_calls=[("weather", '{"city": "Bern"}')])
    said: list[Any] = [{"role": "user", "content": "How is it in Bern?"}]
    first = client.chat.completions.create(model=place.model, messages=said, tools=[WEATHER])
    message = first.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": '{"c": 21}'}
    said += [message, result]
    upstream.will_answer("Warm.")
    second = client.chat.completions.create(model=place.model, messages=said, tools=[WEATHER])
    assert second.choices[0].message.content == "Warm."
    *_, call, answer = upstream.requests[-1].json["messages"]
    assert call["tool_calls"][0]["id"] == answer["tool_call_id"] == message.tool_calls[0].id
    assert call["tool_calls"][0]["function"]["arguments"] == '{"city": "Bern"}'
    assert answer["content"] == '{"c": 21}'


def test_streamed_tool_calls_are_put_together_by_the_client(
    client: openai.OpenAI, place: Any, upstream: FakeOpenAI
) -> None:
    calls = (("weather", '{"city": "Bern"}'), ("weather", '{"city": "Zürich"}'))
    upstream.will_answer(tool_calls=calls)
    messages: list[Any] = [{"role": "user", "content": "Where is it warmer?"}]
    with client.chat.completions.stream(
        model=place.model, messages=messages, tools=[WEATHER]
    ) as stream:
        whole = stream.get_final_completion()
    (choice,) = whole.choices
    assert choice.finish_reason == "tool_calls"
    made = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert tuple(made) == calls


def test_content_in_parts(client: openai.OpenAI, place: Any) -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}]
    messages: list[Any] = [{"role": "user", "content": parts}]
    answer = client.chat.completions.create(model=place.model, messages=messages)
    assert answer.choices[0].message.content == "What is\nthis?"


def test_a_cut_answer_is_a_result(client: openai.OpenAI, place: Any, upstream: FakeOpenAI) -> None:
    for reason in ("length", "content_filter"):
        upstream.will_answer("Once upon", finish_reason=reason)
        assert ask(client, place.model).choices[0].finish_reason == reason


@pytest.mark.parametrize("encoding", ["default", "base64", "float"])
def test_embeddings(client: openai.OpenAI, place: Any, encoding: str) -> None:
    """The client asks for base64 unless told otherwise, and decodes it."""
    options: dict[str, Any] = {} if encoding == "default" else {"encoding_format": encoding}
    found = client.embeddings.create(
        model="text-embedding-fake", input=["alpha", "beta gamma"], **options
    )
    assert [one.index for one in found.data] == [0, 1]
    assert found.model == "text-embedding-fake"
    assert (found.usage.prompt_tokens, found.usage.total_tokens) == (3, 3)
    vectors: list[Any] = [one.embedding for one in found.data]
    if encoding == "base64":
        vectors = [struct.unpack("<8f", base64.b64decode(vector)) for vector in vectors]
    expected = [
        [float((sum(text) * (place + 1) + len(text)) % 64) / 64 for place in range(8)]
        for text in (b"alpha", b"beta gamma")
    ]
    assert [list(vector) for vector in vectors] == expected


def test_models(client: openai.OpenAI, server: str) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {"gpt-fake", "text-embedding-fake", "echo", "chain:ask", "chain:broken"} <= set(listed)
    assert listed["gpt-fake"].owned_by == "system"
    for name in ("gpt-fake", "chain:ask"):
        assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-none")
    assert caught.value.code == "model_not_found"


def test_a_chain_is_a_model(client_of: Callable[..., openai.OpenAI], upstream: Any) -> None:
    answer = ask(client_of("/v1"), "chain:ask", "hi")
    assert answer.choices[0].message.content == "hi"
    assert answer.model == "chain:ask"
    assert upstream.requests[-1].json["messages"][0]["content"] == "Be brief."


def test_the_steps_of_a_chain(client_of: Callable[..., openai.OpenAI]) -> None:
    answer = ask(client_of("/openai/ask/v1"), "gpt-fake", extra_query={"stackTrace": "true"})
    (step,) = answer.model_extra["stackTrace"]
    assert (step["taskID"], step["taskHandler"]) == ("answer", "chat_completion")
    plain = ask(client_of("/openai/ask/v1"), "gpt-fake")
    assert "stackTrace" not in plain.model_extra


def test_structured_output(client: openai.OpenAI, place: Any, upstream: FakeOpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    upstream.will_answer('{"n": 3}')
    answer = ask(client, place.model, response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == {"n": 3}
    assert upstream.requests[-1].json["response_format"] == wanted
