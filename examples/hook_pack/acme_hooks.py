"""A hook ``text`` with two tools that count in texts, for chains and for models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from runtime_core import hookimpl
from runtime_core.errors import NotFound, TaskFailed
from runtime_core.types import HookInfo, Tool, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtime_core.protocols import HookSource
    from runtime_core.types import PluginContext, ToolRequest

__all__ = ("TextHooks", "TextSettings", "register_hook_sources", "settings_model")


class TextSettings(BaseModel):
    """The table ``[plugins.acme-hooks]`` of ``runtime.toml``."""

    longest: int = Field(default=1_000_000, gt=0)


@hookimpl
def settings_model() -> type[TextSettings]:
    """Say what can be set."""
    return TextSettings


@hookimpl
def register_hook_sources(context: PluginContext) -> Mapping[str, HookSource]:
    """Contribute a source of hooks, named like the plugin."""
    return {"acme-hooks": TextHooks(context.settings)}


_PARAMETERS = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "what to count in"}},
    "required": ["text"],
}
HOOK = HookInfo(
    name="text",
    type="local",
    description="Counts in texts.",
    tools=(
        Tool("words", "Counts the words of a text.", _PARAMETERS),
        Tool("characters", "Counts the characters of a text.", _PARAMETERS),
    ),
)
FUNCTIONS: Mapping[str, Callable[[str], int]] = {
    "words": lambda text: len(text.split()),
    "characters": len,
}


class TextHooks:
    """One hook, ``text``; nothing here waits, so nothing is awaited."""

    def __init__(self, settings: TextSettings) -> None:
        self._settings = settings

    async def hooks(self, tenant_id: str) -> Sequence[HookInfo]:
        """List the hook with its tools; every tenant has the same."""
        return [HOOK]

    async def call(self, request: ToolRequest) -> Value:
        """Call a tool.

        :raises NotFound: there is no such hook or tool.
        :raises TaskFailed: there is no text to count in, or it is too long.
        """
        function = FUNCTIONS.get(request.tool) if request.hook == HOOK.name else None
        if function is None:
            raise NotFound(
                f"there is no tool {request.tool!r} in hook {request.hook!r}; the hook text has: "
                f"{', '.join(FUNCTIONS)}"
            )
        return Value(function(self._text(request)), "int")

    def _text(self, request: ToolRequest) -> str:
        """Return the argument ``text``, else the input of the task that calls."""
        text = request.arguments.get("text")
        if text is None and request.input is not None:
            text = request.input.data
        if not isinstance(text, str):
            raise TaskFailed(f"the tool {request.tool} needs the argument 'text', a string")
        if len(text) > self._settings.longest:
            raise TaskFailed(
                f"'text' has {len(text)} characters, more than the {self._settings.longest} that "
                "longest of [plugins.acme-hooks] allows"
            )
        return text
