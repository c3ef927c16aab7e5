"""The server with everything real but the models; in process, and on a socket of loopback."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from litestar.testing import TestClient

from runtime_core import http
from runtime_core.bus import MemoryBus
from runtime_core.engine.handlers import builtin_handlers
from runtime_core.engine.machine import Machine
from runtime_core.engine.tokens import Counter
from runtime_core.engine.toolbox import SourceToolbox
from runtime_core.errors import ModelNotFound, NoBackendAvailable
from runtime_core.settings import Settings
from runtime_core.storage import postgres, sqlite
from runtime_core.storage.secrets import SecretVault
from runtime_core.testing.loopback import listening
from runtime_core.types import (
    BackendConfig,
    BackendState,
    Chain,
    ChatChunk,
    ChatRequest,
    Download,
    Embeddings,
    HookInfo,
    ModelInfo,
    RouteCandidate,
    Routed,
    RouteExplanation,
    Task,
    Tool,
    Transition,
    Usage,
    Value,
    Wanted,
)
from runtime_core.types import Branch as Goto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from runtime_core.storage.database import Database

BACKEND = BackendConfig(name="fake", type="fake", base_url="http://fake")


class Models:
    """Answers with *script*: texts are chunks, exceptions are raised, "PAUSE" waits.

    Without a script it repeats the last message's text, word by word.
    """

    def __init__(self) -> None:
        self.script: list[str | Exception] | None = None
        self.requests: list[ChatRequest] = []
        self.context_length: int | None = None
        self.usage: Usage | None = Usage(3, 2)
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()
        self.closed = asyncio.Event()
        self.open = 0
        self.explained: Wanted | None = None
        self.route = Routed("fake", "fake", "m1", route_seconds=0.0005, backend_seconds=0.25)

    async def chat(self, wanted: Wanted, request: ChatRequest) -> AsyncIterator[Any]:
        self.requests.append(request)
        self.open += 1
        try:
            yield self.route
            for piece in self._pieces(request):
                if isinstance(piece, Exception):
                    raise piece
                if piece == "PAUSE":
                    self.paused.set()
                    await self.go_on.wait()
                else:
                    yield ChatChunk(piece)
            yield ChatChunk(finish_reason="stop", usage=self.usage)
        finally:
            self.open -= 1
            self.closed.set()

    def _pieces(self, request: ChatRequest) -> list[str | Exception]:
        if self.script is not None:
            return self.script
        words = str(request.messages[-1].content).split(" ")
        return [word if n == 0 else f" {word}" for n, word in enumerate(words)]

    async def embed(self, wanted: Wanted, texts: Sequence[str]) -> tuple[Routed, Embeddings]:
        if self.script:
            raise NoBackendAvailable("no backend has an embedding model")
        return self.route, Embeddings([[float(len(t)), 0.5] for t in texts])

    async def models(self) -> Sequence[tuple[BackendConfig, ModelInfo]]:
        return [(BACKEND, ModelInfo("m1", self.context_length))]

    def default_model(self, role: str) -> str:
        return {"chat": "m1", "task": "m1"}.get(role, "e1")

    async def find(self, name: str) -> ModelInfo | None:
        return ModelInfo("m1", self.context_length) if name == "m1" else None

    def missing(self, name: str) -> ModelNotFound:
        return ModelNotFound(f"no backend has the model {name!r}", param="model")

    async def explain(self, wanted: Wanted) -> RouteExplanation:
        self.explained = wanted
        return RouteExplanation(
            role=wanted.role,
            policy="preference",
            candidates=(RouteCandidate(backend="fake", provider="fake", model="m1"),),
            rejected=(
                RouteCandidate(backend="old", provider="fake", model="m1", reason="unreachable"),
            ),
        )


class Fleet:
    """The live state of backends, as a test has it."""

    def __init__(self) -> None:
        self.now: list[BackendState] = []
        self.told: list[str] = []
        self.news: asyncio.Queue[BackendState | str] = asyncio.Queue()
        self.left = asyncio.Event()

    def states(self, tenant_id: str) -> Sequence[BackendState]:
        return self.now

    async def watch(self, tenant_id: str) -> AsyncIterator[BackendState | str]:
        try:
            for state in self.states(tenant_id):
                yield state
            while True:
                yield await self.news.get()
        finally:
            self.left.set()

    async def changed(self, tenant_id: str) -> None:
        self.told.append(tenant_id)


class Downloads:
    """Remembers what was cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str, str | None]] = []

    async def cancel(
        self, tenant_id: str, *, model: str | None = None, base_url: str | None = None
    ) -> Sequence[Download]:
        self.cancelled.append((tenant_id, model))
        return ()


