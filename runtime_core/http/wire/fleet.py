"""The fleet on the wire: what operators declare, and what it is like now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from runtime_core.http.wire.times import rfc3339
from runtime_core.types import (
    BackendState,
    BreakerState,
    DeclaredModel,
    Group,
    ModelInfo,
    ProviderConfig,
    StoredBackend,
)

__all__ = (
    "NEVER",
    "BackendBody",
    "BackendWire",
    "ConfigureBody",
    "ConfigureWire",
    "GoneWire",
    "GroupBody",
    "GroupWire",
    "LiveBackendWire",
    "ModelBody",
    "ModelWire",
    "ProviderWire",
    "PullStatusWire",
    "StateWire",
    "backend_wire",
    "group_wire",
    "live_backend_wire",
    "model_wire",
    "provider_wire",
    "pull_status_wire",
    "state_wire",
)

#: The time of what never happened: clients parse times, and "" is none.
NEVER = "0001-01-01T00:00:00Z"


# -------------------------------------------------------------------------
# Backends
# -------------------------------------------------------------------------


class BackendBody(Struct, frozen=True, rename="camel"):
    """A backend to register; ``baseURL`` is an older spelling of ``baseUrl``."""

    name: str | None = None
    base_url: str | None = None
    base_url_older: str | None = field(name="baseURL", default=None)
    type: str | None = None


class BackendWire(Struct, frozen=True, rename="camel"):
    """A registered backend."""

    id: str
    name: str
    base_url: str
    type: str
    created_at: str
    updated_at: str


class DetailsWire(Struct, frozen=True, rename="camel"):
    """How a model is made; empty where the backend does not say."""

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: list[str] = field(default_factory=list)
    parameter_size: str = ""
    quantization_level: str = ""


class PullStatusWire(Struct, frozen=True, rename="camel"):
    """A model on a backend; ``size`` in bytes and ``contextLength`` in tokens, 0 if unknown."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: DetailsWire
    context_length: int
    can_chat: bool
    can_embed: bool
    can_prompt: bool
    can_stream: bool


class LiveBackendWire(Struct, frozen=True, rename="camel", kw_only=True):
    """A registered backend and its live state.

    ``models`` are declared for it, ``pulledModels`` are there, ``loadedModels`` are in its memory.
    """

    id: str
    name: str
    base_url: str
    type: str
    models: list[str] = field(default_factory=list)
    pulled_models: list[PullStatusWire] = field(default_factory=list)
    loaded_models: list[str] = field(default_factory=list)
    error: str | UnsetType = UNSET
    error_at: str | UnsetType = UNSET
    checked_at: str | UnsetType = UNSET
    reachable: bool = False
    latency_ms: float | None = None
    breaker: BreakerState = "closed"
    in_flight: int = 0
    created_at: str
    updated_at: str


class StateWire(Struct, frozen=True, rename="camel", kw_only=True):
    """What a backend was like when it was last looked at.

    ``models`` are declared for it, ``pulledModels`` are there, ``loadedModels`` are in its memory.
    """

    id: str
    name: str
    models: list[str]
    pulled_models: list[PullStatusWire]
    loaded_models: list[str]
    backend: BackendWire
    error: str | UnsetType = UNSET
    error_at: str | UnsetType = UNSET
    checked_at: str | UnsetType = UNSET
    reachable: bool
    latency_ms: float | None
    breaker: BreakerState
    in_flight: int


class GoneWire(Struct, frozen=True):
    """A backend that is no longer part of the fleet."""

    id: str
    removed: bool = True


def backend_wire(backend: StoredBackend) -> BackendWire:
    """Return the wire form of *backend*."""
    return BackendWire(
        id=backend.id,
        name=backend.name,
        base_url=backend.base_url,
        type=backend.type,
        created_at=rfc3339(backend.created_at),
        updated_at=rfc3339(backend.updated_at),
    )


def live_backend_wire(backend: StoredBackend, state: BackendState | None) -> LiveBackendWire:
    """Return the wire form of *backend* with its *state*; None when there is none yet."""
    return LiveBackendWire(
        id=backend.id,
        name=backend.name,
        base_url=backend.base_url,
        type=backend.type,
        created_at=rfc3339(backend.created_at),
        updated_at=rfc3339(backend.updated_at),
        **({} if state is None else _live(state)),
    )


def state_wire(state: BackendState, pulled: list[PullStatusWire] | None = None) -> StateWire:
    """Return the wire form of *state*; *pulled* are its models, where they are known already."""
    backend = BackendWire(
        id=state.id,
        name=state.name,
        base_url=state.base_url,
        type=state.type,
        created_at=state.created_at or NEVER,
        updated_at=state.updated_at or NEVER,
    )
    return StateWire(id=state.id, name=state.name, backend=backend, **_live(state, pulled))


