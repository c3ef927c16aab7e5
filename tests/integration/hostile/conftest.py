"""The whole server in this process, on a socket, in front of an upstream that misbehaves."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import psutil
import pytest

from runtime_core.app import compose, serving
from runtime_core.settings import BackendSettings, Settings
from runtime_core.testing.loopback import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

CHAT_MODEL = "gpt-fake"
EMBED_MODEL = "text-embedding-fake"


def chain_of(handler: str, id: str) -> dict[str, Any]:
    """Write a chain of one task, as clients do."""
    transition = {"branches": [{"operator": "default", "goto": "end"}]}
    config = {"model": CHAT_MODEL}
    task = {"id": "a", "handler": handler, "execute_config": config, "transition": transition}
    return {"id": id, "tasks": [task]}


def whole(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


class Upstream:
    """A model service of bare bytes: lists two models, and does to all else what *behave* says.

    ``received`` is set when a request is there, ``left`` when its client went away while
    *behave* was waiting, ``busy`` counts the requests being answered.
    """

    def __init__(self) -> None:
        self.behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
        self.port = 0
        self.busy = 0
        self.received = asyncio.Event()
        self.left = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        self.behave = hang()
        self.received.clear()
        self.left.clear()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Upstream]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == _LENGTH), 0
        )
        await reader.readexactly(length)
        if head.startswith(b"GET"):
            models = [{"id": name, "object": "model"} for name in (CHAT_MODEL, EMBED_MODEL)]
            writer.write(whole(json.dumps({"object": "list", "data": models}).encode()))
            return True
        self.busy += 1
        self.received.set()
        try:
            await self.behave(reader, writer)
        finally:
            self.busy -= 1
            if reader.at_eof() or reader.exception() is not None:
                self.left.set()
        return False


_LENGTH = b"content-length:"


def hang(*said: bytes) -> Callable[..., Awaitable[None]]:
    """Say something, or nothing, then wait until the client has had enough."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(said)
        await reader.read()

    return behave


def close(*said: bytes) -> Callable[..., Awaitable[None]]:
    """Say something, or nothing, then close the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(said)
        await writer.drain()

    return behave


def reset(*said: bytes) -> Callable[..., Awaitable[None]]:
    """Say something, or nothing, then reset the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(said)
        await writer.drain()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return behave


