"""The state of one run, and what a handler sees of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime_core.engine.compose import compose, composed_name
from runtime_core.engine.flow import ENDS
from runtime_core.engine.journal import NOTHING
from runtime_core.errors import TaskFailed
from runtime_core.types import Delta, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_core.engine.journal import Attempt
    from runtime_core.engine.plan import Plan, PreparedTask
    from runtime_core.engine.templates import Template
    from runtime_core.errors import RuntimeCoreError
    from runtime_core.protocols import ModelGateway, TokenCounter, Toolbox
    from runtime_core.types import Branch, Chain, ChatChunk, RunRequest, Task

__all__ = ("Call", "Run")

#: Between two answers of a run, as an agent's are before and after it uses tools.
_APART = "\n\n"
_NOTHING_MORE: Mapping[str, object] = {}


class Run:
    """Where a run stands: its variables, its last output, the task that follows.

    ``spoken`` says that text of a model has been passed on to the client.
    """

    __slots__ = (
        "following",
        "macros",
        "models",
        "output",
        "plan",
        "request",
        "spoken",
        "steps",
        "tokens",
        "tools",
        "variables",
    )

    def __init__(
        self,
        plan: Plan,
        request: RunRequest,
        models: ModelGateway,
        tools: Toolbox,
        tokens: TokenCounter,
    ) -> None:
        self.plan = plan
        self.request = request
        self.models = models
        self.tools = tools
        self.tokens = tokens
        self.macros: Mapping[str, str] = {}
        self.output = request.input
        self.following: PreparedTask | None = plan.entry
        self.steps = 0
        self.spoken = False
        self.variables: dict[str, Value] = {
            "input": request.input,
            "previous_output": request.input,
        }

    def render(self, template: Template, extra: Mapping[str, object] = _NOTHING_MORE) -> str:
        """Render *template* over the variables; *extra* names win."""
        return template.render(self.variables, self.macros, extra)

    def input_of(self, prepared: PreparedTask) -> Value:
        """Return what the task's handler is given.

        :raises TaskFailed: its variable does not exist yet, or has a type the handler refuses.
        """
        task = prepared.task
        value = self._variable(task.input_var) if task.input_var else self.output
        if prepared.prompt is not None:
            value = Value(self.render(prepared.prompt), "string")
        if value.type not in prepared.handler.accepts:
            accepted = ", ".join(sorted(prepared.handler.accepts))
            raise TaskFailed(
                f"task {task.id!r}: {task.handler} is handed {value.type} and takes {accepted}; "
                "choose its input with input_var or prompt_template"
            )
        return value

    def _variable(self, name: str) -> Value:
        value = self.variables.get(name)
        if value is None:
            known = ", ".join(sorted(self.variables))
            raise TaskFailed(f"there is no variable {name!r} yet; there are: {known}")
        return value

    def compose(self, branch: Branch, value: Value) -> Value:
        """Join *value* with a variable where the branch asks for it."""
        if branch.compose is None:
            return value
        other = self._variable(branch.compose.with_var)
        return compose(value, other, branch.compose.strategy)

    def advance(self, task: Task, attempt: Attempt) -> None:
        """Go on after an attempt that ended well."""
        branch, variables = attempt.branch, self.variables
        variables[task.id] = variables["previous_output"] = self.output = attempt.output
        if branch.compose is not None:
            variables[composed_name(task.id, branch.when)] = attempt.output
        self.following = None if branch.goto in ENDS else self.plan.tasks[branch.goto]

    def fail(self, task: Task, attempt: Attempt, error: RuntimeCoreError) -> None:
        """Go on with ``on_failure``, or raise *error*.

        A handler that ended well leaves nothing to repair: then the chain itself is at fault.
        """
        on_failure = task.transition.on_failure
        if not on_failure or attempt.outcome is not None or attempt.shown:
            raise error
        self.variables["previous_output"] = self.output = NOTHING
        self.following = self.plan.tasks[on_failure]


class Call:
    """One attempt of one task, as its handler sees it (`runtime_core.protocols.TaskCall`)."""

    __slots__ = ("_apart", "_attempt", "_final", "_live", "_run", "_task_id", "executing", "task")

    def __init__(self, run: Run, prepared: PreparedTask, attempt: Attempt) -> None:
        self._run = run
        self._attempt = attempt
        self._final = prepared.final
        self._live = prepared.final and run.request.live
        self._apart = self._live and run.spoken
        self.executing = prepared.executing
        self._task_id = prepared.task.id
        self.task: Task = prepared.task
        if run.macros:
            self.task = run.plan.macros.apply(prepared.task, run.macros)

    @property
    def chain(self) -> Chain:
        """The chain the task belongs to."""
        return self._run.plan.chain

    @property
    def value(self) -> Value:
        """The task's input."""
        return self._attempt.input

    @property
    def variables(self) -> Mapping[str, Value]:
        """The outputs so far."""
        return self._run.variables

    @property
    def request(self) -> RunRequest:
        """The run this is part of."""
        return self._run.request

    @property
    def models(self) -> ModelGateway:
        """The models there are."""
        return self._run.models

    @property
    def tools(self) -> Toolbox:
        """The hooks there are."""
        return self._run.tools

    @property
    def tokens(self) -> TokenCounter:
        """What counts tokens."""
        return self._run.tokens

    def render(self, template: str, **extra: object) -> str:
        """Render *template* over the variables; *extra* names win."""
        return self._run.render(self._run.plan.adhoc(template), extra)

    def delta(self, chunk: ChatChunk, *, shown: bool = True) -> Delta:
        """Wrap a piece of an answer for the event stream."""
        if not shown:
            return Delta(self._task_id, chunk, False)
        if self._live and (chunk.text or chunk.tool_calls or chunk.reasoning):
            self._attempt.shown = True
            if chunk.text:
                return Delta(self._task_id, self._spoken(chunk), True)
        return Delta(self._task_id, chunk, self._final)

    def _spoken(self, chunk: ChatChunk) -> ChatChunk:
        """Set the first text of an answer apart from what the run has said before."""
        self._run.spoken = True
        if not self._apart:
            return chunk
        self._apart = False
        return replace(chunk, text=_APART + chunk.text)