def _live(state: BackendState, pulled: list[PullStatusWire] | None = None) -> dict[str, Any]:
    """Return what is said of a backend's state wherever it is shown."""
    if pulled is None:
        pulled = [pull_status_wire(model) for model in state.models]
    return {
        "models": list(state.wanted),
        "pulled_models": pulled,
        "loaded_models": list(state.loaded),
        "error": state.error or UNSET,
        "error_at": state.error_at or UNSET,
        "checked_at": state.checked_at or UNSET,
        "reachable": state.reachable,
        "latency_ms": None if state.latency is None else round(state.latency * 1000, 3),
        "breaker": state.breaker,
        "in_flight": state.in_flight,
    }


def pull_status_wire(model: ModelInfo) -> PullStatusWire:
    """Return the wire form of a *model* on a backend."""
    return PullStatusWire(
        name=model.name,
        model=model.name,
        modified_at=model.modified_at,
        size=model.size or 0,
        digest=model.digest,
        details=_details(model.details),
        context_length=model.context_length or 0,
        can_chat=model.can_chat,
        can_embed=model.can_embed,
        can_prompt=model.can_prompt,
        can_stream=model.can_stream,
    )


def _details(given: Mapping[str, Any]) -> DetailsWire:
    """Return the known ones of a provider's details, whatever it put in them."""
    families = given.get("families")
    return DetailsWire(
        families=[str(one) for one in families] if isinstance(families, list | tuple) else [],
        **{name: str(given.get(name) or "") for name in _DETAILS},
    )


_DETAILS = ("parent_model", "format", "family", "parameter_size", "quantization_level")


# -------------------------------------------------------------------------
# Models
# -------------------------------------------------------------------------


class ModelBody(Struct, frozen=True, rename="camel"):
    """A model to declare; ``contextLength`` in tokens, and at least one capability."""

    id: str | None = None
    model: str | None = None
    context_length: int | None = None
    can_chat: bool | None = None
    can_embed: bool | None = None
    can_prompt: bool | None = None
    can_stream: bool | None = None


class ModelWire(Struct, frozen=True, rename="camel"):
    """A declared model."""

    id: str
    model: str
    context_length: int
    can_chat: bool
    can_embed: bool
    can_prompt: bool
    can_stream: bool
    created_at: str
    updated_at: str


def model_wire(model: DeclaredModel) -> ModelWire:
    """Return the wire form of *model*."""
    return ModelWire(
        id=model.id,
        model=model.model,
        context_length=model.context_length,
        can_chat=model.can_chat,
        can_embed=model.can_embed,
        can_prompt=model.can_prompt,
        can_stream=model.can_stream,
        created_at=rfc3339(model.created_at),
        updated_at=rfc3339(model.updated_at),
    )


# -------------------------------------------------------------------------
# Groups
# -------------------------------------------------------------------------


class GroupBody(Struct, frozen=True, rename="camel"):
    """An affinity group; ``purposeType`` is any word that groups can be found by."""

    name: str | None = None
    purpose_type: str | None = None


class GroupWire(Struct, frozen=True, rename="camel"):
    """An affinity group."""

    id: str
    name: str
    purpose_type: str
    created_at: str
    updated_at: str


def group_wire(group: Group) -> GroupWire:
    """Return the wire form of *group*."""
    return GroupWire(
        id=group.id,
        name=group.name,
        purpose_type=group.purpose_type,
        created_at=rfc3339(group.created_at),
        updated_at=rfc3339(group.updated_at),
    )


# -------------------------------------------------------------------------
# Providers
# -------------------------------------------------------------------------


class ConfigureBody(Struct, frozen=True, rename="camel"):
    """The key of a provider; ``upsert`` replaces one that is there."""

    api_key: str | None = None
    upsert: bool | None = None


class ConfigureWire(Struct, frozen=True, rename="camel"):
    """Whether a provider has a key, and since when."""

    configured: bool
    updated_at: str
    provider: str


class ProviderWire(Struct, frozen=True):
    """A provider's configuration; ``APIKey`` is masked."""

    api_key: str = field(name="APIKey")
    type: str = field(name="Type")


def provider_wire(config: ProviderConfig) -> ProviderWire:
    """Return the wire form of *config*, of whose key only what tells keys apart is shown."""
    return ProviderWire(api_key=_masked(config.api_key), type=config.type)


def _masked(key: str) -> str:
    return f"{key[:3]}…{key[-4:]}" if len(key) >= _SHOWABLE else "…"


#: A key shorter than this is hidden whole: seven characters would be too much of it.
_SHOWABLE = 16
