"""The hook source: looks a hook up and calls its function."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime_core.errors import NotFound
from runtime_core.types import HookInfo
from runtime_hooks_local.tools import ECHO, PRINT, echo, print_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime_core.types import Tool, ToolRequest, Value

__all__ = ("LocalHooks",)


class _LocalHook(NamedTuple):
    """A hook of one tool."""

    tool: Tool
    function: Callable[[ToolRequest], Value]


class LocalHooks:
    """The hooks of this package; each has one tool."""

    def __init__(self) -> None:
        self._hooks = {"echo": _LocalHook(ECHO, echo), "print": _LocalHook(PRINT, print_message)}

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List the hooks; every tenant has the same."""
        return [
            HookInfo(name=name, type="local", description=hook.tool.description, tools=(hook.tool,))
            for name, hook in self._hooks.items()
        ]

    async def call(self, request: ToolRequest) -> Value:
        """Call a hook's tool; without a tool's name its only one.

        :raises NotFound: there is no such hook or tool.
        :raises TaskFailed: an argument is missing or has the wrong type.
        """
        hook = self._hooks.get(request.hook)
        if hook is None:
            known = ", ".join(self._hooks)
            raise NotFound(f"unknown local hook {request.hook!r}; there are: {known}")
        if request.tool not in ("", hook.tool.name):
            raise NotFound(
                f"hook {request.hook!r} has no tool {request.tool!r}; its tool is "
                f"{hook.tool.name!r}"
            )
        return hook.function(request)
