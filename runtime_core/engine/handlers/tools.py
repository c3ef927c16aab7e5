"""``execute_tool_calls``: do what the model's last message asks for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.engine.handlers.hook import render_args
from runtime_core.engine.handlers.jsontext import decode_json
from runtime_core.engine.handlers.offers import Target, client_tools, targets
from runtime_core.engine.values import wire_output
from runtime_core.errors import RuntimeCoreError, TaskFailed
from runtime_core.types import ChatHistory, Message, Outcome, ToolCalled, ToolRequest, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime_core.protocols import TaskCall
    from runtime_core.types import DataType, ToolCall

__all__ = ("ToolCallsHandler",)

_PARALLEL = 16


class ToolCallsHandler:
    """Runs the hook tools among the last message's calls, side by side.

    A tool that fails is told to the model, not to the client.  Calls whose name is no hook
    tool's, such as those of the client's own tools, are left alone.
    """

    accepts: frozenset[DataType] = frozenset(("chat_history",))
    returns: DataType | None = "chat_history"
    transitions: frozenset[str] | None = frozenset(("no_op", "no_calls_found", "tools_executed"))

    async def run(self, call: TaskCall) -> AsyncIterator[ToolCalled | Outcome]:
        """Call the tools, then append one ``tool`` message for each call."""
        history: ChatHistory = call.value.data
        if not history.messages:
            yield Outcome(call.value, "no_op")
            return
        resolved = await _resolve(call, history.messages[-1].tool_calls)
        if not resolved:
            yield Outcome(call.value, "no_calls_found")
            return
        called = await _call_all(call, resolved)
        for event in called:
            yield event
        messages = (*history.messages, *(_message(event) for event in called))
        longer = msgspec.structs.replace(history, messages=messages)
        yield Outcome(Value(longer, "chat_history"), "tools_executed")


async def _resolve(call: TaskCall, tool_calls: Sequence[ToolCall]) -> list[tuple[ToolCall, Target]]:
    if not tool_calls:
        return []
    known = await targets(call)
    of_client = {tool.name for tool in client_tools(call)}
    found = ((tool_call, known.get(tool_call.function.name)) for tool_call in tool_calls)
    return [
        (tool_call, target)
        for tool_call, target in found
        if target is not None and tool_call.function.name not in of_client
    ]


async def _call_all(
    call: TaskCall, resolved: Sequence[tuple[ToolCall, Target]]
) -> list[ToolCalled]:
    fixed = render_args(call, call.task.hook.args) if call.task.hook else {}
    gate = asyncio.Semaphore(_PARALLEL)

    async def one(tool_call: ToolCall, target: Target) -> ToolCalled:
        async with gate:
            return await _call_one(call, tool_call, target, fixed)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(*pair)) for pair in resolved]
    return [task.result() for task in tasks]


async def _call_one(
    call: TaskCall, tool_call: ToolCall, target: Target, fixed: dict[str, Any]
) -> ToolCalled:
    try:
        request = ToolRequest(
            hook=target.hook,
            tool=target.tool,
            arguments={**_arguments(tool_call), **fixed},
            caller="model",
            tenant_id=call.request.tenant_id,
        )
        result = _result_text(await call.tools.call(request))
    except RuntimeCoreError as error:
        text = f"tool {tool_call.function.name} execution failed: {error}"
        return ToolCalled(call.task.id, tool_call, _json(text), failed=True)
    return ToolCalled(call.task.id, tool_call, result)


def _arguments(tool_call: ToolCall) -> dict[str, Any]:
    try:
        arguments = decode_json(tool_call.function.arguments or "{}")
    except ValueError as error:
        raise TaskFailed(f"its arguments are not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise TaskFailed("its arguments must be a JSON object")
    return arguments


def _result_text(value: Value) -> str:
    return value.data if isinstance(value.data, str) else _json(wire_output(value))


def _json(data: object) -> str:
    return msgspec.json.encode(data).decode()


def _message(event: ToolCalled) -> Message:
    return Message(role="tool", content=event.result, tool_call_id=event.call.id)
