"""Server-sent events: frames, and the response that writes them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from litestar import Response

from runtime_core.http.alarm import Alarm
from runtime_core.http.context import ENDLESS, HEAD
from runtime_core.http.disconnect import disconnected
from runtime_core.http.errors import describe, envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from litestar.types import Receive, Scope, Send

    from runtime_core.errors import RuntimeCoreError
    from runtime_core.http.feed import Feed

__all__ = ("Endless", "EventStream", "error_frame", "sse_frame")

T = TypeVar("T")

_HEARTBEAT = b": still here\n\n"
_TOO_SLOW = b": ended, since the client did not read\n\n"
_LAST_WORD = 1.0


def sse_frame(data: bytes | str, *, event: str | None = None, id: str | None = None) -> bytes:
    """Return one frame; JSON *data* is a single line, other text becomes a line of data each.

    :raises ValueError: *event* or *id* has a line break, which would be a frame of its own.
    """
    lines = _data_lines(data)
    if event is None and id is None:
        return b"data: %b\n\n" % lines
    head = "".join(_field(name, value) for name, value in (("id", id), ("event", event)))
    return b"%bdata: %b\n\n" % (head.encode(), lines)


def error_frame(error: RuntimeCoreError) -> bytes:
    """Return the last frame of a stream that fails after it has begun."""
    return sse_frame(envelope(error))


class Endless:
    """The streams that go on until somebody ends them: a server that stops does."""

    def __init__(self) -> None:
        self._feeds: set[Feed[Any]] = set()
        self._over = False

    def add(self, feed: Feed[Any]) -> None:
        """Keep a stream's feed; stopped at once when all are over already."""
        self._feeds.add(feed)
        if self._over:
            feed.stop()

    def discard(self, feed: Feed[Any]) -> None:
        """Forget a feed."""
        self._feeds.discard(feed)

    def end(self) -> None:
        """End all of them, and those that begin later."""
        self._over = True
        for feed in tuple(self._feeds):
            feed.stop()


class EventStream(Response[bytes], Generic[T]):
    """Streams a feed's batches as server-sent events, and closes the feed however that ends.

    The headers leave at once.  A comment follows every *heartbeat* seconds without a frame.  A
    client that leaves ends the feed's source at once; one that does not read for *patience*
    seconds is told so in a comment and disconnected.

    :param feed: what to stream.
    :param encode: a batch to the bytes of its frames; may be ``b""``.
    :param finish: the bytes of the last frames after a good end.
    :param error: the bytes of the last frame after an error.
    :param endless: the source has no end of its own, so the stream ends when the server stops.
    """

    __slots__ = ("_encode", "_endless", "_error", "_feed", "_finish", "_heartbeat", "_patience")

    def __init__(
        self,
        feed: Feed[T],
        encode: Callable[[list[T]], bytes],
        *,
        finish: Callable[[], bytes] | None = None,
        error: Callable[[RuntimeCoreError], bytes] = error_frame,
        heartbeat: float = 15.0,
        patience: float = 30.0,
        headers: Mapping[str, str] | None = None,
        endless: bool = False,
    ) -> None:
        super().__init__(b"", status_code=200, headers=dict(headers or {}))
        self._feed = feed
        self._encode = encode
        self._finish = finish
        self._error = error
        self._heartbeat = heartbeat
        self._patience = patience
        self._endless = endless

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return itself: the stream is its own ASGI application."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the stream to its end, or to the client's."""
        client = asyncio.create_task(disconnected(receive), name="watch")
        client.add_done_callback(self._left)
        endless: Any = scope.get(ENDLESS) if self._endless else None
        if endless is not None:
            endless.add(self._feed)
        try:
            # some servers say with an OSError that the client is gone
            with suppress(OSError):
                await self._conversation(scope, send)
        finally:
            client.cancel()
            if endless is not None:
                endless.discard(self._feed)
            await self._feed.aclose()

    async def _conversation(self, scope: Scope, send: Send) -> None:
        if scope.get(HEAD):
            self._feed.stop()
        writer = _Writer(send, self._patience)
        silence = Alarm(self._heartbeat, self._feed.nudge)
        try:
            await send(self._start())  # type: ignore[arg-type]
            await self._body(writer, silence)
        except _TooSlow:
            await _last_word(send)
        finally:
            silence.close()
            writer.close()

    def _start(self) -> dict[str, Any]:
        headers = {
            "content-type": "text/event-stream",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
            **self.headers,
        }
        return {
            "type": "http.response.start",
            "status": 200,
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
        }

    async def _body(self, writer: _Writer, silence: Alarm) -> None:
        feed, encode = self._feed, self._encode
        silence.set()
        while (batch := await feed.take()) is not None:
            data = encode(batch) if batch else _HEARTBEAT
            if data:
                await writer.write(data)
                silence.set()
        await writer.write(self._tail(), more=False)

    def _tail(self) -> bytes:
        failure = self._feed.failure
        if failure is not None:
            return self._error(describe(failure))
        if self._finish is None or self._feed.stopped:
            return b""
        return self._finish()

    def _left(self, client: asyncio.Task[None]) -> None:
        if not client.cancelled():
            client.exception()
            self._feed.stop()


class _Writer:
    """Writes for the task it is made in, as long as the client reads."""

    __slots__ = ("_alarm", "_gave_up", "_send", "_task")

    def __init__(self, send: Send, patience: float) -> None:
        self._send = send
        self._task = asyncio.current_task()
        self._gave_up = False
        self._alarm = Alarm(patience, self._give_up)

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Write, or raise `_TooSlow`."""
        self._alarm.set()
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except asyncio.CancelledError:
            if self._gave_up and self._task is not None and self._task.uncancel() == 0:
                raise _TooSlow from None
            raise
        finally:
            self._alarm.clear()

    def close(self) -> None:
        self._alarm.close()

    def _give_up(self) -> None:
        self._gave_up = True
        if self._task is not None:
            self._task.cancel()


async def _last_word(send: Send) -> None:
    # when even this cannot be written, returning in mid-answer makes the server close
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORD):
            await send({"type": "http.response.body", "body": _TOO_SLOW, "more_body": False})


class _TooSlow(Exception):
    """The client does not read."""


def _data_lines(data: bytes | str) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    if b"\n" not in raw and b"\r" not in raw:
        return raw
    return b"\ndata: ".join(raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))


def _field(name: str, value: str | None) -> str:
    if value is None:
        return ""
    if any(mark in value for mark in "\r\n\0"):
        raise ValueError(f"{name} must not have line breaks: {value!r}")
    return f"{name}: {value}\n"
