"""A server of bare bytes and a resolver that says what a test wants, for what tools call."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.abc import AbstractResolver

from runtime_core.upstream import Egress, EgressClient, create_egress
from runtime_core.upstream.addresses import Policy
from runtime_core.upstream.connections import Trust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from ipaddress import IPv4Address, IPv6Address

    from aiohttp.abc import ResolveResult

    Behaviour = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class ByteServer:
    """Answers each path as ``answers`` says, with bytes or with a coroutine.

    ``requests`` are heads and bodies as received; ``left`` is set when a client went away.
    """

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Behaviour] = {}
        self.requests: list[tuple[str, bytes]] = []
        self.connections = 0
        self.left = asyncio.Event()
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = next(
            (int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0
        )
        self.requests.append((head, await reader.readexactly(length)))
        answer = self.answers[head.split(" ")[1].partition("?")[0]]
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
            return
        # a behaviour may go on for ever: it ends with its client
        acting = asyncio.ensure_future(answer(head, writer))
        gone = asyncio.ensure_future(reader.read(1))
        done, _ = await asyncio.wait({acting, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in {acting, gone} - done:
            task.cancel()
        await asyncio.gather(acting, gone, return_exceptions=True)
        raise ConnectionError

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


class FakeResolver(AbstractResolver):
    """Answers with ``names``: for each name a list of answers, the last of which is repeated."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [self._result(host, port, address) for address in addresses]

    def _result(self, host: str, port: int, address: str) -> ResolveResult:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return {
            "hostname": host,
            "host": address,
            "port": port,
            "family": family,
            "proto": 0,
            "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        }

    async def close(self) -> None:
        raise AssertionError("the resolver is not the egress's to close")


@pytest.fixture
async def service() -> AsyncIterator[ByteServer]:
    server = ByteServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    server.close()


@pytest.fixture
def names() -> FakeResolver:
    return FakeResolver()


@pytest.fixture
def whole() -> Callable[..., bytes]:
    """Write a whole answer: body, status line, headers."""

    def write(body: bytes = b"", status: str = "200 OK", **headers: Any) -> bytes:
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    return write


@pytest.fixture
async def egress(names: FakeResolver) -> AsyncIterator[Egress]:
    """An egress as it is by default."""
    egress = create_egress(resolver=names)
    try:
        async with asyncio.timeout(10):
            yield egress
    finally:
        await egress.aclose()


@pytest.fixture
async def open_egress(names: FakeResolver) -> AsyncIterator[Egress]:
    """An egress that lets everybody call private addresses."""
    egress = create_egress(untrusted_private=True, resolver=names)
    try:
        async with asyncio.timeout(10):
            yield egress
    finally:
        await egress.aclose()


class HereIsPublic(Policy):
    """Takes this machine for the internet."""

    def check(self, address: IPv4Address | IPv6Address, host: str) -> None:
        if not address.is_loopback:
            super().check(address, host)


@pytest.fixture
async def outside(names: FakeResolver) -> AsyncIterator[EgressClient]:
    """A client of untrusted addresses for which this machine is public."""
    client = EgressClient(
        HereIsPublic("a model", False, "SETTING"), trust=Trust(), connect_timeout=5, resolver=names
    )
    try:
        async with asyncio.timeout(10):
            yield client
    finally:
        await client.aclose()
