"""Arguments as texts, numbers and headers, or an error that says what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.errors import TaskFailed

if TYPE_CHECKING:
    from runtime_core.types import ToolRequest

__all__ = ("headers_of", "optional_text", "query_of", "required_text")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def required_text(request: ToolRequest, name: str) -> str:
    """Return a text that has to be there.

    :raises TaskFailed: it is missing, empty or no text.
    """
    if text := optional_text(request, name):
        return text
    raise TaskFailed(f"{request.hook} needs the argument {name!r}, a text")


def optional_text(request: ToolRequest, name: str, default: str = "") -> str:
    """Return a text, *default* where it is left out.

    :raises TaskFailed: it is there, and no text.
    """
    value = request.arguments.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise TaskFailed(f"{request.hook}: the argument {name!r} must be a text")
    return value.strip() or default


def headers_of(request: ToolRequest) -> dict[str, str]:
    """Return the argument ``headers``: an object, or the JSON text of one.

    :raises TaskFailed: it is neither.
    """
    given = _object(request, "headers")
    for name, value in given.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise TaskFailed(f"{request.hook}: the header {name!r} must have a text as its value")
    return {str(name): str(value) for name, value in given.items()}


def query_of(request: ToolRequest) -> str | list[tuple[str, str]] | None:
    """Return the argument ``query``: a query's text, or an object as pairs; None: left out.

    :raises TaskFailed: it is neither.
    """
    given = request.arguments.get("query")
    if isinstance(given, str):
        return given.removeprefix("?")
    if given is None:
        return None
    pairs = _object(request, "query").items()
    return [(str(name), _plain(one)) for name, value in pairs for one in _each(value)]


def _object(request: ToolRequest, name: str) -> dict[Any, Any]:
    given = request.arguments.get(name)
    if isinstance(given, str):
        try:
            given = _decode(given) if given.strip() else None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise TaskFailed(
                f"{request.hook}: the argument {name!r} must be an object, or its JSON: {error}"
            ) from error
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise TaskFailed(f"{request.hook}: the argument {name!r} must be an object, or its JSON")
    return given


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()
