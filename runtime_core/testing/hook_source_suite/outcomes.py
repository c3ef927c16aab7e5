"""What a call may end with: a well-formed result, or an error that says something."""

from __future__ import annotations

import asyncio
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runtime_core.errors import TaskFailed, TimedOut, UpstreamError
from runtime_core.types import DATA_TYPES, ChatCompletion, ChatHistory, ChatRequest, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime_core.errors import RuntimeCoreError
    from runtime_core.protocols import HookSource
    from runtime_core.types import ToolRequest

__all__ = ("FAILURES", "PATIENCE", "SOON", "outcome_of", "text_of_outcome")

#: What may be raised when a tool cannot do what it was asked.
FAILURES = (TaskFailed, UpstreamError, TimedOut)

#: Seconds in which what must happen at once has to have happened.
SOON = 2.0

#: Seconds after which a call that has to end is taken for one that hangs.
PATIENCE = 20.0


async def outcome_of(source: HookSource, request: ToolRequest) -> Value | RuntimeCoreError:
    """Call a tool; what it returns or raises is checked, and returned."""
    [outcome] = await asyncio.gather(
        asyncio.wait_for(source.call(request), PATIENCE), return_exceptions=True
    )
    assert not isinstance(outcome, TimeoutError), f"{_called(request)} must end, it hangs"
    if isinstance(outcome, FAILURES):
        assert str(outcome).strip(), f"the error of {_called(request)} must say what to do about it"
        return outcome
    if isinstance(outcome, BaseException):
        raise AssertionError(
            f"{_called(request)} must raise TaskFailed (the arguments, or the tool), UpstreamError "
            f"(what is behind it) or TimedOut, and not {type(outcome).__name__}: {outcome}"
        ) from outcome
    require_value(outcome)
    return outcome


def text_of_outcome(outcome: object) -> str:
    """Return all that can be read of a result or an error."""
    if isinstance(outcome, Value):
        return f"{outcome.data!r} {outcome.data}"
    notes = " ".join(getattr(outcome, "__notes__", ()))
    return f"{outcome} {outcome!r} {notes}"


def require_value(result: object) -> None:
    """Fail unless *result* is a `Value` whose data has the type it claims, and can be sent."""
    assert isinstance(result, Value), f"call() must return a Value, not {type(result).__name__}"
    assert result.type in DATA_TYPES, (
        f"the type of a Value is one of {', '.join(sorted(DATA_TYPES))}, not {result.type!r}"
    )
    fits = _TYPES.get(result.type, _is_plain)
    assert fits(result.data), (
        f"the data of a Value of type {result.type!r} must be so, and JSON; it is "
        f"{result.data!r:.200}"
    )


def _is_plain(data: Any) -> bool:
    """Whether *data* is what JSON can write."""
    if isinstance(data, dict):
        return all(isinstance(key, str) and _is_plain(value) for key, value in data.items())
    if isinstance(data, list | tuple):
        return all(map(_is_plain, data))
    if isinstance(data, str):
        return _is_text(data)
    return data is None or isinstance(data, bool | int) or _is_number(data)


def _is_text(data: Any) -> bool:
    return isinstance(data, str) and not any("\ud800" <= letter <= "\udfff" for letter in data)


def _is_number(data: Any) -> bool:
    return (isinstance(data, float) and math.isfinite(data)) or _is_whole(data)


def _is_whole(data: Any) -> bool:
    return isinstance(data, int) and not isinstance(data, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "string": _is_text,
        "int": _is_whole,
        "float": _is_number,
        "bool": lambda data: isinstance(data, bool),
        "nil": lambda data: data is None,
        "vector": lambda data: isinstance(data, list | tuple) and all(map(_is_number, data)),
        "chat_history": lambda data: isinstance(data, ChatHistory),
        "openai_chat": lambda data: isinstance(data, ChatRequest),
        "openai_chat_response": lambda data: isinstance(data, ChatCompletion),
    }
)


def _called(request: ToolRequest) -> str:
    arguments = f"{request.arguments!r}"
    shown = arguments if len(arguments) <= 200 else f"{arguments[:200]}…"
    return f"{request.hook}.{request.tool} called by a {request.caller} with {shown}"
