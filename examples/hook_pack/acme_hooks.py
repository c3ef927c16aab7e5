"""A hook ``text`` with two tools that count in texts, for chains and for models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core import hookimpl
from runtime_core.errors import NotFound, TaskFailed
from runtime_core.types import HookInfo, Tool, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtime_core.protocols import HookSource
    from runtime_core.types import ToolRequest

__all__ = ("TextHooks", "register_hook_sources")

_PARAMETERS = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "what to count in"}},
    "required": ["text"],
}
TOOLS = (
    Tool("words", "Counts the words of a text.", _PARAMETERS),
    Tool("characters", "Counts the characters of a text.", _PARAMETERS),
)
FUNCTIONS: Mapping[str, Callable[[str], int]] = {
    "words": lambda text: len(text.split()),
    "characters": len,
}


@hookimpl
def register_hook_sources() -> Mapping[str, HookSource]:
    """Contribute a source of hooks, named like the plugin."""
    return {"acme-hooks": TextHooks()}


class TextHooks:
    """One hook, ``text``; nothing here waits, so nothing is awaited."""

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List the hook with its tools; every tenant has the same."""
        return [HookInfo(name="text", type="local", description="Counts.", tools=TOOLS)]

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool.

        :raises NotFound: there is no such hook or tool.
        :raises TaskFailed: there is no text to count in.
        """
        function = FUNCTIONS.get(request.tool) if request.hook == "text" else None
        if function is None:
            raise NotFound(
                f"there is no tool {request.tool!r} in hook {request.hook!r}; the hook text has: "
                f"{', '.join(FUNCTIONS)}"
            )
        return Value(function(_text(request)), "int")


def _text(request: ToolRequest) -> str:
    """Return the argument ``text``, else the input of the task that calls."""
    text = request.arguments.get("text")
    if text is None and request.input is not None:
        text = request.input.data
    if not isinstance(text, str):
        raise TaskFailed(f"the tool {request.tool} needs the argument 'text', a string")
    return text
