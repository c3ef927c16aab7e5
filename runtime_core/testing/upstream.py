"""A scripted imitation of a model service: behind a transport, or on a real socket."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import httpx
from msgspec import Struct

from runtime_core.testing.loopback import Exchange, Hangup, serve
from runtime_core.testing.wire import Answer, ChatWire, EmbeddingWire, Reply, WireRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ("Ending", "Upstream")

#: How a reply ends: as it should; with the connection closed or reset in the middle of the body;
#: or not at all.
Ending = Literal["complete", "cut", "reset", "hang"]


class _Script(Struct, frozen=True, kw_only=True):
    reply: Callable[[WireRequest], Reply]
    ending: Ending = "complete"
    pause_before: bytes | None = None
    piece_size: int | None = None


class Upstream:
    """A model service that answers as its script says.

    ``transport`` serves it without sockets and delivers pieces exactly as scripted;
    ``serving()`` on a real port, where connections break, hang and are left.  Both keep
    ``requests`` (chat and embedding requests).

    Events: ``received`` is set when such a request has arrived, ``left`` when a client went away
    before its answer ended; a pausing answer goes on after ``resume`` is set.
    """

    def __init__(self, wire: ChatWire) -> None:
        self.wire = wire
        self.url = "http://upstream.test"
        self.requests: list[WireRequest] = []
        self.listings = 0
        self.connections = 0
        self.open_streams = 0
        self.received = asyncio.Event()
        self.left = asyncio.Event()
        self.resume = asyncio.Event()
        self._script = _Script(reply=lambda request: wire.answer(request, Answer(text=("ok",))))
        self._listing: Reply | None = None

    # -- the script ----------------------------------------------------------

    def will_answer(
        self,
        answer: Answer,
        *,
        spoil: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] | None = None,
        ending: Ending = "complete",
        pause_before: str | None = None,
        piece_size: int | None = None,
    ) -> None:
        """Answer every request with *answer*.

        :param spoil: changes the frames before they are sent.
        :param ending: what happens after the last frame.
        :param pause_before: wait for ``resume`` before the frame with this (ASCII) text.
        :param piece_size: deliver the body in pieces of so many bytes (transport only).
        """

        def reply(request: WireRequest) -> Reply:
            whole = self.wire.answer(request, answer)
            frames = spoil(whole.frames) if spoil else whole.frames
            return Reply(frames, whole.status, whole.headers)

        pause = pause_before.encode("ascii") if pause_before else None
        self._script = _Script(
            reply=reply, ending=ending, pause_before=pause, piece_size=piece_size
        )

    def will_reply(
        self, reply: Reply | Callable[[WireRequest], Reply], *, ending: Ending = "complete"
    ) -> None:
        """Send *reply* to every request, or what it returns for the request."""
        make = reply if callable(reply) else lambda _: reply
        self._script = _Script(reply=make, ending=ending)

    def will_fail(
        self, status: int, message: str = "no", headers: dict[str, str] | None = None
    ) -> None:
        """Refuse every request."""
        refusal = self.wire.failure(status, message)
        self.will_reply(Reply(refusal.frames, status, refusal.headers | (headers or {})))

    def will_embed(self, vectors: list[list[float]]) -> None:
        """Answer every embedding request with *vectors*."""
        wire = self.wire
        assert isinstance(wire, EmbeddingWire), "this wire has no embeddings"
        self.will_reply(lambda request: wire.embeddings(request, vectors))

    def will_list(self, reply: Reply) -> None:
        """Send *reply* to every request for the list of models."""
        self._listing = reply

    # -- without sockets -----------------------------------------------------

    @property
    def transport(self) -> httpx.MockTransport:
        """The service as a transport for `httpx.AsyncClient`."""
        return httpx.MockTransport(self._handle)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        asked = WireRequest(
            request.method,
            request.url.raw_path.decode("ascii"),
            {name.lower(): value for name, value in request.headers.items()},
            request.content,
        )
        script = self._scripted(asked)
        reply = script.reply(asked)
        body = _Body(self, script, reply)
        self.open_streams += 1
        return httpx.Response(reply.status, headers=reply.headers, stream=body)

    # -- on a real socket ----------------------------------------------------

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen on a free port of 127.0.0.1; gives the address, also found as ``url``."""
        async with serve(self._respond, self._connected) as self.url:
            yield self.url

    def _connected(self) -> None:
        self.connections += 1

    async def _respond(self, request: WireRequest, exchange: Exchange) -> None:
        script = self._scripted(request)
        reply = script.reply(request)
        try:
            await self._send(script, reply, exchange)
        except (Hangup, asyncio.CancelledError):
            self.left.set()
            raise

    async def _send(self, script: _Script, reply: Reply, exchange: Exchange) -> None:
        if reply.frames or script.ending == "complete":
            exchange.begin(reply.status, reply.headers)
        for frame in reply.frames:
            if script.pause_before and script.pause_before in frame:
                await self.resume.wait()
            await exchange.send(frame)
        if script.ending == "complete":
            exchange.end()
        elif script.ending == "hang":
            await asyncio.Event().wait()
        else:
            exchange.abandon(reset=script.ending == "reset")

    def _scripted(self, request: WireRequest) -> _Script:
        operation = self.wire.operation(request)
        if operation in ("chat", "embed"):
            self.requests.append(request)
            self.received.set()
            return self._script
        self.listings += operation == "list"
        if operation == "list" and self._listing is not None:
            listing = self._listing
            return _Script(reply=lambda _: listing)
        return _Script(reply=self.wire.other)


class _Body(httpx.AsyncByteStream):
    def __init__(self, upstream: Upstream, script: _Script, reply: Reply) -> None:
        self._upstream = upstream
        self._script = script
        self._reply = reply
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for frame in self._reply.frames:
            if self._script.pause_before and self._script.pause_before in frame:
                await self._upstream.resume.wait()
            size = self._script.piece_size or len(frame) or 1
            for start in range(0, len(frame), size):
                yield frame[start : start + size]
        if self._script.ending == "hang":
            await asyncio.Event().wait()
        if self._script.ending != "complete":
            raise httpx.ReadError("the connection broke")

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._upstream.open_streams -= 1