class Hooks:
    """A hook source with one hook."""

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        go = Tool("go", "Goes.", {"type": "object", "properties": {}})
        return [
            HookInfo(name="one", type="local", description="First.", tools=(go,)),
            HookInfo(name="two", type="remote", error="it is out"),
        ]

    async def call(self, request: object) -> Value:
        return Value("called", "string")


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def downloads() -> Downloads:
    return Downloads()


def application(
    models: Models,
    build: dict[str, Any] | None,
    *,
    database: Database | None = None,
    **settings: Any,
) -> http.Api:
    """Build the application, by default over a database of its own."""
    database = database or sqlite.connect("sqlite:///:memory:")
    toolbox = SourceToolbox({"local": Hooks()})
    configured = Settings(**settings)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await database.migrate()
        await database.chains.put("default", chat_chain())
        await database.groups.ensure_builtin("default")
        yield
        await database.aclose()

    rooms = {
        "settings": configured,
        "runner": Machine(builtin_handlers(), models, toolbox),
        "chains": database.chains,
        "secrets": SecretVault(database.secrets, MemoryBus()),
        "sessions": database.sessions,
        "models": models,
        "toolbox": toolbox,
        "hook_sources": toolbox.sources,
        "tokens": Counter(),
        "plugins": (),
        "backends": database.backends,
        "model_store": database.models,
        "groups": database.groups,
        "provider_configs": database.provider_configs,
        "downloads": Downloads(),
        "fleet": Fleet(),
        "provider_types": ("fake", "open", "Loud"),
        "provider_urls": {"open": "https://api.open.example/v1"},
    }
    options = {"health_checks": {"database": database.ping}, "lifespan": lifespan}
    options |= build or {}
    rooms |= options.pop("rooms", {})  # type: ignore[arg-type]
    return http.build(configured, rooms=rooms, **options)  # type: ignore[arg-type]


@pytest.fixture
def make_app(models: Models) -> Callable[..., http.Api]:
    """Build the application; keyword arguments are settings, ``build`` ones for `http.build`."""

    def make(build: dict[str, Any] | None = None, **settings: Any) -> http.Api:
        return application(models, build, **settings)

    return make


@pytest.fixture
def client(make_app: Callable[..., http.Api]) -> Iterator[TestClient[Any]]:
    """A client of a server that needs no key."""
    with TestClient(make_app()) as client:
        yield client


@pytest.fixture
def api(models: Models, fleet: Fleet, downloads: Downloads) -> Iterator[TestClient[Any]]:
    """A client of a server whose live state and downloads are `fleet` and `downloads`."""
    yield from fleet_api(models, fleet, downloads, sqlite.connect("sqlite:///:memory:"))


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(
    models: Models,
    fleet: Fleet,
    downloads: Downloads,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[TestClient[Any]]:
    """As `api`, once over each kind of database."""
    if request.param == "sqlite":
        database = sqlite.connect(f"sqlite:///{tmp_path / 'runtime.db'}")
        yield from fleet_api(models, fleet, downloads, database)
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"test_{secrets.token_hex(6)}"
    asyncio.run(execute(server, f"CREATE DATABASE {name}"))
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    yield from fleet_api(models, fleet, downloads, postgres.connect(url))
    asyncio.run(execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


def fleet_api(
    models: Models, fleet: Fleet, downloads: Downloads, database: Database
) -> Iterator[TestClient[Any]]:
    build = {"rooms": {"fleet": fleet, "downloads": downloads}}
    app = application(models, build, database=database, embed_model="embedder")
    with TestClient(app) as client:
        yield client


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[TestClient[Any]]:
    """A client for tests that leave nothing behind."""
    with TestClient(application(Models(), None)) as client:
        yield client


@pytest.fixture
def serve() -> Callable[[http.Api], Any]:
    """Serve an application on loopback: ``async with serve(app) as port``."""

    return listening


@pytest.fixture
def chain() -> Callable[..., dict[str, Any]]:
    """Write a chain of one task, as clients do."""

    def write(handler: str = "prompt_to_string", **task: Any) -> dict[str, Any]:
        transition = {"branches": [{"operator": "default", "goto": "end"}]}
        return {
            "id": "one",
            "tasks": [{"id": "a", "handler": handler, "transition": transition, **task}],
        }

    return write


def chat_chain() -> Chain:
    branches = (Goto(operator="default", goto="end"),)
    task = Task(id="chat", handler="chat_completion", transition=Transition(branches=branches))
    return Chain(id="chat", tasks=(task,))
