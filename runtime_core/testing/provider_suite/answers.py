"""What the provider makes of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime_core.testing.provider_suite.base import collect, text_of_chunks
from runtime_core.testing.wire import Answer
from runtime_core.types import Usage

if TYPE_CHECKING:
    from runtime_core.protocols import ChatProvider
    from runtime_core.testing.upstream import Upstream
    from runtime_core.types import ChatRequest

__all__ = ("AnswerTests",)

_PIECES = (" Hel", "lo\n", "\n  wörld ", "✓", " 👩🏽‍💻 ", '"\\u0041"\u2028', "\tend. ")


class AnswerTests:
    """Chunks are the answer to the byte, in order, and end once."""

    async def test_streams_text_exactly_and_ends_once(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=_PIECES))
        chunks = await collect(provider, question)
        assert text_of_chunks(chunks) == "".join(_PIECES)
        ends = [chunk.finish_reason for chunk in chunks]
        assert ends == [None] * (len(chunks) - 1) + ["stop"]

    async def test_every_piece_of_text_is_a_chunk(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=_PIECES))
        chunks = await collect(provider, question)
        assert [chunk.text for chunk in chunks if chunk.text] == list(_PIECES)

    @pytest.mark.parametrize("piece_size", [1, 2, 3, 7])
    async def test_characters_split_between_pieces(
        self,
        provider: ChatProvider,
        upstream: Upstream,
        question: ChatRequest,
        piece_size: int,
    ) -> None:
        upstream.will_answer(Answer(text=_PIECES), piece_size=piece_size)
        assert text_of_chunks(await collect(provider, question)) == "".join(_PIECES)

    async def test_frames_that_arrive_together(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=_PIECES), spoil=lambda frames: (b"".join(frames),))
        chunks = await collect(provider, question)
        assert text_of_chunks(chunks) == "".join(_PIECES)
        assert chunks[-1].finish_reason == "stop"

    async def test_empty_answer(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=()))
        chunks = await collect(provider, question)
        assert text_of_chunks(chunks) == ""
        assert chunks[-1].finish_reason == "stop"

    async def test_finish_reasons_are_results(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        """Every one that the service's protocol can report."""
        for reason in sorted(upstream.wire.finish_reasons - {"tool_calls"}):
            upstream.will_answer(Answer(text=("so far",), finish_reason=reason))
            chunks = await collect(provider, question)
            assert (text_of_chunks(chunks), chunks[-1].finish_reason) == ("so far", reason)

    async def test_usage_is_what_the_service_reports(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("a", "b"), usage=Usage(12, 34)))
        chunks = await collect(provider, question)
        assert [chunk.usage for chunk in chunks] == [None] * (len(chunks) - 1) + [Usage(12, 34)]

    async def test_usage_is_not_made_up(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("a", "b"), usage=None))
        chunks = await collect(provider, question)
        assert chunks[-1].usage is None

    async def test_reasoning_is_not_text(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(reasoning=("let me ", "think"), text=("42",)))
        chunks = await collect(provider, question)
        assert text_of_chunks(chunks) == "42"
        assert "".join(chunk.reasoning for chunk in chunks) in ("let me think", "")

    async def test_answers_one_after_the_other(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        for text in ("first", "second"):
            upstream.will_answer(Answer(text=(text,)))
            assert text_of_chunks(await collect(provider, question)) == text
        assert upstream.open_streams == 0
