"""Models, the backends that hold them, and what a task wants of them."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

__all__ = ("BackendConfig", "FailedAttempt", "ModelInfo", "ModelRole", "Routed", "Wanted")

#: What a task needs a model for; each role has its own default model in the settings.
ModelRole = Literal["chat", "task", "embed"]


class ModelInfo(Struct, frozen=True):
    """A model as a provider lists it; ``context_length`` (tokens) is None when not known."""

    name: str
    context_length: int | None = None
    can_chat: bool = True
    can_embed: bool = False
    can_prompt: bool = True
    can_stream: bool = True
    size: int | None = None
    digest: str = ""
    modified_at: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class BackendConfig(Struct, frozen=True, kw_only=True):
    """Where a provider's models are.

    ``type`` is the name of a registered provider.  ``api_key`` is never logged or returned.
    ``implicit`` backends were not asked for (a default address): unreachable, they are not an
    error.  Lower ``priority`` is preferred where a request leaves the choice open.
    """

    name: str
    type: str
    base_url: str
    api_key: str | None = None
    id: str = ""
    implicit: bool = False
    priority: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"BackendConfig(name={self.name!r}, type={self.type!r}, base_url={self.base_url!r})"


class Wanted(Struct, frozen=True):
    """What a task wants: names in order of preference, empty for the role's default.

    ``context_tokens`` is how long the prompt is (0: not known); unless it is ``counted``, it is an
    estimate of a token per four bytes, and routing counts where that matters.  ``whole`` says that
    nobody sees the answer before its end: one that breaks off half-way is then begun anew
    elsewhere.
    """

    role: ModelRole
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    context_tokens: int = 0
    whole: bool = False
    counted: bool = False


class FailedAttempt(Struct, frozen=True):
    """A backend that was asked and failed: the error's code, its message, how long it took (s)."""

    backend: str
    provider: str
    model: str
    code: str
    reason: str
    seconds: float


class Routed(Struct, frozen=True):
    """Which backend and model serve a call, and the how-manieth attempt that was.

    ``route_seconds`` passed from the call until that backend was asked, ``backend_seconds`` from
    then until it began to answer (its whole answer, when that is wanted whole or has no parts).
    ``failed`` are the attempts before.
    """

    backend: str
    provider: str
    model: str
    attempts: int = 1
    context_length: int | None = None
    route_seconds: float = 0.0
    backend_seconds: float = 0.0
    failed: tuple[FailedAttempt, ...] = ()
