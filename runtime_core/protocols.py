"""What plugins hand to the kernel, and what its rooms ask of each other.

Structural types: nothing inherits from them.  Everything that may wait is async; everything
that streams is an async iterator, and closing the iterator cancels the work behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import httpx

    from runtime_core.types import (
        BackendConfig,
        Chain,
        ChatChunk,
        ChatRequest,
        ChatSession,
        DataType,
        Delta,
        Embeddings,
        HookInfo,
        Message,
        ModelInfo,
        ModelRouted,
        Outcome,
        Page,
        Routed,
        RunEvent,
        RunRequest,
        StoredChain,
        Task,
        ToolCalled,
        ToolRequest,
        Value,
        Wanted,
    )

__all__ = (
    "Bus",
    "ChainRunner",
    "ChainStore",
    "ChatProvider",
    "EmbeddingProvider",
    "HealthCheck",
    "HookSource",
    "ModelGateway",
    "Provider",
    "ProviderFactory",
    "SelfChecking",
    "SessionStore",
    "Subscription",
    "TaskCall",
    "TaskHandler",
    "Toolbox",
)

# -------------------------------------------------------------------------
# Model providers
# -------------------------------------------------------------------------


@runtime_checkable
class Provider(Protocol):
    """A place where models live: one backend, spoken to in its own protocol.

    Methods raise `runtime_core.errors.UpstreamError` and its kin, `TimedOut` included.
    """

    async def models(self) -> Sequence[ModelInfo]:
        """List the models that can be asked now."""
        ...

    async def aclose(self) -> None:
        """Let go of what the provider holds; may be called twice."""
        ...


@runtime_checkable
class ChatProvider(Provider, Protocol):
    """A provider whose models hold conversations."""

    def chat(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Stream an answer (see `ChatChunk` for the order of chunks).

        :raises UpstreamProtocolError: also when the stream ends before its finish reason.
        """
        ...


@runtime_checkable
class EmbeddingProvider(Provider, Protocol):
    """A provider whose models turn texts into vectors."""

    async def embed(self, model: str, texts: Sequence[str]) -> Embeddings:
        """Return one vector for each text, in order."""
        ...


class ProviderFactory(Protocol):
    """Builds the provider of one backend; cheap, does no I/O.

    ``client`` is the kernel's tuned client, shared by all backends: use absolute URLs and send
    credentials with each request; never close it.
    """

    def __call__(self, config: BackendConfig, client: httpx.AsyncClient) -> Provider:
        """Return the provider for *config*."""
        ...


# -------------------------------------------------------------------------
# Hook sources and tools
# -------------------------------------------------------------------------


@runtime_checkable
class HookSource(Protocol):
    """Where hooks come from: code in this process, an OpenAPI service, an MCP server."""

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List the hooks of this source; one that is broken now comes with its ``error``."""
        ...

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool and return its result.

        :raises NotFound: the hook has no such tool.
        :raises TaskFailed: the tool ran and failed, or its arguments are wrong.
        :raises UpstreamError: the service behind it cannot be reached, or broke.
        """
        ...


class Toolbox(Protocol):
    """All hook sources as one, in the order of the names' lookup."""

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List every hook."""
        ...

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool of the named hook; an unknown hook is `NotFound`."""
        ...


# -------------------------------------------------------------------------
# Task handlers
# -------------------------------------------------------------------------


class TaskCall(Protocol):
    """One attempt of one task, as its handler sees it."""

    @property
    def task(self) -> Task:
        """The task, macros expanded."""
        ...

    @property
    def chain(self) -> Chain:
        """The chain it belongs to."""
        ...

    @property
    def value(self) -> Value:
        """The task's input: ``input_var`` and ``prompt_template`` already applied."""
        ...

    @property
    def variables(self) -> Mapping[str, Value]:
        """``input``, ``previous_output`` and the output of every finished task by its id."""
        ...

    @property
    def request(self) -> RunRequest:
        """The run this is part of."""
        ...

    @property
    def models(self) -> ModelGateway:
        """The models there are."""
        ...

    @property
    def tools(self) -> Toolbox:
        """The hooks there are."""
        ...

    def render(self, template: str, **extra: object) -> str:
        """Render *template* over the variables; *extra* names win."""
        ...

    def delta(self, chunk: ChatChunk) -> Delta:
        """Wrap a piece of an answer for the event stream."""
        ...


