"""``execute_tool_calls``: do what the model's last message asks for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from runtime_core.engine.durations import parse_duration
from runtime_core.engine.handlers.asking import config_of
from runtime_core.engine.handlers.calling import ToolLimits, call_tool, refused
from runtime_core.engine.handlers.hook import render_args
from runtime_core.engine.handlers.offers import Known, Target, known_targets, passed_tools
from runtime_core.types import ChatHistory, ChatRequest, Message, Outcome, ToolCalled, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from runtime_core.engine.handlers.backstage import Backstage
    from runtime_core.protocols import TaskCall
    from runtime_core.types import DataType, ToolCall

__all__ = ("ToolCallsHandler",)

_PARALLEL = 16
#: Tools that a model which asked for another one is reminded of.
_MOST_NAMED = 50


class ToolCallsHandler:
    """Runs the hook tools among the last message's calls, side by side.

    A tool that fails is told to the model, not to the client.  The client's own tools are left to
    the client: a conversation in which some were called ends with a message that has their calls
    and no others.

    :param backstage: keeps what the client is not shown, for when it goes on.
    """

    accepts: frozenset[DataType] = frozenset(("chat_history",))
    returns: DataType | None = "chat_history"
    transitions: frozenset[str] | None = frozenset(("no_op", "no_calls_found", "tools_executed"))

    def __init__(self, backstage: Backstage, limits: ToolLimits) -> None:
        self._backstage = backstage
        self._limits = limits

    async def run(self, call: TaskCall) -> AsyncIterator[ToolCalled | Outcome]:
        """Call the tools, then append one ``tool`` message for each call."""
        history: ChatHistory = call.value.data
        if not history.messages:
            yield Outcome(call.value, "no_op")
            return
        sorted_calls = await _sort(call, history.messages[-1].tool_calls)
        called = await _call_all(call, sorted_calls, self._limits_of(call))
        for event in called:
            yield event
        messages = _continued(history.messages, called)
        left = bool(messages[-1].tool_calls)
        if left:
            self._backstage.keep(call, messages)
        longer = msgspec.structs.replace(history, messages=messages) if called else history
        transition = "tools_executed" if called and not left else "no_calls_found"
        yield Outcome(
            Value(longer, "chat_history"), transition, warnings=sorted_calls.known.warnings
        )

    def _limits_of(self, call: TaskCall) -> ToolLimits:
        timeout = config_of(call.task).tool_timeout
        return self._limits._replace(seconds=parse_duration(timeout)) if timeout else self._limits


class _Calls(NamedTuple):
    """The calls that are not the client's, in the model's order; those without target are told
    so.

    ``passed`` names the client's tools that the model is offered.
    """

    ours: Sequence[tuple[ToolCall, Target | None]]
    known: Known = Known({})
    passed: tuple[str, ...] = ()


async def _sort(call: TaskCall, tool_calls: Sequence[ToolCall]) -> _Calls:
    if not tool_calls:
        return _Calls(())
    known = await known_targets(call)
    passed = passed_tools(call)
    ours = [
        (one, known.targets.get(one.function.name))
        for one in tool_calls
        if one.function.name not in passed
    ]
    found = any(target is not None for _, target in ours)
    if not found and not (known.asked and isinstance(call.request.input.data, ChatRequest)):
        # perhaps tools of a client that is not known here
        return _Calls((), known)
    return _Calls(ours, known, passed)


async def _call_all(call: TaskCall, calls: _Calls, limits: ToolLimits) -> list[ToolCalled]:
    if not calls.ours:
        return []
    fixed = render_args(call, call.task.hook.args) if call.task.hook else {}
    gate = asyncio.Semaphore(_PARALLEL)

    async def one(tool_call: ToolCall, target: Target | None) -> ToolCalled:
        if target is None:
            return refused(call, tool_call, _unknown(calls), limits)
        async with gate:
            return await call_tool(call, tool_call, target, fixed, limits)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(*pair)) for pair in calls.ours]
    return [task.result() for task in tasks]


def _unknown(calls: _Calls) -> str:
    known = calls.known
    names = [name for name, target in known.targets.items() if name == ".".join(target)]
    names += calls.passed
    there_are = f"there are: {', '.join(names[:_MOST_NAMED])}" if names else "there are none"
    return "; ".join(("there is no such tool", there_are, *known.warnings))


def _continued(messages: Sequence[Message], called: Collection[ToolCalled]) -> tuple[Message, ...]:
    """Append the results; calls that are left become a message of their own, the last one."""
    results = [_message(event) for event in called]
    last = messages[-1]
    # by identity: models may give two calls the same id
    ours = {id(event.call) for event in called}
    left = tuple([one for one in last.tool_calls if id(one) not in ours])
    if not called or not left:
        return (*messages, *results)
    done = tuple([event.call for event in called])
    asked = msgspec.structs.replace(last, content=None, tool_calls=done)
    asking = msgspec.structs.replace(last, tool_calls=left)
    return (*messages[:-1], asked, *results, asking)


def _message(event: ToolCalled) -> Message:
    return Message(role="tool", content=event.result, tool_call_id=event.call.id)
