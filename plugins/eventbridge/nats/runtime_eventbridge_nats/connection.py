"""One connection to one server, from its beginning to its end; it never comes back by itself."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any

from nats import errors
from nats.aio.client import Client

from runtime_core.errors import UpstreamUnavailable
from runtime_eventbridge_nats.stream import dial

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from runtime_eventbridge_nats.address import Certificates, Server
    from runtime_eventbridge_nats.stream import Stream

    #: Given a subject without its prefix, and a payload.
    Hear = Callable[[str, bytes], None]

__all__ = ("ANSWER_S", "Connection", "connect")

#: Seconds that a server has to be connected to, or to answer.
ANSWER_S = 2.0

#: Seconds between signs of life; when a third would be due without an answer, all is over.
_PING_S = 5.0
_UNANSWERED = 2

#: Longer subjects end the connection at the servers.
_LONGEST_SUBJECT = 900

#: Bytes on their way out beyond which the network is asked before it gets more.
_ENOUGH = 4 << 20

#: Messages and bytes that came and were not handed out yet; more end the connection.
_UNHEARD, _UNHEARD_BYTES = 64 * 1024, 128 << 20

#: nats-py must dial nobody itself: no host has this name (RFC 2606).
_NOWHERE = "nats://dialled-already.invalid:4222"

#: Longer than it takes to notice that a server is dead; nats-py stops reading after an answer to
#: a ping that was given up.
_FOR_EVER_S = 24 * 3600

_log = logging.getLogger("runtime.bus")


async def connect(
    server: Server, certificates: Certificates, prefix: str, hear: Hear
) -> Connection:
    """Connect and listen; what others publish from now on is heard.

    :param prefix: stands before every subject on the server.
    :raises UpstreamUnavailable: it cannot be done; the message has no credentials.
    """
    connection: Connection | None = None
    try:
        async with asyncio.timeout(ANSWER_S):
            context = await asyncio.to_thread(_context, certificates)
            stream = await dial(server, context)
            connection = Connection(server, prefix, hear, stream)
            opening = _start(connection.open(), "bus-opening")
            # a task of its own, for nats-py may swallow that we are cancelled
            await asyncio.wait({opening})
            opening.result()
    except (OSError, ValueError, errors.Error) as exc:
        if connection is not None:
            await connection.close()
        raise UpstreamUnavailable(f"{server.where}: {_reason(exc)}") from exc
    except BaseException:
        if connection is not None:
            await connection.close()
        raise
    return connection


class Connection:
    """Made by `connect`; when it is lost another one is needed."""

    def __init__(self, server: Server, prefix: str, hear: Hear, stream: Stream) -> None:
        self.where = server.where
        self._who = server.credentials
        self._prefix = prefix
        self._hear = hear
        self._stream = stream
        self._client = _Client(stream)
        self._subscription: Subscription | None = None
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._refusal = ""
        stream.unread = self._unread

    async def open(self) -> None:
        """Say who we are, and listen."""
        await self._client.connect(
            _NOWHERE,
            name="runtime",
            error_cb=self._object,
            disconnected_cb=self._closed,
            closed_cb=self._closed,
            allow_reconnect=False,
            connect_timeout=ANSWER_S,  # type: ignore[arg-type]  # fractions of a second work
            ping_interval=_PING_S,  # type: ignore[arg-type]
            max_outstanding_pings=_UNANSWERED,
            # this process hears itself without a server
            no_echo=True,
            user=self._who.user or None,
            password=self._who.password if self._who.user else None,
            token=self._who.token or None,
            # nothing is to wait inside nats-py, and nothing to be kept while it is not connected
            pending_size=0,
        )
        self._subscription = await self._client.subscribe(
            f"{self._prefix}.>",
            cb=self._heard,
            pending_msgs_limit=_UNHEARD,
            pending_bytes_limit=_UNHEARD_BYTES,
        )
        await self._answer()

    async def offer(self, subject: str, payload: bytes) -> bool:
        """Send a message, or return False: the network does not take more now, or it is lost.

        Never waits.
        """
        on_the_way = self._client.pending_data_size + self._stream.waiting
        if not self.is_open or on_the_way > _ENOUGH:
            return False
        name = f"{self._prefix}.{subject}"
        if len(payload) > self._client.max_payload or len(name.encode()) > _LONGEST_SUBJECT:
            self._warn_of_size(subject, payload)
        else:
            await self._client.publish(name, payload)
        return True

    async def writable(self) -> None:
        """Wait until the network takes more, or the connection is lost."""
        if self._client.pending_data_size + self._stream.waiting > _ENOUGH:
            try:
                await self._answer()
            except ConnectionResetError:
                return

    async def ping(self) -> None:
        """Return when the server has everything that was sent.

        :raises UpstreamUnavailable: it does not answer, or does not let us speak or listen.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._answer()
        except OSError as exc:
            raise UpstreamUnavailable(f"{self.where}: {_reason(exc)}") from exc
        if self._refusal:
            raise UpstreamUnavailable(f"{self.where}: {self._refusal}")

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        open_here = self._client.is_connected and not self._stream.is_closing
        return open_here and not self._ended.done()

    async def lost(self) -> str:
        """Wait for the connection's end, and say why it came."""
        return f"{self.where}: {await asyncio.shield(self._ended)}"

    async def close(self) -> None:
        """Disconnect at once; may be called twice."""
        self._end("the connection was closed")
        closing = _start(self._client.close(), "bus-closing")
        try:
            await asyncio.wait({closing}, timeout=ANSWER_S)
        finally:
            self._stream.close()
            for task in (left := self._tasks()):
                task.cancel()
        if left:
            await asyncio.wait(left, timeout=ANSWER_S)

    # -- what nats-py tells ----------------------------------------------------

    async def _heard(self, message: Msg) -> None:
        self._stream.unfinished = 0
        self._hear(message.subject[len(self._prefix) + 1 :], message.data)

    async def _object(self, error: Exception) -> None:
        """Hear of what went wrong; what ends the connection is told by `_closed` too."""
        text = _reason(error)
        if text.lower().startswith("permissions violation"):
            self._refusal = text
            _log.warning("the bus refuses: %s", text)
        elif isinstance(error, errors.SlowConsumerError):
            self._end("more messages came than could be handed out")
        elif isinstance(error, errors.Error | OSError):
            _log.debug("the bus at %s: %s", self.where, text)
        else:
            _log.error("a message of the bus could not be handed out", exc_info=error)

    async def _closed(self) -> None:
        self._end(_reason(self._client.last_error))

    def _unread(self) -> None:
        error = self._client.last_error
        self._end(_reason(error or errors.ProtocolError()))

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    # -- what is asked of nats-py ----------------------------------------------

    async def _answer(self) -> None:
        """Return when the server has dealt with everything that was sent before.

        :raises ConnectionResetError: the connection ended.
        """
        if self.is_open:
            # never cancelled by who waits: see `_FOR_EVER_S`
            flushing = _start(self._client.flush(_FOR_EVER_S), "bus-ping")
            either: set[asyncio.Future[Any]] = {flushing, self._ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            # nats-py asks nobody, and is content, when its reading has ended
            if not self._ended.done() and not flushing.cancelled() and not flushing.exception():
                return
        raise ConnectionResetError(self._ended.result() if self._ended.done() else "")

    def _tasks(self) -> set[asyncio.Task[Any]]:
        """Return what still runs for this connection; nats-py does not tell."""
        owners = (self, self._client, self._subscription)
        return {
            task
            for task in asyncio.all_tasks()
            if inspect.iscoroutine(running := task.get_coro())
            and (owner := inspect.getcoroutinelocals(running).get("self")) is not None
            and any(owner is one for one in owners)
        }

    def _warn_of_size(self, subject: str, payload: bytes) -> None:
        _log.warning(
            "a message of %d bytes to %.200s is too large for the bus at %s, which takes %d: "
            "other replicas miss it",
            len(payload),
            subject,
            self.where,
            self._client.max_payload,
        )


class _Client(Client):
    """nats-py's client on a stream of ours; nats-py has no option for that."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._transport = stream


def _start(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run *coroutine* beside us; that nobody asks how it ended is no fault."""
    task = asyncio.create_task(coroutine, name=name)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


def _context(certificates: Certificates) -> ssl.SSLContext:
    """Read the certificates anew for each connection: they expire and are replaced."""
    try:
        context = ssl.create_default_context(cafile=certificates.authority or None)
        if certificates.certificate:
            context.load_cert_chain(certificates.certificate, certificates.key or None)
    except OSError as exc:
        files = (certificates.authority, certificates.certificate, certificates.key)
        named = ", ".join(filter(None, files)) or "the system's certificates"
        raise ValueError(f"cannot use {named}: {exc.strerror or exc}") from exc
    return context


#: The first that fits counts.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, f"no answer within {ANSWER_S:g} s"),
    (ConnectionRefusedError, "nobody listens there"),
    (socket.gaierror, "its name is not known"),
    (errors.UnexpectedEOF, "it closed the connection"),
    (errors.StaleConnectionError, "it does not answer any more"),
    (errors.AuthorizationError, "it does not accept the credentials"),
    (errors.ProtocolError, "what it says makes no sense"),
)


def _reason(error: Exception | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    text = str(error or "").removeprefix("nats: ").strip("' ")
    if text.lower().startswith("authorization violation"):
        return "it does not accept the credentials"
    return text or "it closed the connection"
