"""The fake upstream, judged by OpenAI's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from openai import NotFoundError, OpenAI

from bench.upstream import CHUNKS, MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam

TEXT = "".join(f"piece{number:02d} of it " for number in range(CHUNKS))
ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
ASK_SLOWLY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello pace=3"}]


@pytest.fixture
def client(upstream_port: int) -> Iterator[OpenAI]:
    base_url = f"http://127.0.0.1:{upstream_port}/v1"
    with OpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
        yield client


def test_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASK)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == TEXT
    assert answer.usage is not None
    assert answer.usage.total_tokens == 40 + CHUNKS


def test_stream(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=ASK, stream=True) as stream:
        chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("messages", [ASK, ASK_SLOWLY])
def test_stream_with_usage(client: OpenAI, messages: list[ChatCompletionMessageParam]) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
    )
    with stream:
        last = list(stream)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == CHUNKS


def test_paced_stream_carries_send_times(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=ASK_SLOWLY, stream=True) as stream:
        tokens = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    sent = [int(token.removeprefix("piece:")) for token in tokens if token]
    assert len(sent) == CHUNKS
    assert sent == sorted(sent)
    assert sent[-1] - sent[0] >= (CHUNKS - 1) * 2_000_000


def test_a_reader_who_leaves_does_not_disturb_others(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=ASK_SLOWLY, stream=True) as stream:
        next(iter(stream))
    assert client.chat.completions.create(model=MODEL, messages=ASK).choices


def test_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings(client: OpenAI, encoding: str) -> None:
    answer = (
        client.embeddings.create(model=MODEL, input="Hello", encoding_format="float")
        if encoding == "float"
        else client.embeddings.create(model=MODEL, input="Hello")
    )
    assert list(answer.data[0].embedding) == [1.0, 0.0, 0.0, 0.0]


def test_embeddings_are_base64_where_asked(client: OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(
        model=MODEL, input="Hello", encoding_format="base64"
    )
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)


def test_unknown_route(client: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        client.models.retrieve("other")
