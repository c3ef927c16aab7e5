"""``hook``: call a hook's tool directly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime_core.engine.macros import secrets_in
from runtime_core.errors import TaskFailed
from runtime_core.types import DATA_TYPES, DataType, Outcome, ToolRequest, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.protocols import TaskCall
    from runtime_core.types import Task

__all__ = ("HookHandler", "named_secrets", "render_args")

_NO_HOOK = "hook is missing: set hook.name and hook.tool_name"
_ANYTHING: frozenset[Any] = DATA_TYPES


class HookHandler:
    """Calls the tool its ``hook`` names with the task's input and templated arguments."""

    accepts: frozenset[DataType] = _ANYTHING
    returns: DataType | None = None
    transitions: frozenset[str] | None = None

    def problems(self, task: Task) -> Sequence[str]:
        """Name what keeps the task from running."""
        return () if task.hook is not None and task.hook.name else (_NO_HOOK,)

    async def run(self, call: TaskCall) -> AsyncIterator[Outcome]:
        """Call the tool; ``output_template`` turns its result into text."""
        task = call.task
        if task.hook is None or not task.hook.name:
            raise TaskFailed(f"task {task.id!r}: {_NO_HOOK}")
        request = ToolRequest(
            hook=task.hook.name,
            tool=task.hook.tool_name.removeprefix(f"{task.hook.name}."),
            arguments=render_args(call, task.hook.args),
            input=call.value,
            tenant_id=call.request.tenant_id,
            secrets=named_secrets(task.hook.args),
        )
        result = await call.tools.call(request)
        if not task.output_template:
            yield Outcome(result, "ok")
            return
        text = call.render(task.output_template, **_names(result))
        yield Outcome(Value(text, "string"), text)


def render_args(call: TaskCall, args: dict[str, Any]) -> dict[str, Any]:
    """Render every text in *args*, also inside lists and objects."""
    return {name: _rendered(call, value) for name, value in args.items()}


def named_secrets(args: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the secrets that a chain names in *args*, by argument, as `ToolRequest` has them."""
    found = ((name, secrets_in(value)) for name, value in args.items())
    return {name: secrets for name, secrets in found if secrets}


def _rendered(call: TaskCall, value: Any) -> Any:
    if isinstance(value, str):
        return call.render(value) if "{" in value else value
    if isinstance(value, dict):
        return render_args(call, value)
    if isinstance(value, list):
        return [_rendered(call, item) for item in value]
    return value


def _names(result: Value) -> dict[str, Any]:
    """Return the names an ``output_template`` has beside the run's variables.

    These are the result's fields, and the result as a whole: ``{{.output}}``, or ``{{.}}``, which
    templates read as the name ``vars``.
    """
    fields = result.data if isinstance(result.data, dict) else {}
    named = {str(name): value for name, value in fields.items()}
    return {**named, "output": result.data, "vars": result.data}
