"""Handlers that need no model and no hook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runtime_core.engine.handlers.answers import shorten
from runtime_core.engine.handlers.asking import PROMPTABLE
from runtime_core.engine.values import prompt_text
from runtime_core.errors import TaskFailed
from runtime_core.types import DATA_TYPES, DataType, Outcome, Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.protocols import TaskCall

__all__ = ("NoopHandler", "ParseCommandHandler", "ParseKeyValueHandler", "RaiseErrorHandler")

_ANYTHING: frozenset[Any] = DATA_TYPES
_INT = re.compile(r"[+-]?\d{1,18}")
_FLOAT = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d{1,2})?")


class NoopHandler:
    """Passes its input on."""

    accepts: frozenset[DataType] = _ANYTHING
    returns: DataType | None = None
    transitions: frozenset[str] | None = frozenset(("noop",))
    passes_input = True

    async def run(self, call: TaskCall) -> AsyncIterator[Outcome]:
        """Do nothing."""
        yield Outcome(call.value, "noop")


class RaiseErrorHandler:
    """Fails the task with its input text as the message."""

    accepts = PROMPTABLE
    returns: DataType | None = None
    transitions: frozenset[str] | None = frozenset()

    async def run(self, call: TaskCall) -> AsyncIterator[Outcome]:
        """Fail."""
        raise TaskFailed(prompt_text(call.value))
        yield  # type: ignore[unreachable]  # makes it an async generator, like every handler's


class ParseCommandHandler:
    """Finds the command of a ``/command`` text; the text passes on unchanged."""

    accepts = PROMPTABLE
    returns: DataType | None = None
    transitions: frozenset[str] | None = None
    passes_input = True

    async def run(self, call: TaskCall) -> AsyncIterator[Outcome]:
        """End with the command's name, ``pass`` where there is none, "" for an empty text."""
        yield Outcome(call.value, _command(prompt_text(call.value)))


def _command(text: str) -> str:
    words = text.split(maxsplit=1)
    if not words:
        return ""
    if not words[0].startswith("/"):
        return "pass"
    command = words[0][1:]
    if not command:
        raise TaskFailed("a lone '/' names no command; write it as '/command'")
    return command


class ParseKeyValueHandler:
    """Reads ``key=value`` or ``key: value`` pairs into a JSON object."""

    accepts = PROMPTABLE
    returns: DataType | None = "json"
    transitions: frozenset[str] | None = frozenset(("parsed",))

    async def run(self, call: TaskCall) -> AsyncIterator[Outcome]:
        """Split at ``;``, else at line ends, else at commas."""
        text = prompt_text(call.value)
        separator = next((sign for sign in (";", "\n") if sign in text), ",")
        pairs = dict(_pair(part) for part in text.split(separator) if part.strip())
        yield Outcome(Value(pairs, "json"), "parsed")


def _pair(part: str) -> tuple[str, Any]:
    sign = next((sign for sign in ("=", ":") if sign in part), None)
    if sign is None:
        raise TaskFailed(f"{shorten(part.strip())} has neither '=' nor ':' between key and value")
    key, value = part.split(sign, 1)
    return _unquoted(key), _typed(_unquoted(value))


def _unquoted(text: str) -> str:
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _typed(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return text
