"""What a run leaves behind: one record for each attempt of a task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runtime_core.engine.values import json_text, text_of_value
from runtime_core.types import Branch, Step, Value

if TYPE_CHECKING:
    from runtime_core.errors import RuntimeCoreError
    from runtime_core.types import Outcome, Task

__all__ = ("NOTHING", "Attempt")

#: What a failed attempt returns.
NOTHING = Value(None, "any")
_NOWHERE = Branch()


class Attempt:
    """One attempt of a task while it goes; `step` is its record.

    ``outcome`` is the handler's; ``output`` and ``branch`` are set when the attempt ended well.
    ``shown`` says that a part of its answer has already been passed on to the client.
    """

    __slots__ = ("_started", "_task", "branch", "error", "input", "outcome", "output", "shown")

    def __init__(self, task: Task) -> None:
        self._task = task
        self._started = time.perf_counter()
        self.input = NOTHING
        self.outcome: Outcome | None = None
        self.output = NOTHING
        self.branch = _NOWHERE
        self.error: RuntimeCoreError | None = None
        self.shown = False

    def step(self, *, debug: bool) -> Step:
        """Return the record; input and output only with *debug*."""
        task, outcome, error = self._task, self.outcome, self.error
        output = NOTHING if outcome is None else outcome.value
        return Step(
            duration=(time.perf_counter() - self._started) * 1000,
            task_id=task.id,
            task_handler=task.handler,
            input_type=self.input.type,
            output_type=output.type,
            transition="" if outcome is None else outcome.transition,
            error="" if error is None else error.message,
            input=text_of_value(self.input) if debug else "",
            output=json_text(output.data) if debug else "",
            input_var=task.input_var,
            warnings=() if outcome is None else outcome.warnings,
        )
