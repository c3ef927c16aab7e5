"""Looking at a chain before it runs: every problem, named."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

from runtime_core.engine.compose import STRATEGIES, composed_name
from runtime_core.engine.durations import parse_duration
from runtime_core.engine.flow import ENDS, endless_loops, mismatches, unreachable
from runtime_core.engine.transitions import branch_problem
from runtime_core.errors import TemplateFailed, Unprocessable
from runtime_core.protocols import SelfChecking

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from runtime_core.protocols import TaskHandler
    from runtime_core.types import Branch, Chain, DataType, HookInfo, Task

__all__ = ("find_mismatches", "find_problems", "template_fields")

_MOST = 100
_MORE = "there are more problems: fix these first"
#: Guessing what a name was meant to be takes time that grows with both.
_LONGEST_GUESSED = 100
_MOST_GUESSED = 500
_MOST_SHOWN = 50


def find_problems(
    chain: Chain,
    handlers: Mapping[str, TaskHandler],
    compile_template: Callable[[str], object],
    *,
    input_type: DataType | None = None,
    hooks: Sequence[HookInfo] | None = None,
) -> list[str]:
    """Name every problem of *chain*, up to a hundred; an empty list means that it can run.

    *compile_template* raises `TemplateFailed`.  With *hooks*, the listing of a toolbox, names of
    hooks and tools are looked up too.  Types are followed from *input_type* where it is given.
    """
    if not chain.tasks:
        return ["the chain has no tasks: add at least one"]
    names = _Names(chain, handlers, hooks)
    problems = itertools.chain(
        _id_problems(chain),
        (
            f"task {task.id!r}: {problem}"
            for task in chain.tasks
            for problem in _task_problems(task, names, compile_template)
        ),
        _shape_problems(chain, handlers),
        find_mismatches(chain, handlers, input_type),
    )
    found = list(dict.fromkeys(itertools.islice(problems, _MOST + 1)))
    return found if len(found) <= _MOST else [*found[:_MOST], _MORE]


def find_mismatches(
    chain: Chain, handlers: Mapping[str, TaskHandler], input_type: DataType | None
) -> Iterator[str]:
    """Name every task that is handed a type it does not take.

    Only of chains whose handlers are all known; *input_type* is the type of the run's input, None
    when that is not known.
    """
    if not all(task.handler in handlers for task in chain.tasks):
        return
    for task, given in mismatches(chain, handlers, input_type):
        accepted = ", ".join(sorted(handlers[task.handler].accepts))
        yield (
            f"task {task.id!r}: {task.handler} is handed {given} and takes {accepted}; "
            "choose its input with input_var or prompt_template"
        )


def template_fields(task: Task) -> Iterator[tuple[str, str]]:
    """Yield the name and source of everything in *task* that is rendered."""
    for name in ("prompt_template", "print", "output_template"):
        if source := getattr(task, name):
            yield name, source
    if task.hook is not None:
        yield from _texts("hook.args", task.hook.args)


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(f"{path}.{name}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(f"{path}.{index}", item)


class _Names:
    """Everything a task can refer to by name."""

    def __init__(
        self,
        chain: Chain,
        handlers: Mapping[str, TaskHandler],
        hooks: Sequence[HookInfo] | None,
    ) -> None:
        self.handlers = handlers
        self.tasks = {task.id for task in chain.tasks}
        composed = {
            composed_name(task.id, branch.when)
            for task in chain.tasks
            for branch in task.transition.branches or ()
            if branch.compose is not None
        }
        self.variables = {"input", "previous_output"} | self.tasks | composed
        self.hooks = None if hooks is None else {hook.name: hook for hook in hooks}


def _id_problems(chain: Chain) -> Iterator[str]:
    for number, task in enumerate(chain.tasks):
        if not task.id:
            yield f"task number {number + 1} has no id"
        elif task.id == "end":
            yield f"task number {number + 1}: the id 'end' is taken, it ends the chain"
    for task_id, count in Counter(task.id for task in chain.tasks).items():
        if count > 1 and task_id:
            yield f"{count} tasks have the id {task_id!r}: give each its own"


def _task_problems(
    task: Task, names: _Names, compile_template: Callable[[str], object]
) -> Iterator[str]:
    yield from _handler_problems(task, names)
    yield from _transition_problems(task, names)
    yield from _field_problems(task, compile_template)
    yield from _input_problems(task, names)
    yield from _hook_problems(task, names)


def _handler_problems(task: Task, names: _Names) -> Iterator[str]:
    handler = names.handlers.get(task.handler)
    if handler is None:
        yield f"unknown handler {task.handler!r}{_suggestion(task.handler, names.handlers)}"
    elif isinstance(handler, SelfChecking):
        yield from handler.problems(task)


def _suggestion(name: str, known: Collection[str]) -> str:
    if len(name) <= _LONGEST_GUESSED and len(known) <= _MOST_GUESSED:
        close = difflib.get_close_matches(name, known, n=1)
        if close:
            return f": did you mean {close[0]!r}?"
    shown = sorted(known)[:_MOST_SHOWN]
    return f": there are {', '.join(shown)}{', …' if len(known) > _MOST_SHOWN else ''}"


def _transition_problems(task: Task, names: _Names) -> Iterator[str]:
    transition = task.transition
    handler = names.handlers.get(task.handler)
    fails_always = handler is not None and handler.transitions == frozenset()
    if not transition.branches and not fails_always:
        yield "transition has no branches: add one, with goto 'end' to end the chain"
    for number, branch in enumerate(transition.branches or ()):
        for problem in _branch_problems(branch, names):
            yield f"branch {number + 1}: {problem}"
    if transition.on_failure and transition.on_failure not in names.tasks:
        yield f"on_failure goes to {transition.on_failure!r}, which is no task of the chain"


def _branch_problems(branch: Branch, names: _Names) -> Iterator[str]:
    problem = branch_problem(branch)
    if problem is not None:
        yield problem
    if branch.goto not in ENDS and branch.goto not in names.tasks:
        known = _suggestion(branch.goto, names.tasks)
        yield f"goto {branch.goto!r} is no task of the chain{known}"
    if branch.compose is not None:
        if branch.compose.strategy not in STRATEGIES:
            known = ", ".join(sorted(STRATEGIES - {""}))
            yield f"unknown compose strategy {branch.compose.strategy!r}: there are {known}"
        if branch.compose.with_var not in names.variables:
            yield f"compose.with_var {branch.compose.with_var!r} names no variable"


def _field_problems(task: Task, compile_template: Callable[[str], object]) -> Iterator[str]:
    tool_timeout = task.execute_config.tool_timeout if task.execute_config else ""
    for name, text in (("timeout", task.timeout), ("execute_config.tool_timeout", tool_timeout)):
        if text and (problem := _duration_problem(text)):
            yield f"{name}: {problem}"
    for name, source in template_fields(task):
        try:
            compile_template(source)
        except TemplateFailed as error:
            yield f"{name}: {error}"


def _duration_problem(text: str) -> str:
    try:
        parse_duration(text)
    except Unprocessable as error:
        return str(error)
    return ""


def _input_problems(task: Task, names: _Names) -> Iterator[str]:
    if task.input_var and task.input_var not in names.variables:
        yield (
            f"input_var {task.input_var!r} names no variable"
            f"{_suggestion(task.input_var, names.variables)}"
        )


def _hook_problems(task: Task, names: _Names) -> Iterator[str]:
    if names.hooks is None:
        return
    wanted: Collection[str] = task.execute_config.hooks if task.execute_config else ()
    for name in wanted:
        if name not in names.hooks:
            yield f"execute_config.hooks: unknown hook {name!r}{_suggestion(name, names.hooks)}"
    if task.hook is not None and task.hook.name:
        yield from _called_hook_problems(task.hook.name, task.hook.tool_name, names.hooks)


def _called_hook_problems(name: str, tool: str, hooks: Mapping[str, HookInfo]) -> Iterator[str]:
    hook = hooks.get(name)
    if hook is None:
        yield f"unknown hook {name!r}{_suggestion(name, hooks)}"
        return
    tools = [tool.name for tool in hook.tools]
    bare = tool.removeprefix(f"{name}.")
    if bare and not hook.error and bare not in tools:
        yield f"hook {name!r} has no tool {bare!r}{_suggestion(bare, tools)}"


def _shape_problems(chain: Chain, handlers: Mapping[str, TaskHandler]) -> Iterator[str]:
    for task_id in unreachable(chain):
        yield f"task {task_id!r} is never reached: let a branch go to it, or remove it"
    for loop in endless_loops(chain, handlers):
        path = " → ".join(map(repr, (*loop[:_MOST_SHOWN], loop[0])))
        yield f"the loop {path} has no way out: give one of its tasks a branch that leaves it"
