"""What nats-py talks over: the network, with what nats-py leaves open settled here.

nats-py would say who we are in clear where ``tls://`` wants TLS and the server offers none, would
let what was said before encryption count, and would wait for a peer that takes nothing while it
closes.  So TLS is up before nats-py says a word, and neither writing nor closing waits or fails: an
end is met by who reads.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, cast

from nats.aio.transport import Transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from urllib.parse import ParseResult

    from runtime_eventbridge_nats.address import Server

__all__ = ("Stream", "dial")

#: Bytes of a line and of a payload beyond which this is no bus.
_LONGEST_LINE, _LARGEST_PAYLOAD = 1 << 20, 64 << 20

#: Seconds for the loop to close a socket.
_CLOSING_S = 1.0

_log = logging.getLogger("runtime.bus")


async def dial(server: Server, context: ssl.SSLContext) -> Stream:
    """Connect, hear the server's first words, and encrypt where it or the URL wants that.

    :raises OSError: the network or TLS fails.
    :raises ValueError: this is no NATS server, or it offers no TLS where the URL wants it.
    """
    reader = asyncio.StreamReader()
    transport, protocol = await asyncio.get_running_loop().create_connection(
        lambda: _Protocol(reader), server.host, server.port
    )
    stream = Stream(transport, protocol, reader)
    try:
        await stream.open(server, context)
    except BaseException:
        stream.close()
        raise
    return stream


class _Protocol(asyncio.StreamReaderProtocol):
    """Tells when the connection is gone."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.gone = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone.set()


class Stream(Transport):
    """Made by `dial`: a connection on which nats-py may say everything."""

    def __init__(
        self, transport: asyncio.Transport, protocol: _Protocol, reader: asyncio.StreamReader
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._reader = reader
        self._ahead = bytearray()
        self._info = b""
        self._reading: asyncio.Task[Any] | None = None
        #: Called when nobody reads any more, for whatever reason.
        self.unread: Callable[[], None] = lambda: None
        #: Bytes that came since a message was whole; whoever is given one sets it to 0.
        self.unfinished = 0

    # -- before nats-py --------------------------------------------------------

    async def open(self, server: Server, context: ssl.SSLContext) -> None:
        """Hear the server's first words, and encrypt."""
        info = _greeting(await self._line())
        tls = server.tls or bool(info.get("tls_required"))
        if server.tls and not (info.get("tls_required") or info.get("tls_available")):
            raise ValueError("it offers no TLS, and tls:// and the tls_ options want it")
        if tls:
            await self._encrypt(server.host, context)
        # it is encrypted already, and nats-py is never to look for other servers
        told = json.dumps(info | {"tls_required": False, "connect_urls": []})
        self._info = f"INFO {told}\r\n".encode()

    async def _encrypt(self, host: str, context: ssl.SSLContext) -> None:
        if self._ahead:
            # what was said before encryption could be anybody's
            raise ValueError("it goes on talking in clear")
        # nor is what the old reader has got since ever looked at
        reader = asyncio.StreamReader()
        protocol = _Protocol(reader)
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, protocol, context, server_hostname=host
        )
        if transport is None:
            raise ConnectionResetError("it closed the connection")
        # start_tls leaves that out, and the reader could not slow the peer down
        protocol.connection_made(transport)
        self._transport, self._protocol, self._reader = transport, protocol, reader

    async def _line(self) -> bytes:
        while (end := self._ahead.find(b"\r\n")) < 0:
            if len(self._ahead) > _LONGEST_LINE:
                raise ValueError("what it says makes no sense: a line without an end")
            data = await self._reader.read(_LONGEST_LINE)
            if not data:
                raise ConnectionResetError("it closed the connection")
            self._ahead += data
        line = bytes(self._ahead[:end])
        del self._ahead[: end + 2]
        return line

    # -- what nats-py asks for -------------------------------------------------

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Return: `dial` did it, to no other server than the one it was given."""

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        """Return: `dial` did it where it was wanted."""

    async def readline(self) -> bytes:
        """Return the server's first words, then its answer to the first ping.

        What else it may say before that answer would confuse nats-py.
        """
        if self._info:
            info, self._info = self._info, b""
            return info
        while True:
            line = await self._line()
            match line.partition(b" ")[0].upper():
                case b"PONG":
                    return b"PONG\r\n"
                case b"-ERR":
                    return line + b"\r\n"
                case b"PING":
                    self._send(b"PONG\r\n")
                case b"INFO" | b"+OK":
                    pass
                case _:
                    raise ValueError(f"what it says makes no sense: {line[:40]!r}")

    async def read(self, buffer_size: int) -> bytes:
        """Return what came, or nothing at the end."""
        if self._reading is None:
            self._reading = asyncio.current_task()
            if self._reading is not None:
                # nats-py gives up reading without a word when it does not understand
                self._reading.add_done_callback(lambda _: self.unread())
        data = bytes(self._ahead) or await self._reader.read(buffer_size)
        self._ahead.clear()
        self.unfinished += len(data)
        if self.unfinished > _LARGEST_PAYLOAD + _LONGEST_LINE:
            raise ConnectionAbortedError("what it says makes no sense: a message without an end")
        return data

    def write(self, payload: bytes) -> None:
        """Send *payload*."""
        self._send(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """Send all of them."""
        self._send(b"".join(payload))

    async def drain(self) -> None:
        """Return: `waiting` says whether the network takes more.

        So what nats-py collects is on its way before a ping that comes after it.
        """

    def _send(self, data: bytes) -> None:
        if data and not self.is_closing:
            self._transport.write(data)

    @property
    def waiting(self) -> int:
        """Bytes that the network has not taken."""
        return self._transport.get_write_buffer_size()

    @property
    def is_closing(self) -> bool:
        """Whether it is over; asked before the loop tells of the end, it knows too."""
        return self._protocol.gone.is_set() or self._transport.is_closing()

    def close(self) -> None:
        """End at once; may be called twice."""
        self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed, for a moment at most."""
        try:
            async with asyncio.timeout(_CLOSING_S):
                await self._protocol.gone.wait()
        except TimeoutError:
            _log.debug("a socket of the bus is not closed yet")

    def at_eof(self) -> bool:
        """Whether everything was read."""
        return self._reader.at_eof() and not self._ahead

    def __bool__(self) -> bool:
        """Say that nats-py needs no other."""
        return True


def _greeting(line: bytes) -> dict[str, Any]:
    """Read ``INFO {...}``."""
    verb, _, rest = line.partition(b" ")
    if verb.upper() != b"INFO":
        raise ValueError(f"what it says makes no sense: {line[:40]!r}")
    try:
        info = json.loads(rest)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"what it says makes no sense: {exc}") from exc
    if not isinstance(info, dict) or not isinstance(info.get("max_payload", 0), int):
        raise ValueError("what it says makes no sense: its greeting")
    return cast("dict[str, Any]", info)