def forever(*said: bytes, again: bytes) -> Callable[..., Awaitable[None]]:
    """Say something, then the same thing without end."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(said)
        while True:
            writer.write(again)
            await writer.drain()

    return behave


class Server(NamedTuple):
    """The server's port, the upstream behind it, and how to look for what is left over."""

    port: int
    upstream: Upstream
    forgive: Callable[[], None]
    described: dict[str, Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.AsyncClient:
        """Make a client that gives up long after the server should have.

        No answer it gets may have a status that the API's description does not have.
        """
        hooks = {"response": [self._check_described]}
        return httpx.AsyncClient(
            base_url=self.url, timeout=15, verify=False, event_hooks=hooks, **options
        )

    async def _check_described(self, response: httpx.Response) -> None:
        method, path = response.request.method.lower(), response.request.url.path
        for template, operations in self.described.items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method in operations:
                assert str(response.status_code) in operations[method]["responses"], path
                return
        assert response.status_code in (404, 405), path

    async def quiet(self, within: float = 2.0) -> None:
        """Wait until no request and no task of one is left, nor any call of the upstream."""
        async with asyncio.timeout(within):
            while self.upstream.busy or leftovers():  # noqa: ASYNC110 - nothing left is no event
                await asyncio.sleep(0.005)

    async def open_files(self) -> int:
        """Count this process's open files, connections among them, once all is quiet."""
        await self.quiet()
        return psutil.Process().num_fds()


def leftovers() -> list[str]:
    """Tasks of requests and of runs which have not ended."""
    return [
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name() in ("feed", "watch") or "run_asgi" in repr(task.get_coro())
    ]


@pytest.fixture(scope="module")
async def short_tempered(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One server for a module's tests, its patience with upstreams half a second long."""
    async with _running(tmp_path_factory.mktemp("hostile"), 0.5) as server:
        yield server


@pytest.fixture(scope="module")
async def long_waiting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One server for a module's tests, which waits for upstreams as long as it takes."""
    async with _running(tmp_path_factory.mktemp("hostile"), 60) as server:
        yield server


@pytest.fixture
async def server(short_tempered: Server) -> AsyncIterator[Server]:
    """The server; whatever a test does to it, nothing may be left and it must answer."""
    async with _unharmed(short_tempered):
        yield short_tempered


@pytest.fixture
async def patient(long_waiting: Server) -> AsyncIterator[Server]:
    """The patient server; whatever a test does to it, nothing may be left and it must answer."""
    async with _unharmed(long_waiting):
        yield long_waiting


@asynccontextmanager
async def _unharmed(server: Server) -> AsyncIterator[None]:
    server.upstream.reset()
    server.forgive()
    yield
    await server.quiet()
    async with server.client() as client:
        echoed = await client.post("/execute", json={"prompt": "alive", "model_name": "echo"})
    assert echoed.json()["response"] == "alive"


@asynccontextmanager
async def _running(folder: Path, patience: float) -> AsyncIterator[Server]:
    async with Upstream().serving() as upstream:
        backend = BackendSettings(
            type="openai", base_url=f"http://127.0.0.1:{upstream.port}/v1", api_key="sk-fake"
        )
        settings = Settings(
            tokenizer="estimate",
            database_url=f"sqlite:///{folder / 'runtime.db'}",
            backends=(backend,),
            disable_plugins=("ollama",),
            chat_model=CHAT_MODEL,
            task_model=CHAT_MODEL,
            embed_model=EMBED_MODEL,
            upstream_timeout=patience,
        )
        kernel = compose(settings)
        async with listening(serving(kernel)) as port:
            async with httpx.AsyncClient() as client:
                found = await client.get(f"http://127.0.0.1:{port}/openapi.json")
            server = Server(port, upstream, kernel.models.forgive, found.json()["paths"])
            async with server.client() as client:
                for handler, name in (("chat_completion", "ask"), ("prompt_to_string", "say")):
                    stored = await client.post("/taskchains", json=chain_of(handler, name))
                    assert stored.status_code == 201
            yield server


#: Every route that asks a model: path, body, whether the answer is a stream.
ROUTES = {
    "execute": ("/execute", {"prompt": "hi"}, False),
    "tasks": ("/tasks", {"input": "hi", "chainId": "say", "inputType": "string"}, False),
    "tasks-live": ("/tasks", {"input": "hi", "chainId": "say", "inputType": "string"}, True),
    "chat": ("/chat", {"message": "hi"}, False),
    "chat-stream": ("/chat", {"message": "hi", "stream": True}, True),
    "v1": ("/v1/chat/completions", {"model": CHAT_MODEL}, False),
    "v1-stream": ("/v1/chat/completions", {"model": CHAT_MODEL, "stream": True}, True),
    "chain": ("/openai/ask/v1/chat/completions", {"model": "any"}, False),
    "chain-stream": ("/openai/ask/v1/chat/completions", {"model": "any", "stream": True}, True),
}


class Ask(NamedTuple):
    """One way to ask a model."""

    path: str
    body: dict[str, Any]
    streams: bool

    @property
    def headers(self) -> dict[str, str]:
        return {"accept": "text/event-stream" if self.streams else "*/*"}

    @property
    def openai(self) -> bool:
        """Whether errors have OpenAI's shape."""
        return "/v1/" in self.path


@pytest.fixture(params=ROUTES)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each route that asks a chat model, plain and streaming."""
    path, body, streams = ROUTES[request.param]
    if "model" in body:
        body = {**body, "messages": [{"role": "user", "content": "hi"}]}
    return Ask(path, body, streams)


@pytest.fixture(scope="session")
def upstreams() -> SimpleNamespace:
    """The ways to be a bad upstream, made of bytes."""
    return SimpleNamespace(hang=hang, close=close, reset=reset, forever=forever)
