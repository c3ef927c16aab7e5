"""Hooks and their tools on the wire."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from runtime_core.types import HookInfo, Tool

__all__ = ("FunctionWire", "HookRow", "ToolWire", "hook_row", "tool_wire")


class FunctionWire(Struct, frozen=True):
    """A function as models are told of it."""

    name: str
    description: str
    parameters: dict[str, Any] | None


class ToolWire(Struct, frozen=True, kw_only=True):
    """A tool as models are told of it."""

    type: Literal["function"] = "function"
    function: FunctionWire


class HookRow(Struct, frozen=True, kw_only=True):
    """A hook; ``error`` is why its tools cannot be had now."""

    name: str
    description: str
    type: str
    tools: list[ToolWire] | UnsetType = UNSET
    error: str | UnsetType = UNSET


def tool_wire(tool: Tool) -> ToolWire:
    """Return the wire form of *tool*."""
    return ToolWire(function=FunctionWire(tool.name, tool.description, tool.parameters))


def hook_row(hook: HookInfo) -> HookRow:
    """Return the wire form of *hook*."""
    return HookRow(
        name=hook.name,
        description=hook.description,
        type=hook.type,
        tools=[tool_wire(tool) for tool in hook.tools] or UNSET,
        error=hook.error or UNSET,
    )
