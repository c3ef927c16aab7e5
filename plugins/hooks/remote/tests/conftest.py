"""An OpenAPI service on a real socket that remembers what it got, and sources that call it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
import runtime_hooks_local
import runtime_hooks_remote
from runtime_hooks_remote import RemoteHooks
from runtime_hooks_remote.drafts import draft_of
from runtime_hooks_remote.wire import HookBody, hook_wire

from runtime_core.app import compose, serving
from runtime_core.engine.handlers import builtin_handlers
from runtime_core.http import kernel_routes
from runtime_core.plugins import Plugins
from runtime_core.settings import Settings
from runtime_core.testing import WireRequest
from runtime_core.types import ToolRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from runtime_core.app import Kernel
    from runtime_core.types import Value

    Handler = Callable[[WireRequest, Any], Awaitable[bytes | None]]

PATH_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
PETS: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1.2"},
    "paths": {
        "/pets": {
            "get": {
                "operationId": "listPets",
                "summary": "List pets",
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                    {"name": "api_key", "in": "query", "schema": {"type": "string"}},
                ],
            },
            "post": {
                "operationId": "addPet",
                "summary": "Add a pet",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "age": {"type": "integer"},
                                },
                            }
                        }
                    },
                },
            },
        },
        "/pets/{id}": {
            "get": {"operationId": "getPet", "summary": "Get a pet", "parameters": [PATH_ID]},
            "delete": {"operationId": "deletePet", "summary": "Delete", "parameters": [PATH_ID]},
        },
    },
}


def reply(status: int = 200, body: bytes | Any = b"", **headers: str) -> bytes:
    """Return a response; what is not bytes is sent as JSON, ``_`` in names of headers is ``-``."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
        named.setdefault("content-type", "application/json")
    named.setdefault("content-length", str(len(body)))
    lines = "".join(f"{name}: {text}\r\n" for name, text in named.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


@dataclass
class Service:
    """An OpenAPI service; paths without a handler answer with what was asked."""

    url: str
    document: Any = field(default_factory=lambda: PETS)
    handlers: dict[str, Handler | bytes] = field(default_factory=dict)
    requests: list[WireRequest] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def calls(self) -> list[WireRequest]:
        """Return the requests that were not for a document."""
        return [each for each in self.requests if not each.path.endswith("openapi.json")]

    def loads(self) -> int:
        """Return how often the document was asked for."""
        return len(self.requests) - len(self.calls())

    async def answer(self, request: WireRequest, connection: Any) -> bytes | None:
        self.requests.append(request)
        handler = self.handlers.get(request.path)
        if isinstance(handler, bytes):
            return handler
        if handler is not None:
            return await handler(request, connection)
        if request.path.endswith("openapi.json"):
            return reply(200, self.document)
        return reply(200, {"method": request.method, "target": request.target})


class Connection(asyncio.Protocol):
    """One connection: a request at a time; what goes on ends with it."""

    def __init__(self, service: Service, connections: set[Connection]) -> None:
        self._service = service
        self._connections = connections
        self._received = b""
        self._transport: Any = None
        self._task: asyncio.Task[bytes | None] | None = None

    def write(self, data: bytes) -> None:
        """Send *data* as it is."""
        self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._task is None and (request := self._request()) is not None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._service.answer(request, self))
            self._task.add_done_callback(self._answered)

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.gone.set()
        self._connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def _answered(self, task: asyncio.Task[bytes | None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if (answer := task.result()) is None:
            self._transport.close()
        else:
            self.write(answer)

    def _request(self) -> WireRequest | None:
        head, end, body = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): text.strip() for name, _, text in pairs}
        size = int(headers.get("content-length", "0"))
        if not end or len(body) < size:
            return None
        self._received = body[size:]
        method, target, _ = first.split(" ")
        return WireRequest(method, target, headers, body[:size])


@asynccontextmanager
async def serving_service() -> AsyncIterator[Service]:
    connections: set[Connection] = set()
    service = Service("")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service, connections), "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        server.close()
        for connection in tuple(connections):
            connection.abort()
        # connections that were aborted close their sockets in the loop's next round
        await asyncio.sleep(0)


@pytest.fixture(name="PETS")
def pets_document() -> dict[str, Any]:
    """Return the document of the service."""
    return json.loads(json.dumps(PETS))


@pytest.fixture(name="reply")
def reply_function() -> Callable[..., bytes]:
    """Return what makes responses."""
    return reply


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Give a running service."""
    async with serving_service() as running:
        yield running


@pytest.fixture
async def other_service() -> AsyncIterator[Service]:
    """Give another running service, at another origin."""
    async with serving_service() as running:
        yield running


class Server:
    """A server with this plugin: its API, and its parts."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    @cached_property
    def client(self) -> httpx.AsyncClient:
        """What speaks to its API; made when a test wants it, for that takes a while."""
        transport = httpx.ASGITransport(serving(self.kernel), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://server")

    @property
    def source(self) -> RemoteHooks:
        source = self.kernel.toolbox.sources["remote"]
        assert isinstance(source, RemoteHooks)
        return source

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer of the API."""
        return await self.client.request(method, path, json=body)

    async def register(self, url: str, name: str = "pets", **more: Any) -> dict[str, Any]:
        """Register a hook, as the route does it; return it as the route does."""
        body = {"name": name, "endpointUrl": url, "timeoutMs": 5000, **more}
        rooms = self.source.rooms
        draft = draft_of(msgspec.convert(body, HookBody), rooms.egress.operator)
        hook = await rooms.store.create("default", draft)
        return dict(msgspec.to_builtins(hook_wire(hook)))

    async def aclose(self) -> None:
        if "client" in vars(self):
            await self.client.aclose()

    async def call(self, tool: str, hook: str = "pets", **arguments: Any) -> Value:
        """Call a tool as a model does."""
        request = ToolRequest(hook=hook, tool=tool, arguments=arguments, caller="model")
        return await self.kernel.toolbox.call(request)

    async def rows(self) -> dict[str, Any]:
        """Return the hooks of the toolbox by name."""
        return {hook.name: hook for hook in await self.kernel.toolbox.hooks("default")}


def plugins_of(settings: Settings) -> Plugins:
    """Return this plugin, and the local hooks, loaded as they are when installed."""
    return Plugins.of(
        {"remote-hooks": runtime_hooks_remote, "local-hooks": runtime_hooks_local},
        settings=settings,
        task_handlers=builtin_handlers(),
        routes=kernel_routes(),
    )


@pytest.fixture
async def start(tmp_path: Any) -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Start servers that share a database; keyword arguments are settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def start_one(**given: Any) -> Server:
            given.setdefault("database_url", f"sqlite:///{tmp_path / 'runtime.db'}")
            settings = Settings(tokenizer="estimate", **given)
            kernel = compose(settings, plugins_of(settings))
            await stack.enter_async_context(kernel.running())
            server = Server(kernel)
            stack.push_async_callback(server.aclose)
            return server

        yield start_one


@pytest.fixture
async def server(start: Callable[..., Awaitable[Server]]) -> Server:
    """Return a running server with nothing registered."""
    return await start()
