"""Credentials that go into calls, and how they are kept out of what comes back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runtime_core.types import spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("REFERENCE", "Mask", "is_sensitive")

_SENSITIVE = re.compile(
    r"auth|key|token|secret|passw|cookie|session|credential|signature", re.IGNORECASE
)

#: How a value refers to a secret.
REFERENCE = re.compile(r"\{\{\s*secret\s*:[^{}]*\}\}")

_PAIR = re.compile(r'[^\s;,="]=\s*"?([^\s;,"]+)')

#: Shorter values would be found in texts that have nothing to do with them.
_SHORTEST = 6

_HIDDEN = "***"


def is_sensitive(name: str, value: str) -> bool:
    """Whether a value is a credential, as far as its header's or property's name tells."""
    return bool(_SENSITIVE.search(name) or REFERENCE.search(value))


class Mask:
    """Replaces what one hook sends, in every spelling, by ``***``.

    :param secrets: credentials, which nobody gets to see.
    :param others: what an operator put into the call besides, which errors do not repeat.
    """

    def __init__(self, secrets: Iterable[str] = (), others: Iterable[str] = ()) -> None:
        hidden = [*_worth(part for text in secrets for part in _parts(text))]
        self._secrets = [form.encode("utf-8", "replace") for form in spellings(hidden)]
        self._all = spellings([*hidden, *_worth(others)])

    def result(self, body: bytes) -> bytes:
        """Return a wanted answer without credentials."""
        for form in self._secrets:
            if form in body:
                body = body.replace(form, _HIDDEN.encode())
        return body

    def error(self, text: str) -> str:
        """Return what is said of a failure without anything that was put into the call."""
        for form in self._all:
            text = text.replace(form, _HIDDEN)
        return text


def _parts(text: str) -> Iterator[str]:
    """Yield a value, and the credentials in ``Bearer X`` and in ``a=X; b=Y``."""
    yield text
    scheme, space, rest = text.partition(" ")
    if space and scheme.isalpha():
        yield rest.strip()
    yield from (match[1] for match in _PAIR.finditer(text))


def _worth(values: Iterable[str]) -> Iterator[str]:
    return (value for value in values if len(value) >= _SHORTEST)