class TaskHandler(Protocol):
    """What a task's ``handler`` names.

    ``accepts`` are the input types it takes; ``returns`` is its output type, None when that
    depends on the input; one with a true attribute ``passes_input`` returns what it is handed.
    ``transitions`` are the transition values it can end with, None when they are free text, empty
    when it always fails.
    """

    accepts: frozenset[DataType]
    returns: DataType | None
    transitions: frozenset[str] | None

    def run(self, call: TaskCall) -> AsyncIterator[Delta | ModelRouted | ToolCalled | Outcome]:
        """Do the task: any number of events, then exactly one `Outcome`."""
        ...


@runtime_checkable
class SelfChecking(Protocol):
    """A task handler that can tell, before any run, what is wrong with a task of its own."""

    def problems(self, task: Task) -> Sequence[str]:
        """Name every problem of *task*, each in a sentence that says what to do."""
        ...


# -------------------------------------------------------------------------
# Rooms, as other rooms and plugin routes see them
# -------------------------------------------------------------------------


class ModelGateway(Protocol):
    """The fleet: every model of every backend, behind routing."""

    def chat(self, wanted: Wanted, request: ChatRequest) -> AsyncIterator[Routed | ChatChunk]:
        """Ask the best backend: first its `Routed`, then its chunks.

        ``request.model`` is replaced by the chosen model's name.

        :raises NoBackendAvailable: nobody can answer; the message lists the models there are.
        """
        ...

    async def embed(self, wanted: Wanted, texts: Sequence[str]) -> tuple[Routed, Embeddings]:
        """Embed *texts* on the best backend."""
        ...

    async def models(self) -> Sequence[tuple[BackendConfig, ModelInfo]]:
        """Every model that can be asked now, preferred backends first."""
        ...

    def default_model(self, role: str) -> str:
        """The configured model of a role, "" when the choice is left to routing."""
        ...

    async def find(self, name: str) -> ModelInfo | None:
        """Return the model a name (exact, or equal after normalisation) stands for."""
        ...


class ChainRunner(Protocol):
    """The task engine: there is one way to run a chain."""

    def run(self, request: RunRequest) -> AsyncIterator[RunEvent]:
        """Run to the end, yielding events; closing the iterator cancels the run.

        :raises InvalidChain: before the first event, with every problem.
        :raises RuntimeCoreError: the run failed; its steps so far were yielded.
        """
        ...

    def check(
        self,
        chain: Chain,
        input_type: DataType | None = None,
        hooks: Sequence[HookInfo] | None = None,
    ) -> list[str]:
        """Name every problem of *chain*; an empty list means that it can run.

        :param hooks: a toolbox's listing, to have the names of hooks checked too.
        """
        ...


class ChainStore(Protocol):
    """Stored chains of a tenant."""

    async def get(self, tenant_id: str, chain_id: str) -> StoredChain:
        """Return a chain or raise `NotFound`."""
        ...

    async def put(self, tenant_id: str, chain: Chain) -> StoredChain:
        """Create or replace; the creation time of a replaced chain is kept."""
        ...

    async def update(self, tenant_id: str, chain: Chain) -> StoredChain:
        """Replace, or raise `NotFound`."""
        ...

    async def delete(self, tenant_id: str, chain_id: str) -> None:
        """Delete, or raise `NotFound`."""
        ...

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[StoredChain]:
        """List newest first."""
        ...


class SessionStore(Protocol):
    """Stored conversations of a tenant."""

    async def get(self, tenant_id: str, session_id: str) -> ChatSession:
        """Return a conversation with its messages, or raise `NotFound`."""
        ...

    async def append(
        self, tenant_id: str, session_id: str, chain_id: str, messages: Sequence[Message]
    ) -> None:
        """Add messages, in one transaction; the conversation is created when new."""
        ...

    async def delete(self, tenant_id: str, session_id: str) -> None:
        """Delete with all messages, or raise `NotFound`."""
        ...

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[ChatSession]:
        """List newest first, without messages."""
        ...


class HealthCheck(Protocol):
    """One line of ``/readyz``."""

    async def __call__(self) -> None:
        """Return when well; raise with the reason when not."""
        ...


# -------------------------------------------------------------------------
# Drivers
# -------------------------------------------------------------------------


class Subscription(Protocol):
    """Messages of one subject, as they come; use as an async context manager."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __aenter__(self) -> Subscription: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Bus(Protocol):
    """The doorbell between replicas: at-most-once, never the truth."""

    async def publish(self, subject: str, payload: bytes) -> None:
        """Ring; returns when the message is on its way."""
        ...

    def subscribe(self, subject: str) -> Subscription:
        """Listen; ``*`` stands for one dotted part, a final ``>`` for the rest."""
        ...

    async def aclose(self) -> None:
        """Disconnect; may be called twice."""
        ...
