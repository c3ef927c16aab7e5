"""Calling one tool for a model, whatever the tool does."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from runtime_core.engine.handlers.jsontext import decode_json
from runtime_core.engine.values import wire_output
from runtime_core.errors import RuntimeCoreError, TaskFailed, TimedOut
from runtime_core.types import ToolCalled, ToolRequest

if TYPE_CHECKING:
    from runtime_core.engine.handlers.offers import Target
    from runtime_core.protocols import TaskCall
    from runtime_core.types import ToolCall, Value

__all__ = ("ToolLimits", "call_tool", "refused")

logger = logging.getLogger(__name__)

#: Seconds that a tool has to stop once it is told to.
_GRACE = 1.0


class ToolLimits(NamedTuple):
    """How long a model's tool call may take, in seconds, and its result be, in characters."""

    seconds: float = 60.0
    characters: int = 100_000


async def call_tool(
    call: TaskCall, tool_call: ToolCall, target: Target, fixed: dict[str, Any], limits: ToolLimits
) -> ToolCalled:
    """Call a tool; whatever it does wrong is told to the model.

    :param fixed: arguments that win over the model's.
    """
    try:
        request = ToolRequest(
            hook=target.hook,
            tool=target.tool,
            arguments={**_arguments(tool_call), **fixed},
            caller="model",
            tenant_id=call.request.tenant_id,
        )
        result = _result_text(await _answer(call, request, limits.seconds))
    except RuntimeCoreError as error:
        return refused(call, tool_call, str(error), limits)
    return ToolCalled(call.task.id, tool_call, _written(_cut(result, limits.characters)))


def refused(call: TaskCall, tool_call: ToolCall, reason: str, limits: ToolLimits) -> ToolCalled:
    """Return what the model is told of a call that failed."""
    text = f"tool {tool_call.function.name} execution failed: {_cut(reason, limits.characters)}"
    return ToolCalled(call.task.id, tool_call, _json(_written(text)), failed=True)


async def _answer(call: TaskCall, request: ToolRequest, seconds: float) -> Value:
    """Call the tool in a task of its own: it may be a plugin's, and do anything.

    :raises TimedOut: it took longer than *seconds*.
    :raises TaskFailed: it broke; what is wrong is logged, and not for the model.
    """
    asked = asyncio.create_task(_ask(call, request))
    try:
        done, _ = await asyncio.wait((asked,), timeout=seconds)
    finally:
        if not asked.done():
            asked.cancel()
            await asyncio.wait((asked,), timeout=_GRACE)
    if not done:
        raise TimedOut(f"no answer within {seconds:g} s")
    error = asyncio.CancelledError() if asked.cancelled() else asked.exception()
    if error is None:
        return asked.result()
    if isinstance(error, RuntimeCoreError):
        raise error
    logger.error(
        "run %s: tool %s.%s broke",
        call.request.run_id,
        request.hook,
        request.tool,
        exc_info=error,
    )
    raise TaskFailed("it failed unexpectedly") from error


async def _ask(call: TaskCall, request: ToolRequest) -> Value:
    return await call.tools.call(request)


def _arguments(tool_call: ToolCall) -> dict[str, Any]:
    try:
        arguments = decode_json(tool_call.function.arguments or "{}")
    except ValueError as error:
        raise TaskFailed(f"its arguments are not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise TaskFailed("its arguments must be a JSON object")
    return arguments


def _result_text(value: Value) -> str:
    if isinstance(value.data, str):
        return value.data
    try:
        return _json(wire_output(value))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise TaskFailed("its result cannot be written as JSON") from error


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: these are the first {most} of {len(text)} characters]"


def _written(text: str) -> str:
    """Return *text* as it can be sent on: halves of surrogate pairs cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _json(data: object) -> str:
    return msgspec.json.encode(data).decode()
