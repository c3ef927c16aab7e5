"""Why a backend would be asked, or would not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runtime_core.errors import ModelNotFound, NoBackendAvailable
from runtime_core.fleet.names import same_model
from runtime_core.fleet.selection import has, provider_place
from runtime_core.types import RouteCandidate, RouteExplanation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from runtime_core.fleet.backend import Backend
    from runtime_core.fleet.selection import Candidate, Selection, Wish
    from runtime_core.types import ModelRole, Wanted

__all__ = ("explanation", "not_found")


def explanation(
    wanted: Wanted,
    selection: Selection,
    backends: Sequence[Backend],
    order: Iterable[Candidate],
    policy: str,
) -> RouteExplanation:
    """Say of every backend whether it would be asked; all are named, asked or not.

    :param order: the candidates as the policy sorts them, whatever their breakers and contexts.
    """
    asked: list[RouteCandidate] = []
    rejected: list[RouteCandidate] = []
    considered: dict[str, set[str]] = {}
    for candidate in order:
        considered.setdefault(candidate.backend_id, set()).add(candidate.model.name)
        reason = _reason_of(candidate, wanted.context_tokens)
        row = _row(candidate.backend, candidate.model.name, reason)
        (rejected if reason else asked).append(row)
    wish = selection.wish(wanted)
    for backend in backends:
        rejected.extend(_rejections(backend, wish, selection, considered.get(backend.id, ())))
    return RouteExplanation(
        role=wanted.role, policy=policy, candidates=tuple(asked), rejected=tuple(rejected)
    )


def _reason_of(candidate: Candidate, tokens: int) -> str:
    breaker = candidate.stats.breaker
    if not breaker.passing:
        if breaker.state == "half_open":
            return "its circuit breaker is half open and its one probe is under way"
        why = f": {breaker.reason.message}" if breaker.reason is not None else ""
        return f"its circuit breaker is open until {_time_in(breaker.remaining)}{why}"
    length = candidate.model.context_length
    if length and tokens > length:
        return f"its context is too short: {length} tokens, {tokens} are needed"
    return ""


def _rejections(
    backend: Backend, wish: Wish, selection: Selection, considered: Collection[str]
) -> Iterator[RouteCandidate]:
    """Say why the models of a backend that were not *considered* are no candidates."""
    reason = _reason_against(backend, wish, selection)
    if reason or not wish.models:
        if not considered:
            reason = reason or _without_name(backend, wish.role)
            yield _row(backend, " or ".join(wish.models), reason)
        return
    for name in wish.models:
        held = selection.matching(name).get(backend, ())
        if not held:
            yield _row(backend, name, f"it does not have {name}")
        for model in held:
            if model.name not in considered:
                yield _row(backend, model.name, f"the model cannot {_VERBS[wish.role]}")


def _without_name(backend: Backend, role: ModelRole) -> str:
    if any(has(role, model) for model in backend.models):
        return "it is a last resort, and other backends are configured"
    if backend.models:
        return f"none of its models can {_VERBS[role]}"
    return "it lists no models"


_VERBS: dict[ModelRole, str] = {"chat": "chat", "task": "take prompts", "embed": "embed"}


def _reason_against(backend: Backend, wish: Wish, selection: Selection) -> str:
    """Return what is wrong with a backend whatever its models are."""
    if not backend.serves(wish.role):
        return f"it is in no group that serves the role {wish.role}"
    if provider_place(wish, backend) is None:
        return f"its provider {backend.config.type} is not wanted"
    if backend.error:
        return f"it is out: {backend.error}"
    if backend.listed_at is None:
        return "it has not been heard of yet"
    if not selection.speaks(backend, wish.role):
        what = "embed" if wish.role == "embed" else "chat"
        return f"its provider {backend.config.type} cannot {what}"
    return ""


def _row(backend: Backend, model: str, reason: str) -> RouteCandidate:
    return RouteCandidate(
        backend=backend.config.name, provider=backend.config.type, model=model, reason=reason
    )


def _time_in(seconds: float) -> str:
    when = datetime.now(UTC) + timedelta(seconds=seconds)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def not_found(name: str, backends: Iterable[Backend]) -> ModelNotFound | NoBackendAvailable:
    """Return the error of a request for a model that no backend lists.

    While a backend is out that had the model, or of which nobody knows what it has, nobody knows
    that the model does not exist: asking again may help.  Backends nobody asked for do not count.
    """
    lines = [
        f"- backend {backend.config.name} ({backend.config.base_url}) is out: {backend.error}"
        for backend in backends
        if backend.error and not backend.config.implicit and _may_have(backend, name)
    ]
    if not lines:
        return ModelNotFound(
            f"no backend has the model {name!r} now; GET /v1/models lists what there is",
            param="model",
        )
    text = f"the model {name!r} cannot be found now, but may be where nobody answers:"
    return NoBackendAvailable("\n".join([text, *lines]), param="model")


def _may_have(backend: Backend, name: str) -> bool:
    held = backend.held
    return held is None or any(same_model(name, model.name) for model in held)
