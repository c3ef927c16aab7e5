"""The wire itself: connections that break, hang, drip and are left."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from runtime_core import errors
from runtime_core.testing.provider_suite.base import (
    READ_TIMEOUT,
    SOON,
    collect,
    connected,
    text_of_chunks,
)
from runtime_core.testing.wire import Answer
from runtime_core.types import Message

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runtime_core.protocols import ChatProvider, ProviderFactory
    from runtime_core.testing.upstream import Ending, Upstream
    from runtime_core.testing.wire import Reply, WireRequest
    from runtime_core.types import ChatChunk, ChatRequest

__all__ = ("ConnectionTests",)


class ConnectionTests:
    """On a real socket, through the kernel's own client."""

    async def test_works_on_a_real_socket(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("Hel", "lo wörld")))
        chunks = await collect(wired, question)
        assert (text_of_chunks(chunks), chunks[-1].finish_reason) == ("Hello wörld", "stop")

    async def test_chunks_come_as_they_are_sent(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("first", "second")), pause_before="second")
        async with aclosing(_stream(wired, question)) as stream:
            async with asyncio.timeout(SOON):
                chunk = await _first_text(stream)
            assert chunk.text == "first"
            upstream.resume.set()
            assert text_of_chunks([chunk async for chunk in stream]) == "second"

    async def test_leaving_a_stream_closes_its_connection(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("first", "second")), pause_before="second")
        stream = _stream(wired, question)
        await _first_text(stream)
        await stream.aclose()
        async with asyncio.timeout(SOON):
            await upstream.left.wait()

    async def test_cancelling_in_mid_stream_closes_the_connection(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("first", "second")), pause_before="second")
        begun = asyncio.Event()

        async def listen() -> None:
            async for _ in wired.chat(question):
                begun.set()

        await _cancelled_after(begun, asyncio.create_task(listen()))
        async with asyncio.timeout(SOON):
            await upstream.left.wait()

    async def test_cancelling_before_the_first_byte_closes_the_connection(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(), spoil=lambda frames: (), ending="hang")
        task = asyncio.create_task(collect(wired, question))
        await _cancelled_after(upstream.received, task)
        async with asyncio.timeout(SOON):
            await upstream.left.wait()

    async def test_the_connection_serves_again(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("one", "two")))
        for _ in range(3):
            await collect(wired, question)
        assert upstream.connections == 1

    @pytest.mark.parametrize("ending", ["cut", "reset"])
    @pytest.mark.parametrize("frames", [0, 2])
    async def test_broken_connections(
        self,
        wired: ChatProvider,
        upstream: Upstream,
        question: ChatRequest,
        ending: Ending,
        frames: int,
    ) -> None:
        upstream.will_answer(
            Answer(text=("one", "two", "three")), spoil=lambda all_: all_[:frames], ending=ending
        )
        expected = (errors.UpstreamUnavailable, errors.UpstreamProtocolError)
        with pytest.raises(expected if frames else errors.UpstreamUnavailable):
            await collect(wired, question)

    async def test_a_connection_broken_after_everything_was_said(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("one", "two")), ending="cut")
        try:
            chunks = await collect(wired, question)
        except (errors.UpstreamUnavailable, errors.UpstreamProtocolError):
            return
        assert (text_of_chunks(chunks), chunks[-1].finish_reason) == ("onetwo", "stop")

    async def test_nobody_listens_at_the_address(
        self, provider_factory: ProviderFactory, upstream: Upstream, question: ChatRequest
    ) -> None:
        async with upstream.serving():
            assert upstream.url.startswith("http://127.0.0.1:")
        async with connected(provider_factory, upstream, SOON) as provider:
            with pytest.raises(errors.UpstreamUnavailable):
                await collect(provider, question)
            with pytest.raises(errors.UpstreamUnavailable):
                await provider.models()

    @pytest.mark.parametrize("frames", [0, 2])
    async def test_silence_is_a_time_out(
        self, impatient: ChatProvider, upstream: Upstream, question: ChatRequest, frames: int
    ) -> None:
        upstream.will_answer(
            Answer(text=("one", "two", "three")), spoil=lambda all_: all_[:frames], ending="hang"
        )
        async with asyncio.timeout(READ_TIMEOUT * 4):
            with pytest.raises(errors.TimedOut):
                await collect(impatient, question)
        async with asyncio.timeout(SOON):
            await upstream.left.wait()

    async def test_a_huge_answer(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        pieces = ("x" * 1_000, "ü" * 60_000, "z" * 4_000_000) * 2
        upstream.will_answer(Answer(text=pieces))
        async with asyncio.timeout(10):
            chunks = await collect(wired, question)
        assert text_of_chunks(chunks) == "".join(pieces)

    async def test_a_long_answer(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        pieces = tuple(f"word{number} " for number in range(5_000))
        upstream.will_answer(Answer(text=pieces))
        async with asyncio.timeout(10):
            chunks = await collect(wired, question)
        assert text_of_chunks(chunks) == "".join(pieces)

    async def test_a_waiting_stream_holds_up_no_other(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("first", "second")), pause_before="second")
        async with aclosing(_stream(wired, question)) as waiting:
            await _first_text(waiting)
            upstream.will_answer(Answer(text=("meanwhile",)))
            async with asyncio.timeout(SOON):
                assert text_of_chunks(await collect(wired, question)) == "meanwhile"
            upstream.resume.set()
            assert text_of_chunks([chunk async for chunk in waiting]) == "second"

    async def test_fifty_at_once(
        self, wired: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        wire = upstream.wire

        def echo(request: WireRequest) -> Reply:
            said = wire.asked(request).messages[-1].content
            return wire.answer(request, Answer(text=("you said ", str(said))))

        upstream.will_reply(echo)
        asked = [
            msgspec.structs.replace(question, messages=(Message(role="user", content=f"n{n}"),))
            for n in range(50)
        ]
        answers = await asyncio.gather(*(collect(wired, request) for request in asked))
        assert [text_of_chunks(chunks) for chunks in answers] == [
            f"you said n{n}" for n in range(50)
        ]


def _stream(provider: ChatProvider, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
    """Ask; what `chat` returns can be closed, as every async generator can."""
    return cast("AsyncGenerator[ChatChunk]", provider.chat(request))


async def _first_text(stream: AsyncGenerator[ChatChunk]) -> ChatChunk:
    async for chunk in stream:
        if chunk.text:
            return chunk
    raise AssertionError("the stream ended before its first text")


async def _cancelled_after(event: asyncio.Event, task: asyncio.Task[object]) -> None:
    async with asyncio.timeout(SOON):
        await event.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
