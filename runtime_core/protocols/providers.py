"""What model providers hand over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import httpx

    from runtime_core.types import (
        BackendConfig,
        ChatChunk,
        ChatRequest,
        Embeddings,
        ModelInfo,
        PullProgress,
    )

__all__ = (
    "ChatProvider",
    "EmbeddingProvider",
    "LoadingProvider",
    "Provider",
    "ProviderFactory",
    "PullingProvider",
)


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


@runtime_checkable
class PullingProvider(Provider, Protocol):
    """A provider whose models have to be fetched before they can be asked."""

    def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Fetch a model; a fetch that was broken off goes on where it was.  Ends when it is there.

        :raises UpstreamError: the service cannot fetch it; the message says why (disk, name, …).
        """
        ...

    async def delete_model(self, model: str) -> None:
        """Remove a model from the service; one that is not there is `UpstreamModelNotFound`."""
        ...


@runtime_checkable
class LoadingProvider(Provider, Protocol):
    """A provider that knows which of its models are in memory."""

    async def loaded(self) -> Sequence[str]:
        """Return the names of the models that answer without being loaded first."""
        ...


class ProviderFactory(Protocol):
    """Builds the provider of one backend; cheap, does no I/O.

    ``client`` is the kernel's tuned client, shared by all backends: use absolute URLs and send
    credentials with each request; never close it.

    A factory may have an attribute ``default_url``: where the service is that the provider is made
    for, when there is one such place for everybody.  Configuring the provider's key then registers
    a backend there.
    """

    def __call__(self, config: BackendConfig, client: httpx.AsyncClient) -> Provider:
        """Return the provider for *config*."""
        ...
