"""Keeps one connection to the bus, for ever."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from runtime_core.errors import UpstreamUnavailable
from runtime_eventbridge_nats.connection import ANSWER_S, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_eventbridge_nats.address import Address, Server
    from runtime_eventbridge_nats.connection import Connection, Hear

__all__ = ("Link",)

#: Seconds until the next attempt: doubled from one to the next.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0

#: A connection that lasted this many seconds was a good one.
_GOOD_S = 10.0

#: Messages and bytes that wait for a connection; the oldest make room.
_OUTBOX, _OUTBOX_BYTES = 1024, 1024 * 1024

_log = logging.getLogger("runtime.bus")


class Link:
    """Carries messages to and from the other processes while that is possible.

    Nothing is opened before `start`.

    :param hear: given what others published.
    :param lost: told, once others can be heard again, why they could not be for a time.
    """

    def __init__(self, address: Address, hear: Hear, lost: Callable[[str], None]) -> None:
        self._address = address
        self._hear = hear
        self._lost = lost
        self._connection: Connection | None = None
        self._reason = f"{self._where}: not connected yet"
        self._warned: set[str] = set()
        self._missing = False
        self._tried = asyncio.Event()
        self._outbox: deque[tuple[str, bytes]] = deque()
        self._outbox_bytes = 0
        self._overflowing = False
        self._posted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to connect, unless that was begun before."""
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._stay_connected(), name="bus")
            self._task.add_done_callback(self._ended)

    async def tried(self) -> None:
        """Return when it was tried to connect, well or not; takes `ANSWER_S` at most."""
        self.start()
        if self._tried.is_set() or self._closed:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._tried.wait()
        except TimeoutError:
            # who goes on without a connection must be told when there is one
            self._missing = True
            self._tried.set()

    async def send(self, subject: str, payload: bytes) -> None:
        """Send a message now, or as soon as there is a connection that takes it; never waits."""
        if self._closed:
            return
        self.start()
        connection = self._connection
        if connection is not None and not self._outbox and await connection.offer(subject, payload):
            return
        self._outbox.append((subject, payload))
        self._outbox_bytes += len(payload)
        while len(self._outbox) > 1 and self._too_much_waits():
            self._outbox_bytes -= len(self._outbox.popleft()[1])
            self._warn_of_overflow()
        self._posted.set()

    async def ping(self) -> None:
        """Return when the server answers; takes about `ANSWER_S` at most.

        :raises UpstreamUnavailable: it does not.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                await self.tried()
                if self._connection is not None:
                    await self._connection.ping()
                    return
        except TimeoutError:
            self._reason = f"{self._where}: no answer within {ANSWER_S:g} s"
        raise UpstreamUnavailable(self._reason)

    async def aclose(self) -> None:
        """Send what waits, if that can be done soon, and disconnect; may be called twice."""
        self._closed = True
        task, self._task = self._task, None
        if task is None:
            return
        with suppress(TimeoutError, UpstreamUnavailable):
            async with asyncio.timeout(ANSWER_S):
                await self._drain()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _drain(self) -> None:
        if self._outbox:
            await self._tried.wait()
        if self._connection is None:
            return
        await self._send_waiting(self._connection)
        await self._connection.ping()

    # -- connecting ------------------------------------------------------------

    async def _stay_connected(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            for server in self._address.servers:
                if await self._visit(server):
                    pause = _FIRST_PAUSE_S
            self._tried.set()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _visit(self, server: Server) -> bool:
        """Use *server* for as long as it lasts; say whether that was long."""
        address, clock = self._address, asyncio.get_running_loop().time
        began = clock()
        try:
            connection = await connect(server, address.certificates, address.prefix, self._hear)
        except UpstreamUnavailable as exc:
            self._down(exc.message)
            return False
        try:
            self._up(connection)
            self._down(await self._carry(connection))
        finally:
            self._connection = None
            await connection.close()
        return clock() - began >= _GOOD_S

    def _up(self, connection: Connection) -> None:
        self._connection = connection
        self._tried.set()
        self._overflowing = False
        if self._missing:
            self._missing = False
            self._warned.clear()
            _log.info("the bus at %s is there; other replicas are heard", connection.where)
            self._lost("may have missed messages while the bus was not there")

    def _down(self, reason: str) -> None:
        """Log a new reason once, however often it is met."""
        self._reason = reason
        self._missing = True
        level = logging.DEBUG if reason in self._warned else logging.WARNING
        self._warned.add(reason)
        _log.log(
            level,
            "the bus cannot be used: %s; other replicas hear of news later; trying again",
            reason,
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        # whoever uses the bus next starts it anew
        self._task = None
        self._reason, self._missing = "it broke; the server's log has the details", True
        self._tried.set()
        _log.error("keeping the connection to the bus broke", exc_info=task.exception())

    @property
    def _where(self) -> str:
        return ", ".join(server.where for server in self._address.servers)

    # -- sending ---------------------------------------------------------------

    async def _carry(self, connection: Connection) -> str:
        """Send what is posted until the connection is lost; return why it was."""
        sending = asyncio.create_task(self._send_posted(connection), name="bus-sending")
        try:
            return await connection.lost()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_posted(self, connection: Connection) -> None:
        while True:
            await self._posted.wait()
            self._posted.clear()
            await self._send_waiting(connection)

    async def _send_waiting(self, connection: Connection) -> None:
        while self._outbox:
            await connection.writable()
            # what was offered may be what ends the connection: it is not offered to the next
            while self._outbox and await connection.offer(*self._outbox[0]):
                self._outbox_bytes -= len(self._outbox.popleft()[1])
            if not connection.is_open:
                return

    def _too_much_waits(self) -> bool:
        return len(self._outbox) > _OUTBOX or self._outbox_bytes > _OUTBOX_BYTES

    def _warn_of_overflow(self) -> None:
        if not self._overflowing:
            self._overflowing = True
            _log.warning("the bus takes nothing; the oldest messages to other replicas are dropped")
