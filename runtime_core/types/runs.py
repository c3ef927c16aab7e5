"""A run of a chain: the events it yields while it goes, and the record it leaves."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from runtime_core.types.chains import Chain, DataType, Value
from runtime_core.types.chat import ChatChunk, ToolCall
from runtime_core.types.models import Routed

__all__ = (
    "Delta",
    "ModelRouted",
    "Outcome",
    "RunEvent",
    "RunFinished",
    "RunRequest",
    "Step",
    "StepFinished",
    "StepStarted",
    "ToolCalled",
)


class RunRequest(Struct, frozen=True, kw_only=True):
    """What is run: ``template_vars`` feed the ``{{var:NAME}}`` macro.

    ``live`` says that final deltas are passed on as they come, so that an attempt which has
    already shown a part of its answer must not be tried again.
    """

    chain: Chain
    input: Value
    run_id: str
    tenant_id: str = "default"
    template_vars: dict[str, str] = field(default_factory=dict)
    live: bool = False


class Outcome(Struct, frozen=True):
    """What a task handler ends with: its output and the value branches are matched against.

    ``matched`` is a second text that ``equals`` and ``not_equals`` are tried with
    (``prompt_to_condition``'s matched key).  ``warnings`` say what was left out, or went wrong
    without failing the task.
    """

    value: Value
    transition: str
    matched: str | None = None
    warnings: tuple[str, ...] = ()


class Step(Struct, frozen=True, kw_only=True):
    """The record of one attempt of one task; ``duration`` in milliseconds."""

    duration: float
    task_id: str
    task_handler: str
    input_type: DataType
    output_type: DataType
    transition: str = ""
    error: str = ""
    input: str = ""
    output: str = ""
    input_var: str = ""
    warnings: tuple[str, ...] = ()


class StepStarted(Struct, frozen=True, tag="step_started"):
    """An attempt of a task begins."""

    task_id: str
    handler: str
    attempt: int = 1


class ModelRouted(Struct, frozen=True, tag="model_routed"):
    """A model call of the task found its backend; precedes the call's deltas."""

    task_id: str
    route: Routed


class Delta(Struct, frozen=True, tag="delta"):
    """A piece of a model's answer; ``final`` when the task's output can only be the run's."""

    task_id: str
    chunk: ChatChunk
    final: bool


class ToolCalled(Struct, frozen=True, tag="tool_call"):
    """A tool was called on the model's behalf and has answered (``result`` is its message text)."""

    task_id: str
    call: ToolCall
    result: str
    failed: bool = False


class StepFinished(Struct, frozen=True, tag="step_finished"):
    """An attempt of a task ended, well or not."""

    step: Step


class RunFinished(Struct, frozen=True, tag="run_finished"):
    """The chain reached its end; always the last event of a run that did not raise."""

    output: Any
    output_type: DataType


RunEvent = StepStarted | ModelRouted | Delta | ToolCalled | StepFinished | RunFinished
