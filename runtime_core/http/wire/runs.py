"""Runs on the wire: the steps of an answer, and the events of a live one."""

from __future__ import annotations

from msgspec import Struct, field

from runtime_core.types import Step

__all__ = ("StepError", "StepWire", "step_wire")


class StepError(Struct, frozen=True):
    """Why an attempt failed; empty when it did not."""

    error: str = ""


class StepWire(Struct, frozen=True, rename="camel"):
    """One attempt of one task; ``duration`` in milliseconds.

    ``input`` and ``output`` are filled only when the chain has ``debug``.
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
    )
