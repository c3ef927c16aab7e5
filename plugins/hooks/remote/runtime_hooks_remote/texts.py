"""Values as the texts that URLs, headers and forms are made of."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import msgspec

from runtime_core.errors import TaskFailed

__all__ = ("escaped", "escaped_reserved", "is_token", "plain", "require_field_text")

_encode = msgspec.json.Encoder().encode

#: What `allowReserved` leaves as it is: not what ends a value or begins the next one.
_RESERVED = ":/?@!$'()*,"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def plain(value: Any) -> str:
    """Return a value as text: texts as they are, everything else as JSON writes it."""
    return value if isinstance(value, str) else _encode(value).decode()


def escaped(value: Any) -> str:
    """Return a value percent-encoded, all but letters, digits and ``-._~``."""
    return quote(value if isinstance(value, str) else _encode(value), safe="")


def escaped_reserved(value: Any) -> str:
    """Return a value percent-encoded, all but what may stand in a query without changing it."""
    return quote(value if isinstance(value, str) else _encode(value), safe=_RESERVED)


def is_token(name: str) -> bool:
    """Whether a name is what HTTP calls a token, as those of headers and cookies must be."""
    return _TOKEN.fullmatch(name) is not None


def require_field_text(text: str, what: str) -> str:
    """Return a text as it can stand in a header.

    :raises TaskFailed: it holds a line break or another control character, which would begin a
        header, or a request, of its own.
    """
    if _CONTROL.search(text):
        raise TaskFailed(f"{what} holds a line break or another control character: leave it out")
    return text.strip()
