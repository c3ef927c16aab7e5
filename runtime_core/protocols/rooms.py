"""The kernel's rooms, as other rooms and plugin routes see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.errors import RuntimeCoreError
    from runtime_core.types import (
        BackendConfig,
        Chain,
        ChatChunk,
        ChatHistory,
        ChatRequest,
        ChatSession,
        DataType,
        Embeddings,
        HookInfo,
        Message,
        ModelInfo,
        Page,
        Routed,
        RouteExplanation,
        RunEvent,
        RunRequest,
        StoredChain,
        Wanted,
    )

__all__ = (
    "ChainRunner",
    "ChainStore",
    "HealthCheck",
    "ModelGateway",
    "SessionStore",
    "TokenCounter",
)


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

    async def explain(self, wanted: Wanted) -> RouteExplanation:
        """Say who would be asked now, in which order, and why the others would not; asks nobody."""
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

    def missing(self, name: str) -> RuntimeCoreError:
        """Return what to tell a client whose model `find` did not find.

        `ModelNotFound` when no backend has it, `NoBackendAvailable` while one that cannot be
        reached may have it.
        """
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


class TokenCounter(Protocol):
    """How long texts and conversations are, in tokens: by the tokenizer that the settings name."""

    def count(self, text: str, model: str = "") -> int:
        """Count the tokens of *text*, a very long one by samples.

        :param model: whose tokens, as far as that is known.
        """
        ...

    def count_message(self, message: Message, model: str = "") -> int:
        """Count the tokens of a message, its tool calls included."""
        ...

    async def count_messages(self, messages: Sequence[Message], model: str = "") -> int:
        """Count the tokens of *messages*; many are counted beside the event loop."""
        ...

    async def count_history(self, history: ChatHistory, model: str = "") -> int:
        """Count the tokens that sending *history* takes, trusting the counts it came with."""
        ...


class HealthCheck(Protocol):
    """One line of ``/readyz``."""

    async def __call__(self) -> str | None:
        """Return when well; raise with the reason when the server cannot do its work.

        A text that is returned is a warning: something to repair, without which the server works.
        """
        ...
