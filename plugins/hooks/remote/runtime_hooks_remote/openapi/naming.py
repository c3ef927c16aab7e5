"""Tools' names and descriptions."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("described", "names")

_FIT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 64
_HASH = 6


def names(operations: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    """Return a name for each operation, given as method, path and what the document says of it.

    A fit ``operationId`` is the name, to the letter; of several operations with the same one, the
    first gets it.  All others are made fit, and where that name is taken, marked by a hash of the
    method and path: a name depends on no count, so operations added at the end change none.
    """
    found: dict[int, str] = {}
    taken: set[str] = set()
    for index, (_, _, value) in enumerate(operations):
        own = value.get("operationId")
        if isinstance(own, str) and _FIT.fullmatch(own) and own not in taken:
            found[index] = own
            taken.add(own)
    for index, (method, path, value) in enumerate(operations):
        if index not in found:
            found[index] = _free(_wanted(method, path, value), f"{method} {path}", taken)
            taken.add(found[index])
    return [found[index] for index in range(len(operations))]


def described(method: str, path: str, value: Mapping[str, Any]) -> str:
    """Return an operation's description and summary; its method and path where it has neither."""
    description = _text(value, "description")
    summary = _text(value, "summary")
    if summary and summary.rstrip(".") not in description:
        description = f"{description}\n{summary}" if description else summary
    description = description or f"{method} {path}"
    if value.get("deprecated") is True:
        description += "\nThis operation is deprecated."
    return description


def _wanted(method: str, path: str, value: Mapping[str, Any]) -> str:
    """Return the text that an operation's name is made of."""
    own = value.get("operationId")
    if isinstance(own, str) and _UNFIT.sub("", own):
        return own
    extension = value.get("x-tool-name")
    if isinstance(extension, str) and _FIT.fullmatch(extension):
        return extension
    last = _UNFIT.sub("_", path.rstrip("/").rpartition("/")[2]).strip("_")
    return f"{last or 'root'}_{method.lower()}"


def _free(wanted: str, operation: str, taken: set[str]) -> str:
    name = _UNFIT.sub("_", wanted).strip("_") or "operation"
    if len(name) <= _LONGEST and name not in taken:
        return name
    digest = sha256(operation.encode()).hexdigest()
    for length in range(_HASH, len(digest)):
        marked = f"{name[: _LONGEST - length - 1]}_{digest[:length]}"
        if marked not in taken:
            return marked
    raise AssertionError("no two operations have the same method and path")


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    return text.strip() if isinstance(text, str) else ""
