"""The fleet: what operators declare, what the backends are like now, and how calls are routed."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from runtime_core.types.models import ModelInfo

__all__ = (
    "BUILTIN_GROUPS",
    "BackendState",
    "BreakerState",
    "Declarations",
    "DeclaredModel",
    "Download",
    "DownloadEvent",
    "DownloadStatus",
    "Group",
    "ProviderConfig",
    "PullProgress",
    "RouteCandidate",
    "RouteExplanation",
    "StoredBackend",
)


class StoredBackend(Struct, frozen=True, kw_only=True):
    """A backend an operator registered; ``type`` is a provider's name, stored as it was sent."""

    id: str
    name: str
    base_url: str
    type: str
    created_at: datetime
    updated_at: datetime


class DeclaredModel(Struct, frozen=True, kw_only=True):
    """A model an operator wants; ``context_length`` in tokens, at least one capability is true."""

    id: str
    model: str
    context_length: int
    can_chat: bool = False
    can_embed: bool = False
    can_prompt: bool = False
    can_stream: bool = False
    created_at: datetime
    updated_at: datetime


class Group(Struct, frozen=True, kw_only=True):
    """An affinity group: its backends serve its models."""

    id: str
    name: str
    purpose_type: str
    created_at: datetime
    updated_at: datetime


#: The built-in groups, id → (name, purpose); one for each role of a model, never deleted.
BUILTIN_GROUPS: dict[str, tuple[str, str]] = {
    "internal_embed_group": ("Embedder", "Internal Embeddings"),
    "internal_tasks_group": ("Tasks", "Internal Tasks"),
    "internal_chat_group": ("Chat", "Internal Chat"),
}


class ProviderConfig(Struct, frozen=True, kw_only=True):
    """The key of a provider type; never returned to clients in clear, nor logged."""

    type: str
    api_key: str
    created_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return f"ProviderConfig(type={self.type!r})"


class Declarations(Struct, frozen=True, kw_only=True):
    """Everything a tenant declared, read in one go.

    ``backend_groups`` and ``model_groups`` are pairs of (group id, backend or model id).
    """

    backends: tuple[StoredBackend, ...] = ()
    models: tuple[DeclaredModel, ...] = ()
    groups: tuple[Group, ...] = ()
    providers: tuple[ProviderConfig, ...] = ()
    backend_groups: frozenset[tuple[str, str]] = frozenset()
    model_groups: frozenset[tuple[str, str]] = frozenset()


BreakerState = Literal["closed", "open", "half_open"]


class BackendState(Struct, frozen=True, kw_only=True):
    """What a backend was like when it was last looked at.

    ``wanted`` are the models declared for it, ``models`` those it has, ``loaded`` those in its
    memory.  ``latency`` is that of the listing in seconds.  Times are RFC 3339; "" is never.
    """

    id: str
    name: str
    type: str
    base_url: str
    reachable: bool
    wanted: tuple[str, ...] = ()
    models: tuple[ModelInfo, ...] = ()
    loaded: tuple[str, ...] = ()
    latency: float | None = None
    error: str = ""
    error_at: str = ""
    checked_at: str = ""
    breaker: BreakerState = "closed"
    in_flight: int = 0
    created_at: str = ""
    updated_at: str = ""


class PullProgress(Struct, frozen=True):
    """How far a download is; bytes, 0 when not known."""

    status: str
    completed: int = 0
    total: int = 0
    digest: str = ""


DownloadStatus = Literal["queued", "running", "failed"]


class Download(Struct, frozen=True, kw_only=True):
    """A model on its way to a backend; gone from the queue once it is there.

    Higher ``priority`` goes first.  ``error`` is why the last attempt failed.
    """

    id: str
    backend_id: str
    base_url: str
    model: str
    priority: int = 0
    status: DownloadStatus = "queued"
    attempts: int = 0
    completed: int = 0
    total: int = 0
    error: str = ""
    created_at: datetime
    updated_at: datetime


class DownloadEvent(Struct, frozen=True, kw_only=True):
    """News of a download.

    ``status`` is the provider's own word while it runs; then ``success``, ``cancelled``, ``failed``
    or, when it is going to be tried again, ``queued``; the last two come with the ``error``.
    """

    base_url: str
    model: str
    status: str
    completed: int = 0
    total: int = 0
    digest: str = ""
    error: str = ""


class RouteCandidate(Struct, frozen=True, kw_only=True):
    """A backend and model that were considered; ``reason`` says why not, "" when it can serve."""

    backend: str
    provider: str
    model: str
    reason: str = ""


class RouteExplanation(Struct, frozen=True, kw_only=True):
    """Who would be asked, in this order, and why the others would not."""

    role: str
    policy: str
    candidates: tuple[RouteCandidate, ...] = ()
    rejected: tuple[RouteCandidate, ...] = ()
