"""Runs on the wire: the steps of an answer, and the events of a live one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from runtime_core.types import (
    Delta,
    FailedAttempt,
    ModelRouted,
    RunEvent,
    RunFinished,
    Step,
    StepFinished,
    StepStarted,
    ToolCall,
    ToolCallDelta,
    ToolCalled,
)

__all__ = ("EventWire", "StepError", "StepWire", "event_wire", "step_wire")


class StepError(Struct, frozen=True):
    """Why an attempt failed; empty when it did not."""

    error: str = ""


class StepWire(Struct, frozen=True, rename="camel"):
    """One attempt of one task; ``duration`` in milliseconds.

    ``input`` and ``output`` are filled only when the chain has ``debug``.  ``warnings``, when
    there are any, say what was left out: a hook that cannot be reached, say.
    """

    duration: float
    task_id: str = field(name="taskID")
    task_handler: str
    input_type: str
    output_type: str
    transition: str
    error: StepError
    input: str
    output: str
    input_var: str
    warnings: tuple[str, ...] | UnsetType = UNSET


def step_wire(step: Step) -> StepWire:
    """Return the wire form of *step*."""
    return StepWire(
        duration=step.duration,
        task_id=step.task_id,
        task_handler=step.task_handler,
        input_type=step.input_type,
        output_type=step.output_type,
        transition=step.transition,
        error=StepError(step.error),
        input=step.input,
        output=step.output,
        input_var=step.input_var,
        warnings=step.warnings or UNSET,
    )


# -------------------------------------------------------------------------
# Events of a live run
# -------------------------------------------------------------------------


class StepStartedWire(Struct, frozen=True, tag="step_started", rename="camel"):
    """An attempt of a task begins."""

    task_id: str = field(name="taskID")
    task_handler: str
    attempt: int


class ModelRoutedWire(Struct, frozen=True, tag="model_routed", rename="camel", omit_defaults=True):
    """A model call found its backend; ``failed`` are the attempts before, times in seconds."""

    task_id: str = field(name="taskID")
    backend: str
    provider: str
    model: str
    attempts: int
    failed: tuple[FailedAttempt, ...] = ()


class DeltaWire(Struct, frozen=True, tag="delta", rename="camel", omit_defaults=True):
    """A piece of a model's answer; ``final`` when it can only be the run's own."""

    task_id: str = field(name="taskID")
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    final: bool = False


class ToolCallWire(Struct, frozen=True, tag="tool_call", rename="camel"):
    """A tool was called on the model's behalf and has answered."""

    task_id: str = field(name="taskID")
    call: ToolCall
    result: str
    failed: bool


class StepFinishedWire(Struct, frozen=True, tag="step_finished"):
    """An attempt of a task ended, well or not."""

    step: StepWire


class RunFinishedWire(Struct, frozen=True, tag="run_finished", rename="camel"):
    """The chain reached its end."""

    run_id: str = field(name="runId")
    output: Any
    output_type: str


EventWire = (
    StepStartedWire
    | ModelRoutedWire
    | DeltaWire
    | ToolCallWire
    | StepFinishedWire
    | RunFinishedWire
)


def event_wire(event: RunEvent, run_id: str, output: Callable[[RunFinished], Any]) -> EventWire:
    """Return the wire form of *event*; *output* turns a run's output into JSON data."""
    match event:
        case Delta(task_id, chunk, final):
            return DeltaWire(
                task_id,
                chunk.text,
                chunk.reasoning,
                chunk.tool_calls,
                chunk.finish_reason,
                final,
            )
        case StepStarted(task_id, handler, attempt):
            return StepStartedWire(task_id, handler, attempt)
        case ModelRouted(task_id, route):
            return ModelRoutedWire(
                task_id,
                route.backend,
                route.provider,
                route.model,
                route.attempts,
                route.failed,
            )
        case ToolCalled(task_id, call, result, failed):
            return ToolCallWire(task_id, call, result, failed)
        case StepFinished(step):
            return StepFinishedWire(step_wire(step))
        case RunFinished():
            return RunFinishedWire(run_id, output(event), event.output_type)
