"""Which tools a model is offered, and which hook a tool's name stands for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from runtime_core.types import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from runtime_core.protocols import TaskCall
    from runtime_core.types import ExecuteConfig, HookInfo, Tool

__all__ = (
    "Known",
    "Offer",
    "Target",
    "client_tools",
    "known_targets",
    "offered_tools",
    "passed_tools",
)

logger = logging.getLogger(__name__)


class Target(NamedTuple):
    """The hook and tool that a tool call is for."""

    hook: str
    tool: str


class Offer(NamedTuple):
    """The tools a model is offered, and a sentence for each hook that had to be left out."""

    tools: tuple[Tool, ...]
    warnings: tuple[str, ...] = ()


class Known(NamedTuple):
    """What the names that a model may call stand for, and why some hooks' names do not.

    ``asked`` says that the chain names hooks, whether or not they have tools now.
    """

    targets: Mapping[str, Target]
    warnings: tuple[str, ...] = ()
    asked: bool = False


async def offered_tools(call: TaskCall, config: ExecuteConfig) -> Offer:
    """Return the tools to offer: the client's where passed on, then hooks', less hidden ones.

    Hook tools are named ``<hook>.<tool>``.  A hook that cannot be used now is left out: the model
    is offered what works.
    """
    hidden = frozenset(config.hide_tools)
    client = client_tools(call) if config.pass_clients_tools else ()
    tools = {tool.name: tool for tool in client if tool.name not in hidden}
    if not config.hooks:
        return Offer(tuple(tools.values()))
    hooks, warnings = await _hooks(call, config.hooks)
    for hook, tool in _open(hooks, config.hooks, hidden):
        name = f"{hook}.{tool.name}"
        tools.setdefault(name, msgspec.structs.replace(tool, name=name))
    for warning in warnings:
        logger.warning("run %s: task %r: %s", call.request.run_id, call.task.id, warning)
    return Offer(tuple(tools.values()), warnings)


def client_tools(call: TaskCall) -> tuple[Tool, ...]:
    """Return the tools that came with the chat request of the task, or of the run."""
    for value in (call.value, call.request.input):
        if isinstance(value.data, ChatRequest):
            return value.data.tools
    return ()


def passed_tools(call: TaskCall) -> tuple[str, ...]:
    """Return the names of the client's tools that some task of the chain offers."""
    configs = [task.execute_config for task in call.chain.tasks if task.execute_config is not None]
    passing = [frozenset(config.hide_tools) for config in configs if config.pass_clients_tools]
    return tuple(
        [
            tool.name
            for tool in client_tools(call)
            if any(tool.name not in hidden for hidden in passing)
        ]
    )


async def known_targets(call: TaskCall) -> Known:
    """Map every name a model may call to its target.

    Tools that some task of the chain offers, and does not hide, can be called by
    ``<hook>.<tool>``, by the tool's name and by the hook's name, in that order.
    """
    configs = [
        task.execute_config
        for task in call.chain.tasks
        if task.execute_config is not None and task.execute_config.hooks
    ]
    names = dict.fromkeys(name for config in configs for name in config.hooks)
    if not names:
        return Known({})
    hooks, warnings = await _hooks(call, names)
    found = dict.fromkeys(
        Target(hook, tool.name)
        for config in configs
        for hook, tool in _open(hooks, config.hooks, frozenset(config.hide_tools))
    )
    return Known(_by_name(found), warnings, asked=True)


def _by_name(found: Iterable[Target]) -> dict[str, Target]:
    known = {f"{target.hook}.{target.tool}": target for target in found}
    for target in found:
        known.setdefault(target.tool, target)
    for target in found:
        known.setdefault(target.hook, target)
    return known


def _open(
    hooks: Mapping[str, HookInfo], names: Collection[str], hidden: Collection[str]
) -> Iterator[tuple[str, Tool]]:
    """Yield each tool of the hooks *names* that no entry of *hidden* stands for."""
    for name, hook in hooks.items():
        if name not in names or name in hidden:
            continue
        for tool in hook.tools:
            if tool.name not in hidden and f"{name}.{tool.name}" not in hidden:
                yield name, tool


async def _hooks(
    call: TaskCall, names: Collection[str]
) -> tuple[Mapping[str, HookInfo], tuple[str, ...]]:
    """Return the hooks *names* that can be used, and why the others cannot."""
    rows = await call.tools.hooks(call.request.tenant_id, names)
    usable = {row.name: row for row in rows if row.name in names and (row.tools or not row.error)}
    return usable, tuple([_left_out(name, rows) for name in names if name not in usable])


def _left_out(name: str, rows: Sequence[HookInfo]) -> str:
    broken = {row.name: row.error for row in rows if row.error}
    if name in broken:
        return f"hook {name!r} is left out, it cannot be used now: {broken[name]}"
    if broken:
        sources = ", ".join(f"{source} ({error})" for source, error in broken.items())
        return (
            f"hook {name!r} is left out: it was not found, and these sources of hooks cannot be "
            f"asked now: {sources}"
        )
    return f"hook {name!r} is left out: there is no such hook"
