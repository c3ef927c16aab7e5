"""Hooks of the product's vocabulary: named groups of tools that chains and models call."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from runtime_core.types.chains import Value
from runtime_core.types.chat import Tool

__all__ = ("HookInfo", "ToolRequest")


class HookInfo(Struct, frozen=True, kw_only=True):
    """One hook and its tools; ``error`` says why the tools cannot be listed now."""

    name: str
    type: str
    description: str = ""
    tools: tuple[Tool, ...] = ()
    error: str = ""


class ToolRequest(Struct, frozen=True, kw_only=True):
    """One call of a hook's tool.

    ``arguments`` are by parameter name.  ``input`` is the task's input when a ``hook`` task calls
    (``caller`` "task"), None when a model does.  ``secrets`` are the names in ``{{secret:NAME}}``
    that the chain itself, and neither a model nor what a template stands for, has in an argument,
    by the argument's name: a tool that puts secrets into what it sends puts in no others.
    """

    hook: str
    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    input: Value | None = None
    caller: Literal["task", "model"] = "task"
    tenant_id: str = "default"
    secrets: dict[str, tuple[str, ...]] = field(default_factory=dict)
