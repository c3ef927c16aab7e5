"""One connection to one server, from its beginning to its end; it never comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import TYPE_CHECKING

from runtime_core.errors import UpstreamUnavailable
from runtime_eventbridge_nats.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_eventbridge_nats.address import Certificates, Server

    #: Given a subject without its prefix, and a payload.
    Hear = Callable[[str, bytes], None]

__all__ = ("ANSWER_S", "Connection", "connect")

#: Seconds that a server has to be connected to, or to answer.
ANSWER_S = 2.0

#: Longer subjects end the connection at the servers.
_LONGEST_SUBJECT = 900

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
            connection = await _dial(server, prefix, hear)
            await connection.open(context)
    except (OSError, ValueError) as exc:
        if connection is not None:
            connection.close()
        raise UpstreamUnavailable(f"{server.where}: {_reason(exc)}") from exc
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


class Connection:
    """Made by `connect`; when it is lost another one is needed."""

    def __init__(self, server: Server, prefix: str, wire: Wire) -> None:
        self.where = server.where
        self._server = server
        self._prefix = prefix
        self._wire = wire

    async def open(self, context: ssl.SSLContext) -> None:
        """Encrypt where that is wanted, say who we are, and listen."""
        info = await self._wire.info
        tls = bool(info.get("tls_required"))
        if self._server.tls and not (tls or info.get("tls_available")):
            raise ValueError("it offers no TLS, and tls:// and the tls_ options want it")
        if tls := tls or self._server.tls:
            await self._encrypt(context)
        await self._wire.greet(self._server.credentials, f"{self._prefix}.>", tls=tls)

    def offer(self, subject: str, payload: bytes) -> bool:
        """Send a message, or return False: the network does not take more now, or it is lost."""
        if not (self._wire.is_open and self._wire.is_writable):
            return False
        name = f"{self._prefix}.{subject}".encode()
        if len(payload) > self._wire.max_payload or len(name) > _LONGEST_SUBJECT:
            self._warn_of_size(subject, payload)
        else:
            self._wire.publish(name, payload)
        return True

    async def writable(self) -> None:
        """Wait until the network takes more, or the connection is lost."""
        await self._wire.writable()

    async def ping(self) -> None:
        """Return when the server has everything that was sent.

        :raises UpstreamUnavailable: it does not answer, or does not let us speak or listen.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._wire.ping()
        except OSError as exc:
            raise UpstreamUnavailable(f"{self.where}: {_reason(exc)}") from exc
        if self._wire.refusal:
            raise UpstreamUnavailable(f"{self.where}: {self._wire.refusal}")

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self._wire.is_open

    async def lost(self) -> str:
        """Wait for the connection's end, and say why it came."""
        return f"{self.where}: {await asyncio.shield(self._wire.ended)}"

    def close(self) -> None:
        """Disconnect at once; may be called twice."""
        self._wire.close()

    def _warn_of_size(self, subject: str, payload: bytes) -> None:
        _log.warning(
            "a message of %d bytes to %.200s is too large for the bus at %s, which takes %d: "
            "other replicas miss it",
            len(payload),
            subject,
            self.where,
            self._wire.max_payload,
        )

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        if not self._wire.quiet:
            # what was said before encryption could be anybody's
            raise ValueError("it goes on talking in clear")
        transport = await asyncio.get_running_loop().start_tls(
            self._wire.transport, self._wire, context, server_hostname=self._server.host
        )
        if transport is None:
            raise ConnectionResetError("it closed the connection")
        self._wire.upgrade(transport)


async def _dial(server: Server, prefix: str, hear: Hear) -> Connection:
    skip = len(prefix) + 1

    def heard(subject: str, payload: bytes) -> None:
        hear(subject[skip:], payload)

    _, wire = await asyncio.get_running_loop().create_connection(
        lambda: Wire(heard), server.host, server.port
    )
    return Connection(server, prefix, wire)


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


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(error) or type(error).__name__
