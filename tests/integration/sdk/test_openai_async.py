"""OpenAI's own client, asynchronous: streams arrive while they are written, many at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from runtime_openai_wire.testing import FakeOpenAI


def asking(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_a_plain_answer_and_embeddings(async_client: openai.AsyncOpenAI, place: Any) -> None:
    answer = await async_client.chat.completions.create(model=place.model, messages=asking("a  b"))
    assert answer.choices[0].message.content == "a  b"
    found = await async_client.embeddings.create(model="text-embedding-fake", input="alpha")
    assert len(found.data[0].embedding) == 8
    assert "gpt-fake" in [model.id async for model in async_client.models.list()]


async def test_pieces_arrive_as_they_are_written(
    async_client: openai.AsyncOpenAI, place: Any, upstream: FakeOpenAI
) -> None:
    """The answer takes a second and a half to write; its beginning is here long before."""
    upstream.will_answer("one", " two", " three", " four", pause=0.5)
    began = time.monotonic()
    stream = await async_client.chat.completions.create(
        model=place.model, messages=asking("x"), stream=True
    )
    arrivals = [
        (chunk.choices[0].delta.content, time.monotonic() - began)
        async for chunk in stream
        if chunk.choices[0].delta.content
    ]
    assert [text for text, _ in arrivals] == ["one", " two", " three", " four"]
    assert arrivals[-1][1] - arrivals[0][1] > 1.2


async def test_a_stream_that_is_left_stops_the_model(
    async_client: openai.AsyncOpenAI, place: Any, upstream: FakeOpenAI
) -> None:
    assert await asyncio.to_thread(upstream.wait_until_idle)
    upstream.will_answer("one", *[" more"] * 1000, pause=0.05)
    stream = await async_client.chat.completions.create(
        model=place.model, messages=asking("x"), stream=True
    )
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert upstream.open_streams == 1
    await stream.close()
    assert await asyncio.to_thread(upstream.wait_until_idle, 1.0)


async def test_conversations_do_not_mix(async_client: openai.AsyncOpenAI, place: Any) -> None:
    async def one(number: int) -> str:
        text = f"conversation {number} of its own"
        stream = await async_client.chat.completions.create(
            model=place.model, messages=asking(text), stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    answers = await asyncio.gather(*(one(number) for number in range(20)))
    assert answers == [f"conversation {number} of its own" for number in range(20)]


async def test_errors(async_client: openai.AsyncOpenAI, place: Any, upstream: FakeOpenAI) -> None:
    upstream.will_fail(429, headers={"retry-after": "3"})
    with pytest.raises(openai.RateLimitError) as caught:
        await async_client.chat.completions.create(model=place.model, messages=asking("x"))
    assert caught.value.code == "rate_limit_exceeded"
    bad = async_client.with_options(api_key="wrong")
    with pytest.raises(openai.AuthenticationError):
        await bad.chat.completions.create(model=place.model, messages=asking("x"))
