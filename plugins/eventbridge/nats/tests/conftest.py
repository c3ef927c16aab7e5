"""Buses, the networks between them and their servers, and servers that misbehave."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from runtime_eventbridge_nats import NatsBus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run on the loop that servers run on; what all buses do is tested on the other."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def make_bus() -> AsyncIterator[Callable[..., NatsBus]]:
    """Return what makes a bus; all are closed afterwards, and then nothing runs any more."""
    async with AsyncExitStack() as stack:

        def make(url: str, **environ: str) -> NatsBus:
            bus = NatsBus(url, environ=environ)
            stack.push_async_callback(bus.aclose)
            return bus

        yield make
    assert [task for task in asyncio.all_tasks() if _is_of_a_bus(task)] == []


def _is_of_a_bus(task: asyncio.Task[Any]) -> bool:
    runs = getattr(task.get_coro(), "__qualname__", "")
    # nats-py's are among them
    return task.get_name().startswith("bus") or runs.startswith(("Client.", "Subscription."))


class Network:
    """A way to a server that can be cut, or swallow everything."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0
        self.connections = 0

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def restore(self) -> None:
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    def freeze(self) -> None:
        """Let nothing through, as a cable that was pulled: nobody is told."""
        self._flows.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, there[1]}
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))
        finally:
            for one in (writer, there[1]):
                one.transport.abort()
                self._open.discard(one)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # RuntimeError: what uvloop says to who writes after the end
        with suppress(OSError, RuntimeError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@pytest.fixture
async def network(nats_server: Any) -> AsyncIterator[Network]:
    network = Network(nats_server.port)
    await network.restore()
    yield network
    network._flows.set()
    await network.cut()


@pytest.fixture
def serve() -> Callable[[Serve], Any]:
    """Return what serves connections with a function; gives the port."""

    @asynccontextmanager
    async def serving(handle: Serve) -> AsyncIterator[int]:
        writers: list[asyncio.StreamWriter] = []

        async def remember(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handle(reader, writer)

        server = await asyncio.start_server(remember, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in writers:
                writer.transport.abort()
            await server.wait_closed()

    return serving
