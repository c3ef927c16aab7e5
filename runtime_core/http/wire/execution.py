"""Bodies and answers of ``/execute``, ``/tasks``, ``/embed``, ``/defaultmodel``, ``/supported``."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from runtime_core.http.wire.runs import StepWire

__all__ = (
    "DefaultModel",
    "EmbedAnswer",
    "EmbedBody",
    "ExecuteAnswer",
    "ExecuteBody",
    "TasksAnswer",
    "TasksBody",
)


class ExecuteBody(Struct, frozen=True):
    """A prompt for a model; both names are optional."""

    prompt: str | None = None
    model_name: str | None = None
    model_provider: str | None = None


class ExecuteAnswer(Struct, frozen=True):
    """The model's answer, exactly as it wrote it."""

    id: str
    response: str


class TasksBody(Struct, frozen=True, rename="camel"):
    """A chain to run, inline or by the id it is stored under, and its input.

    ``inputType`` is ``string`` for a string and ``json`` otherwise when not given.
    """

    input: Any = None
    input_type: str | None = None
    chain: dict[str, Any] | None = None
    chain_id: str | None = None
    template_vars: dict[str, str] | None = None


class TasksAnswer(Struct, frozen=True, rename="camel"):
    """What the chain ended with, and one step for each attempt of a task."""

    output: Any
    output_type: str
    state: list[StepWire]


class EmbedBody(Struct, frozen=True):
    """One text, or several."""

    text: str | None = None
    texts: list[str] | None = None


class EmbedAnswer(Struct, frozen=True, omit_defaults=True):
    """``vector`` for ``text``; ``vectors``, in order, for ``texts``."""

    vector: list[float] | None = None
    vectors: list[list[float]] | None = None


class DefaultModel(Struct, frozen=True, rename="camel"):
    """The embedding model used when none is named."""

    model_name: str
