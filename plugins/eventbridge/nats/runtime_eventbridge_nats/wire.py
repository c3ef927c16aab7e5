"""The client's side of core NATS's protocol: lines of text, and payloads of a known length.

Written out here because a doorbell needs little of it, and needs that little to be certain: that a
connection's end is always noticed, that nothing is said in clear where TLS is wanted, that closing
and cancelling end at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_eventbridge_nats.address import Credentials

__all__ = ("Wire",)

#: Bytes of a line and of a payload beyond which this is no bus.
_LONGEST_LINE, _LARGEST_PAYLOAD = 1 << 20, 64 << 20

#: Seconds between signs of life; when a third would be due without an answer, all is over.
_PING_S = 5.0
_UNANSWERED = 2

_SUBSCRIPTION = b"1"

_log = logging.getLogger("runtime.bus")


class Wire(asyncio.Protocol):
    """One connection; every wait on it ends with an answer or with `ConnectionError`.

    :param heard: given subject and payload of every message, in order.
    """

    def __init__(self, heard: Callable[[str, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self._heard = heard
        #: What the server said first.
        self.info: asyncio.Future[dict[str, Any]] = loop.create_future()
        #: Why the connection ended, once it has.
        self.ended: asyncio.Future[str] = loop.create_future()
        #: What the server does not let us do, in its words.
        self.refusal = ""
        self.max_payload = 1 << 20
        self._reason = ""
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._listens = False
        self._message: tuple[str, int] | None = None
        self._pongs: deque[asyncio.Future[None]] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None

    # -- what we say -----------------------------------------------------------

    async def greet(self, who: Credentials, subject: str, *, tls: bool) -> None:
        """Say who we are and that we listen to *subject*; return when that is accepted."""
        options: dict[str, Any] = {
            "name": "runtime",
            "lang": "python",
            "version": "1",
            "protocol": 1,
            "verbose": False,
            "pedantic": False,
            "headers": False,
            "tls_required": tls,
            # this process hears itself without a server
            "echo": False,
        }
        if who.user:
            options |= {"user": who.user, "pass": who.password}
        if who.token:
            options |= {"auth_token": who.token}
        said = f"CONNECT {json.dumps(options)}\r\nSUB {subject} {_SUBSCRIPTION.decode()}\r\n"
        self._listens = True
        self._write(said.encode())
        await self.ping()
        self._timer = asyncio.get_running_loop().call_later(_PING_S, self._keep_alive)

    def publish(self, subject: bytes, payload: bytes) -> None:
        """Send a message."""
        self._write(b"PUB %b %d\r\n%b\r\n" % (subject, len(payload), payload))

    @property
    def is_writable(self) -> bool:
        """Whether the network takes more now."""
        return self._writable.is_set()

    async def writable(self) -> None:
        """Wait until the network takes more, or the end."""
        await self._writable.wait()

    async def ping(self) -> None:
        """Return when the server has dealt with everything that was sent before."""
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._write(b"PING\r\n")
        self._pongs.append(pong)
        await pong

    def close(self) -> None:
        """Send what is left, if the network takes it now, and end; may be called twice."""
        self._end("the connection was closed")
        if self._transport is not None:
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()

    def upgrade(self, transport: asyncio.Transport) -> None:
        """Go on over *transport*, the encrypted one."""
        self._transport = transport

    @property
    def is_open(self) -> bool:
        """Whether something can be said; asked before the loop tells of the end, it knows too."""
        transport = self._transport
        return transport is not None and not (self.ended.done() or transport.is_closing())

    @property
    def transport(self) -> asyncio.Transport:
        """What the connection goes over now."""
        if self._transport is None or not self.is_open:
            raise ConnectionResetError(self._reason or "the connection was closed")
        return self._transport

    @property
    def quiet(self) -> bool:
        """Whether nothing of what the server said is left to be read."""
        return not self._received

    def _write(self, data: bytes) -> None:
        self.transport.write(data)

    def _keep_alive(self) -> None:
        if not self.is_open:
            return
        if self._unanswered >= _UNANSWERED:
            self._fail("it does not answer any more")
            return
        self._unanswered += 1
        self._pongs.append(asyncio.get_running_loop().create_future())
        self._write(b"PING\r\n")
        self._timer = asyncio.get_running_loop().call_later(_PING_S, self._keep_alive)

    # -- what the server says --------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # uvloop's are no subclasses
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self.ended.done():
            return
        self._received += data
        try:
            self._read()
        except ConnectionResetError as exc:
            self._fail(str(exc))
        except (ValueError, RecursionError) as exc:
            self._fail(f"what it says makes no sense: {exc}")

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, whatever ended the connection."""
        self._end(str(exc) if exc is not None else "it closed the connection")

    def _read(self) -> None:
        received, done = self._received, 0
        while not self.ended.done():
            if self._message is not None:
                subject, size = self._message
                if len(received) - done < size + 2:
                    break
                payload, done = bytes(received[done : done + size]), done + size + 2
                self._message = None
                self._heard(subject, payload)
                continue
            end = received.find(b"\r\n", done)
            if end < 0:
                break
            line, done = bytes(received[done:end]), end + 2
            self._obey(line)
        del received[:done]
        if self._message is None and len(received) > _LONGEST_LINE:
            raise ValueError("a line without an end")

    def _obey(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            # before that, and before encryption, they could be anybody's
            case b"MSG" if self._listens:
                self._message = _message(rest)
            case b"PING":
                self._write(b"PONG\r\n")
            case b"PONG":
                self._answered()
            case b"INFO":
                self._learn(json.loads(rest))
            case b"-ERR":
                self._object(rest.decode(errors="replace").strip("' "))
            case b"+OK":
                pass
            case _:
                raise ValueError(f"{line[:40]!r}")

    def _answered(self) -> None:
        self._unanswered = 0
        if self._pongs and not (pong := self._pongs.popleft()).done():
            pong.set_result(None)

    def _learn(self, info: object) -> None:
        if not isinstance(info, dict):
            raise ValueError("its greeting is no object")
        if isinstance(limit := info.get("max_payload"), int):
            self.max_payload = limit
        if not self.info.done():
            self.info.set_result(info)

    def _object(self, text: str) -> None:
        if text.lower().startswith("permissions violation"):
            self.refusal = text
            _log.warning("the bus refuses: %s", text)
        elif text.lower().startswith("authorization violation"):
            self._fail("it does not accept the credentials")
        else:
            self._fail(text)

    # -- the end ---------------------------------------------------------------

    def _fail(self, reason: str) -> None:
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, reason: str) -> None:
        if self.ended.done():
            return
        self._reason = reason
        self.ended.set_result(reason)
        if self._timer is not None:
            self._timer.cancel()
        self._writable.set()
        waiting: list[asyncio.Future[Any]] = [self.info, *self._pongs]
        self._pongs.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionResetError(reason))
                # it may be that nobody waits
                future.exception()


def _message(rest: bytes) -> tuple[str, int]:
    """Read ``subject subscription [reply] size``."""
    parts = rest.split()
    size = int(parts[-1]) if len(parts) in (3, 4) and parts[-1].isdigit() else -1
    if not 0 <= size <= _LARGEST_PAYLOAD:
        raise ValueError(f"MSG {rest[:40]!r}")
    return parts[0].decode(), size
