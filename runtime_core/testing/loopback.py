"""Servers on real sockets: the smallest one, which can also misbehave, and applications."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from runtime_core.testing.wire import WireRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ("Exchange", "Hangup", "listening", "serve")


class Hangup(Exception):
    """The client closed the connection."""


@asynccontextmanager
async def serve(
    respond: Callable[[WireRequest, Exchange], Awaitable[None]],
    connected: Callable[[], None],
) -> AsyncIterator[str]:
    """Serve on a free port of 127.0.0.1 and give the address; connections end with the block."""
    loop = asyncio.get_running_loop()
    exchanges: set[Exchange] = set()

    def accept() -> Exchange:
        connected()
        return Exchange(respond, exchanges)

    server = await loop.create_server(accept, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for exchange in tuple(exchanges):
            await exchange.stop()
        await server.wait_closed()


class Exchange(asyncio.Protocol):
    """One connection; requests are answered one after the other."""

    def __init__(
        self,
        respond: Callable[[WireRequest, Exchange], Awaitable[None]],
        exchanges: set[Exchange],
    ) -> None:
        self._respond = respond
        self._exchanges = exchanges
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._last = False
        self._writable = asyncio.Event()
        self._writable.set()

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send status and headers of a chunked body."""
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join((f"HTTP/1.1 {status} X", *lines, "transfer-encoding: chunked", "", ""))
        self._write(head.encode("latin-1"))

    async def send(self, data: bytes) -> None:
        """Send a chunk of the body; waits while the client does not read."""
        await self._writable.wait()
        if data:
            self._write(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        """Send the end of the body."""
        self._write(b"0\r\n\r\n")

    def abandon(self, *, reset: bool) -> None:
        """Close, or reset, the connection as it is."""
        transport = self._transport
        if transport is None:
            raise Hangup
        if reset:
            linger = struct.pack("ii", 1, 0)
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()

    async def stop(self) -> None:
        """End whatever goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._exchanges.add(self)

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is complete."""
        self._received += data
        self._answer_next()

    def pause_writing(self) -> None:
        """Wait: the client is slower."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop answering."""
        self._transport = None
        self._exchanges.discard(self)
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def _answer_next(self) -> None:
        if self._task is None and (request := _take(self._received)) is not None:
            self._last = request.headers.get("connection") == "close"
            self._task = asyncio.get_running_loop().create_task(self._answer(request))
            self._task.add_done_callback(self._answered)

    async def _answer(self, request: WireRequest) -> None:
        with suppress(Hangup):
            await self._respond(request, self)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled() or self._transport is None:
            return
        if (exc := task.exception()) is not None:
            self._fail(exc)
        if self._last:
            self._transport.close()
        else:
            self._answer_next()

    def _fail(self, exc: BaseException) -> None:
        body = f"the scripted upstream failed: {exc!r}".encode()
        self._write(b"HTTP/1.1 599 X\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise Hangup
        self._transport.write(data)


def _take(received: bytearray) -> WireRequest | None:
    """Remove one complete request from what was received."""
    head, found, rest = bytes(received).partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    length = int(headers.get("content-length", "0"))
    if len(rest) < length:
        return None
    del received[: len(head) + 4 + length]
    return WireRequest(method, target, headers, rest[:length])


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[int]:
    """Serve an ASGI application on a free port of 127.0.0.1, in this process; give the port."""
    # here and not above: pytest loads this package wherever the kernel is installed
    import uvicorn

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listener]), name="uvicorn")
        try:
            async with asyncio.timeout(20):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.005)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running
