"""Which tools a model is offered, and which hook a tool's name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from runtime_core.errors import UpstreamUnavailable
from runtime_core.types import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Collection

    from runtime_core.protocols import TaskCall
    from runtime_core.types import ExecuteConfig, HookInfo, Tool

__all__ = ("Target", "client_tools", "hook_tools", "offered_tools", "targets")


class Target(NamedTuple):
    """The hook and tool that a tool call is for."""

    hook: str
    tool: str


async def offered_tools(call: TaskCall, config: ExecuteConfig) -> tuple[Tool, ...]:
    """Return the tools to offer: the client's where passed on, then hooks', less hidden ones."""
    hidden = frozenset(config.hide_tools)
    client = client_tools(call) if config.pass_clients_tools else ()
    tools = {tool.name: tool for tool in client}
    if config.hooks:
        for name, tool in (await hook_tools(call, config.hooks)).items():
            tools.setdefault(name, tool)
    return tuple(tool for name, tool in tools.items() if name not in hidden)


def client_tools(call: TaskCall) -> tuple[Tool, ...]:
    """Return the tools that came with the chat request of the task, or of the run."""
    for value in (call.value, call.request.input):
        if isinstance(value.data, ChatRequest):
            return value.data.tools
    return ()


async def hook_tools(call: TaskCall, names: Collection[str]) -> dict[str, Tool]:
    """Return the tools of the hooks named, as ``<hook>.<tool>``; unknown hooks are skipped.

    :raises UpstreamUnavailable: one of the hooks cannot be reached.
    """
    tools: dict[str, Tool] = {}
    for hook in await _hooks(call, names):
        if hook.error:
            raise UpstreamUnavailable(f"hook {hook.name!r} cannot be used now: {hook.error}")
        for tool in hook.tools:
            name = f"{hook.name}.{tool.name}"
            tools[name] = msgspec.structs.replace(tool, name=name)
    return tools


async def targets(call: TaskCall) -> dict[str, Target]:
    """Map every name a model may call to its target.

    Tools of all hooks that any task of the chain offers can be called by ``<hook>.<tool>``, by
    the tool's name and by the hook's name, in that order.
    """
    names = {
        name
        for task in call.chain.tasks
        if task.execute_config is not None
        for name in task.execute_config.hooks
    }
    if not names:
        return {}
    hooks = await _hooks(call, names)
    found = [Target(hook.name, tool.name) for hook in hooks for tool in hook.tools]
    known = {f"{target.hook}.{target.tool}": target for target in found}
    for target in found:
        known.setdefault(target.tool, target)
    for target in found:
        known.setdefault(target.hook, target)
    return known


async def _hooks(call: TaskCall, names: Collection[str]) -> list[HookInfo]:
    hooks = await call.tools.hooks(call.request.tenant_id)
    return [hook for hook in hooks if hook.name in names]
