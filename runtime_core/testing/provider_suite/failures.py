"""What the provider makes of refusals and nonsense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from operator import itemgetter
from typing import TYPE_CHECKING

import pytest

from runtime_core import errors
from runtime_core.testing.provider_suite.base import API_KEY, collect, text_of_chunks
from runtime_core.testing.wire import Answer, Reply

if TYPE_CHECKING:
    from runtime_core.protocols import ChatProvider
    from runtime_core.testing.upstream import Upstream
    from runtime_core.types import ChatChunk, ChatRequest

__all__ = ("FailureTests",)

_NONSENSE = [b"null", b"[1]", b'"x"', b"7", b"{", b"{} {}", b"\xff\xfe", b"[" * 100_000]


class FailureTests:
    """Every failure is one of `runtime_core.errors`, says why, and keeps secrets."""

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, errors.UpstreamRejected),
            (401, errors.UpstreamUnauthenticated),
            (403, errors.UpstreamUnauthenticated),
            (404, errors.UpstreamModelNotFound),
            (422, errors.UpstreamRejected),
            (429, errors.UpstreamRateLimited),
            (500, errors.UpstreamUnavailable),
            (503, errors.UpstreamUnavailable),
        ],
    )
    async def test_refusals(
        self,
        provider: ChatProvider,
        upstream: Upstream,
        question: ChatRequest,
        status: int,
        error: type[errors.UpstreamError],
    ) -> None:
        upstream.will_fail(status, "the moon is full")
        with pytest.raises(error, match="the moon is full") as caught:
            await collect(provider, question)
        assert caught.value.retryable is error.retryable
        assert upstream.open_streams == 0
        assert len(upstream.requests) == 1, "trying again is the kernel's affair"

    async def test_retry_after_in_seconds(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_fail(429, "slow down", {"retry-after": "7"})
        with pytest.raises(errors.UpstreamRateLimited) as caught:
            await collect(provider, question)
        assert caught.value.retry_after == 7.0

    async def test_retry_after_as_a_date(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        upstream.will_fail(429, "slow down", {"retry-after": date})
        with pytest.raises(errors.UpstreamRateLimited) as caught:
            await collect(provider, question)
        assert caught.value.retry_after == pytest.approx(90, abs=10)

    async def test_a_prompt_that_is_too_long(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_fail(400, "This model's maximum context length is 4096 tokens, you sent 5000")
        with pytest.raises(errors.UpstreamContextExceeded, match="4096"):
            await collect(provider, question)

    async def test_long_refusals_are_shortened(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_fail(400, "because " + "x" * 1_000_000)
        with pytest.raises(errors.UpstreamRejected, match="because") as caught:
            await collect(provider, question)
        assert len(str(caught.value)) < 2_000

    @pytest.mark.parametrize("status", [400, 401, 429, 500])
    async def test_refusals_keep_the_key_secret(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest, status: int
    ) -> None:
        upstream.will_fail(status, f"key {API_KEY} is wrong")
        with pytest.raises(errors.UpstreamError, match="is wrong") as caught:
            await collect(provider, question)
        assert API_KEY not in str(caught.value)

    async def test_refusal_that_is_not_json(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        page = Reply((b"<html>Bad Gateway \xff</html>",), 502, {"content-type": "text/html"})
        upstream.will_reply(page)
        with pytest.raises(errors.UpstreamUnavailable, match="Bad Gateway"):
            await collect(provider, question)

    async def test_a_page_in_place_of_an_answer(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        page = b"<!doctype html>\n<html><body>\nPlease log in.\n</body></html>\n"
        upstream.will_reply(Reply((page,), 200, {"content-type": "text/html"}))
        with pytest.raises(errors.UpstreamProtocolError):
            await collect(provider, question)

    async def test_an_error_with_status_200(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        refusal = upstream.wire.failure(500, "out of memory")
        upstream.will_reply(Reply(refusal.frames, 200, refusal.headers))
        with pytest.raises(errors.UpstreamError):
            await collect(provider, question)

    async def test_an_error_in_mid_stream(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        bad = upstream.wire.failure_midway(f"graphics card on fire, {API_KEY}")
        upstream.will_answer(
            Answer(text=("one", "two", "three")), spoil=lambda frames: (*frames[:2], bad)
        )
        chunks, error = await _failing(provider, question)
        assert text_of_chunks(chunks).startswith("one")
        assert all(chunk.finish_reason is None for chunk in chunks)
        assert "graphics card on fire" in str(error)
        assert API_KEY not in str(error)

    @pytest.mark.parametrize("nonsense", _NONSENSE, ids=range(len(_NONSENSE)))
    async def test_nonsense_in_mid_stream(
        self,
        provider: ChatProvider,
        upstream: Upstream,
        question: ChatRequest,
        nonsense: bytes,
    ) -> None:
        bad = upstream.wire.frame(nonsense)
        upstream.will_answer(
            Answer(text=("one", "two", "three")),
            spoil=lambda frames: (*frames[:2], bad, *frames[2:]),
        )
        chunks, error = await _failing(provider, question)
        assert isinstance(error, errors.UpstreamProtocolError)
        assert text_of_chunks(chunks).startswith("one")

    async def test_an_empty_body(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(Answer(text=("one",)), spoil=lambda frames: ())
        with pytest.raises(errors.UpstreamProtocolError):
            await collect(provider, question)

    async def test_an_answer_cut_short_is_never_whole(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        answer = Answer(text=("one", "two", "three"))
        upstream.will_answer(answer)
        await collect(provider, question)
        frames = upstream.wire.answer(upstream.requests[-1], answer).frames
        last = next(index for index, frame in enumerate(frames) if b"three" in frame)
        for kept in range(1, len(frames)):
            upstream.will_answer(answer, spoil=itemgetter(slice(kept)))
            if kept <= last:
                _, error = await _failing(provider, question)
                assert isinstance(error, errors.UpstreamProtocolError)
            else:
                await _whole_or_failing(provider, question)

    async def test_a_frame_cut_short(
        self, provider: ChatProvider, upstream: Upstream, question: ChatRequest
    ) -> None:
        upstream.will_answer(
            Answer(text=("one", "two", "three")),
            spoil=lambda frames: (*frames[:2], frames[2][: len(frames[2]) // 2]),
        )
        _, error = await _failing(provider, question)
        assert isinstance(error, errors.UpstreamProtocolError)


async def _failing(
    provider: ChatProvider, request: ChatRequest
) -> tuple[list[ChatChunk], errors.RuntimeCoreError]:
    """Return what came before the failure, and the failure."""
    chunks: list[ChatChunk] = []
    try:
        async for chunk in provider.chat(request):
            chunks.append(chunk)
    except (errors.UpstreamError, errors.TimedOut) as exc:
        assert all(chunk.finish_reason is None for chunk in chunks)
        return chunks, exc
    pytest.fail(f"taken for a whole answer: {chunks}")


async def _whole_or_failing(provider: ChatProvider, request: ChatRequest) -> None:
    """All text is there; whether a missing last word matters is the protocol's affair."""
    try:
        chunks = await collect(provider, request)
    except errors.UpstreamProtocolError:
        return
    assert text_of_chunks(chunks) == "onetwothree"
    assert chunks[-1].finish_reason == "stop"
