"""How control and types flow through a chain: ways in, ways out, what each task is handed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runtime_core.protocols import TaskHandler
    from runtime_core.types import Branch, Chain, DataType, Task

__all__ = ("ENDS", "endless_loops", "mismatches", "unreachable")

#: What ``goto`` says to end the chain.
ENDS = frozenset(("", "end"))
#: Stands for "cannot be known before the run" among data types.
_UNKNOWN = "?"
_COMPOSED: Mapping[str, str] = {
    "append_string_to_chat_history": "chat_history",
    "merge_chat_histories": "chat_history",
}


def unreachable(chain: Chain) -> list[str]:
    """Return the ids of tasks that no path from the first task leads to."""
    tasks = {task.id: task for task in chain.tasks}
    seen: set[str] = set()
    pending = [chain.tasks[0].id]
    while pending:
        task_id = pending.pop()
        if task_id in seen or task_id not in tasks:
            continue
        seen.add(task_id)
        task = tasks[task_id]
        pending.extend(branch.goto for branch in _branches(task))
        pending.append(task.transition.on_failure)
    return [task_id for task_id in tasks if task_id not in seen]


def endless_loops(chain: Chain, handlers: Mapping[str, TaskHandler]) -> list[list[str]]:
    """Return the loops that no branch leaves, each as the ids along it."""
    tasks = {task.id: task for task in chain.tasks}
    after = {task.id: [branch.goto for branch in _branches(task)] for task in chain.tasks}
    stuck = _stuck(chain, handlers, after)
    seen: set[str] = set()
    loops = (_loop_from(task_id, after, seen) for task_id in tasks if task_id in stuck)
    return [loop for loop in loops if loop]


def _stuck(
    chain: Chain, handlers: Mapping[str, TaskHandler], after: Mapping[str, list[str]]
) -> set[str]:
    """Return the tasks from which no branches lead to an end."""
    before: dict[str, list[str]] = {}
    leaving: list[str] = []
    for task in chain.tasks:
        if _always_fails(task, handlers) or _leaves(after[task.id], after):
            leaving.append(task.id)
        for goto in after[task.id]:
            before.setdefault(goto, []).append(task.id)
    stuck = set(after)
    while leaving:
        task_id = leaving.pop()
        if task_id in stuck:
            stuck.remove(task_id)
            leaving.extend(before.get(task_id, ()))
    return stuck


def _always_fails(task: Task, handlers: Mapping[str, TaskHandler]) -> bool:
    handler = handlers.get(task.handler)
    return handler is not None and handler.transitions == frozenset()


def _leaves(gotos: list[str], known: Mapping[str, object]) -> bool:
    """Whether a task ends the chain; a dead end counts, it is a problem of its own."""
    return not gotos or any(goto in ENDS or goto not in known for goto in gotos)


def _loop_from(task_id: str, after: Mapping[str, list[str]], seen: set[str]) -> list[str]:
    """Return the loop that the first branches lead into; nothing if it was seen before."""
    path: dict[str, None] = {}
    while task_id not in seen:
        seen.add(task_id)
        path[task_id] = None
        task_id = after[task_id][0]
    ids = list(path)
    return ids[ids.index(task_id) :] if task_id in path else []


def _branches(task: Task) -> Iterable[Branch]:
    return task.transition.branches or ()


def mismatches(
    chain: Chain, handlers: Mapping[str, TaskHandler], input_type: DataType | None
) -> Iterator[tuple[Task, str]]:
    """Yield every task that is handed a type it does not take, and that type."""
    flow = _TypeFlow(chain, handlers, input_type or _UNKNOWN)
    flow.settle()
    for task in chain.tasks:
        accepted = handlers[task.handler].accepts
        for given in sorted(flow.given(task)):
            if given != _UNKNOWN and given not in accepted:
                yield task, given


class _TypeFlow:
    """Possible types, spread along the branches until nothing changes.

    Failure paths are left out: what they are handed is null, and often replaced.
    """

    def __init__(self, chain: Chain, handlers: Mapping[str, TaskHandler], input_type: str) -> None:
        self._tasks = {task.id: task for task in chain.tasks}
        self._handlers = handlers
        self._input = frozenset((input_type,))
        self._handed: dict[str, set[str]] = {task_id: set() for task_id in self._tasks}
        self._made: dict[str, set[str]] = {task_id: set() for task_id in self._tasks}
        self._readers: dict[str, list[str]] = {}
        for task in chain.tasks:
            self._readers.setdefault(task.input_var, []).append(task.id)
        self._handed[chain.tasks[0].id] |= self._input

    def settle(self) -> None:
        """Spread types until nothing changes."""
        pending = list(self._tasks)
        while pending:
            pending.extend(self._spread(self._tasks[pending.pop()]))

    def given(self, task: Task) -> Iterable[str]:
        """Return the types that may reach the task's handler."""
        if not self._handed[task.id]:
            return ()
        if task.prompt_template:
            return ("string",)
        name = task.input_var
        if name == "input":
            return self._input
        if name in self._made:
            return self._made[name]
        return (_UNKNOWN,) if name and name != "previous_output" else self._handed[task.id]

    def _spread(self, task: Task) -> Iterator[str]:
        """Pass on what *task* makes, yielding the tasks that this concerns."""
        made = self._made[task.id]
        grown = self._returned(task) - made
        if not grown:
            return
        made |= grown
        yield from self._readers.get(task.id, ())
        for branch in _branches(task):
            handed = self._handed.get(branch.goto)
            if handed is not None and not handed >= (passed := self._passed(branch, made)):
                handed |= passed
                yield branch.goto

    def _returned(self, task: Task) -> set[str]:
        handler = self._handlers[task.handler]
        given = self.given(task)
        if not given:
            return set()
        if handler.returns is not None:
            return {handler.returns}
        if getattr(handler, "passes_input", False):
            return set(given)
        return {"string"} if task.hook is not None and task.output_template else {_UNKNOWN}

    def _passed(self, branch: Branch, made: set[str]) -> set[str]:
        if branch.compose is None:
            return made
        return {_COMPOSED.get(branch.compose.strategy, _UNKNOWN)}
