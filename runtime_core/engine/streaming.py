"""Which tasks' answers can be shown while they are written: those that are the run's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.engine.flow import ENDS
from runtime_core.engine.transitions import choose
from runtime_core.types import Outcome, Value

if TYPE_CHECKING:
    from runtime_core.types import Branch, Chain, Task

__all__ = ("Streaming",)

#: Tasks that hand a model's answer on as it is.
_PASSING = frozenset(("convert_to_openai_chat_response", "noop"))
_STREAMED = frozenset(("chat_completion", "model_execution"))
_EXECUTING = "execute_tool_calls"


class Streaming:
    """What of a chain's answers is streamed.

    ``final`` are the tasks whose answer can only be the run's; in the loop of an agent, what the
    model says before it calls tools is a part of that answer.  ``executing`` are the tasks whose
    tool calls the chain executes.
    """

    def __init__(self, chain: Chain) -> None:
        self._tasks = {task.id: task for task in chain.tasks}
        self._endings = _endings(chain)
        self._ways = {task.id: _Ways(task) for task in chain.tasks if task.handler in _STREAMED}
        self.executing = frozenset(
            task_id for task_id, ways in self._ways.items() if self._executor(ways.calling)
        )
        self.final = self._final()

    def _final(self) -> frozenset[str]:
        """Take away what leads elsewhere, until nothing is left to take away."""
        final = set(self._ways)
        while True:
            wrong = {task_id for task_id in final if not self._only_shows(task_id, final)}
            if not wrong:
                return frozenset(final)
            final -= wrong

    def _only_shows(self, task_id: str, final: set[str]) -> bool:
        ways = self._ways[task_id]
        return self._ends(ways.answered) and (
            self._ends(ways.calling) or self._returns(ways.calling, final)
        )

    def _ends(self, branch: Branch | None) -> bool:
        return branch is not None and branch.compose is None and branch.goto in self._endings

    def _returns(self, branch: Branch | None, final: set[str]) -> bool:
        """Whether tools are executed, after which only the same kind of answer follows."""
        executor = self._executor(branch)
        if executor is None:
            return False
        again = _chosen(executor, "tools_executed")
        return (
            again is not None
            and again.compose is None
            and again.goto in final
            and self._ends(_chosen(executor, "no_calls_found"))
        )

    def _executor(self, branch: Branch | None) -> Task | None:
        task = None if branch is None or branch.compose else self._tasks.get(branch.goto)
        return task if task is not None and task.handler == _EXECUTING else None


class _Ways:
    """Where a task that asks a model goes on, with and without tool calls; None is a failure."""

    def __init__(self, task: Task) -> None:
        self.answered = _chosen(task, "executed")
        self.calling = _chosen(task, "tool-call")


def _chosen(task: Task, transition: str) -> Branch | None:
    return choose(task.transition, Outcome(Value(None, "any"), transition))


def _endings(chain: Chain) -> set[str]:
    """Return the tasks that pass what they are handed, as it is, on to the end of the chain."""
    before: dict[str, list[Task]] = {}
    for task in chain.tasks:
        for branch in task.transition.branches or ():
            before.setdefault(branch.goto, []).append(task)
    endings: set[str] = set(ENDS)
    pending = [task for end in ENDS for task in before.get(end, ())]
    while pending:
        task = pending.pop()
        if task.id not in endings and _passes_on(task) and _only_ends(task, endings):
            endings.add(task.id)
            pending.extend(before.get(task.id, ()))
    return endings


def _only_ends(task: Task, endings: set[str]) -> bool:
    branches = task.transition.branches or ()
    return all(branch.compose is None and branch.goto in endings for branch in branches)


def _passes_on(task: Task) -> bool:
    return (
        task.handler in _PASSING
        and not task.prompt_template
        and task.input_var in ("", "previous_output")
    )
