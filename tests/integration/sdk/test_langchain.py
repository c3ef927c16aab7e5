"""LangChain's OpenAI classes as clients of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

if TYPE_CHECKING:
    from runtime_openai_wire.testing import FakeOpenAI

KEY = "a-key-of-ours"


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is warm in {city}."


def chat(place: Any, **options: Any) -> ChatOpenAI:
    given = {"api_key": KEY, "max_retries": 0, "timeout": 20} | options
    return ChatOpenAI(model=place.model, base_url=place.url, **given)


def test_invoke(place: Any, upstream: FakeOpenAI) -> None:
    upstream.will_answer("Hel", "lo", " there", usage=(9, 2))
    answer = chat(place).invoke([SystemMessage("Answer."), HumanMessage("hi")])
    assert answer.content == "Hello there"
    assert answer.usage_metadata["input_tokens"] == 9
    assert answer.usage_metadata["output_tokens"] == 2
    assert answer.response_metadata["finish_reason"] == "stop"
    roles = [message["role"] for message in upstream.requests[-1].json["messages"]]
    assert roles == (["system"] if place.instruction else []) + ["system", "user"]


def test_stream(place: Any, upstream: FakeOpenAI) -> None:
    pieces = ["  Once", "\n\nupon", " a  time", " "]
    upstream.will_answer(*pieces, usage=(4, 5))
    chunks = list(chat(place, stream_usage=True).stream("hi"))
    assert [chunk.content for chunk in chunks if chunk.content] == pieces
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.usage_metadata["total_tokens"] == 9
    assert whole.response_metadata["finish_reason"] == "stop"


async def test_asynchronous(place: Any) -> None:
    assert (await chat(place).ainvoke("one two")).content == "one two"
    chunks = [chunk.content async for chunk in chat(place).astream("one two")]
    assert "".join(chunks) == "one two"


@pytest.mark.parametrize("streaming", [False, True])
def test_tools(place: Any, upstream: FakeOpenAI, streaming: bool) -> None:
    model = chat(place, streaming=streaming).bind_tools([weather])
    upstream.will_answer(tool_calls=[("weather", '{"city": "Bern"}')])
    asked = HumanMessage("How is it in Bern?")
    call = model.invoke([asked])
    assert isinstance(call, AIMessage)
    (made,) = call.tool_calls
    assert (made["name"], made["args"]) == ("weather", {"city": "Bern"})
    result = weather.invoke(made)
    assert isinstance(result, ToolMessage)
    upstream.will_answer("Warm.")
    assert model.invoke([asked, call, result]).content == "Warm."
    seen = upstream.requests[-1].json
    assert seen["messages"][-1]["content"] == "It is warm in Bern."
    assert seen["tools"][0]["function"]["name"] == "weather"


def test_structured_output(place: Any, upstream: FakeOpenAI) -> None:
    schema = {
        "title": "number",
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    upstream.will_answer('{"n": 3}')
    model = chat(place).with_structured_output(schema, method="json_schema")
    assert model.invoke("three") == {"n": 3}
    upstream.will_answer(tool_calls=[("number", '{"n": 4}')])
    model = chat(place).with_structured_output(schema, method="function_calling")
    assert model.invoke("four") == {"n": 4}


def test_embeddings(place: Any) -> None:
    embeddings = OpenAIEmbeddings(
        model="text-embedding-fake",
        base_url=place.url,
        api_key=KEY,
        check_embedding_ctx_length=False,
        max_retries=0,
    )
    vectors = embeddings.embed_documents(["alpha", "beta"])
    assert [len(vector) for vector in vectors] == [8, 8]
    assert embeddings.embed_query("alpha") == vectors[0]


def test_errors(place: Any, upstream: FakeOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        chat(place, api_key="wrong").invoke("hi")
    upstream.will_fail(429)
    with pytest.raises(openai.RateLimitError):
        chat(place).invoke("hi")
