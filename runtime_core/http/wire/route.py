"""Routing on the wire: who would be asked, and why the others would not."""

from __future__ import annotations

from msgspec import Struct

from runtime_core.types import ModelRole, RouteCandidate, RouteExplanation

__all__ = ("ExplainBody", "ExplanationWire", "explanation_wire")


class ExplainBody(Struct, frozen=True, rename="camel"):
    """A request nobody makes: who would serve it?  ``role`` is chat, task or embed."""

    role: str | None = None
    model: str | None = None
    models: list[str] | None = None
    providers: list[str] | None = None
    context_tokens: int | None = None


class CandidateWire(Struct, frozen=True, omit_defaults=True):
    """A backend and a model of it; ``reason`` says why they would not be asked."""

    backend: str
    provider: str
    model: str
    reason: str = ""


class ExplanationWire(Struct, frozen=True):
    """Who would be asked, in this order, and why the others would not."""

    role: ModelRole
    policy: str
    candidates: list[CandidateWire]
    rejected: list[CandidateWire]


def explanation_wire(role: ModelRole, explanation: RouteExplanation) -> ExplanationWire:
    """Return the wire form of *explanation*."""
    return ExplanationWire(
        role=role,
        policy=explanation.policy,
        candidates=[_candidate(one) for one in explanation.candidates],
        rejected=[_candidate(one) for one in explanation.rejected],
    )


def _candidate(candidate: RouteCandidate) -> CandidateWire:
    return CandidateWire(
        backend=candidate.backend,
        provider=candidate.provider,
        model=candidate.model,
        reason=candidate.reason,
    )
