"""What a connection and the task that owns it tell each other."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING

from runtime_core.types import spellings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ("UNREACHABLE", "Wire")

logger = logging.getLogger("runtime.mcp")

#: The JSON-RPC code, of ours, under which a request learns that the server cannot be reached.
UNREACHABLE = -32098

_TELL = 5
_SHOWN = 200
_READ = 4096
_REFERENCE = re.compile(r"\{\{\s*secret\s*:[^{}]*\}\}")
#: Shorter words are seldom secret, and stand in every other sentence.
_WORD = 6


class Wire:
    """The state of one connection to one MCP server.

    ``look`` is set when the list of tools has to be read again, for whatever reason; ``ended``
    when nothing more can come, and ``reason`` then says why.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.look = asyncio.Event()
        self.ended = asyncio.Event()
        self.reason = ""
        self._left = False
        self._strange = 0
        self._revealed: dict[str, str] = {}
        self._hidden: set[str] = set()
        self._secrets: set[str] = set()
        self._forms: tuple[str, ...] = ()
        self._secret_forms: tuple[str, ...] = ()

    async def revealed(self, template: str, reveal: Callable[[str], Awaitable[str]]) -> str:
        """Return what the server gets for a configured value, and hide it from now on.

        :param reveal: replaces ``{{secret:NAME}}`` in a text.
        """
        value = await reveal(template)
        if self._revealed.get(template) != value:
            self._hide(value, [await reveal(each) for each in _REFERENCE.findall(template)])
            self._revealed[template] = value
        return value

    def masked(self, text: str) -> str:
        """Return what is said of a failure, or logged, without anything the server was given."""
        return _without(self._forms, text)

    @property
    def has_secrets(self) -> bool:
        """Whether `masked_result` has anything to look for."""
        return bool(self._secret_forms)

    def masked_result(self, text: str) -> str:
        """Return a part of a wanted result without secrets."""
        return _without(self._secret_forms, text)

    def suspect(self, reason: str) -> None:
        """Note that something failed, which the server may or may not survive."""
        self.reason = reason
        self.look.set()

    def end(self, reason: str) -> None:
        """Note that the connection is over; the first reason counts."""
        if not (self.ended.is_set() or self._left):
            self.reason = reason
            self.ended.set()
            self.look.set()

    def leave(self) -> None:
        """Note that it is ended from here: what follows from that is no reason."""
        self._left = True

    def strange(self, line: bytes) -> None:
        """Log a line that is no message: the first few aloud."""
        self._strange += 1
        level = logging.WARNING if self._strange <= _TELL else logging.DEBUG
        text = self.masked(line[:_READ].decode("utf-8", "backslashreplace"))[:_SHOWN]
        logger.log(level, "MCP server %r wrote what is no message: %r", self.name, text)

    def _hide(self, value: str, secrets: Iterable[str]) -> None:
        """Hide a value as a whole and word by word, and the secrets in it."""
        self._secrets.update(secrets)
        self._hidden.update(self._secrets, _worth((value, *value.split())))
        self._forms = spellings(self._hidden)
        self._secret_forms = spellings(_worth(self._secrets))


def _worth(values: Iterable[str]) -> Iterable[str]:
    return (value for value in values if len(value) >= _WORD)


def _without(forms: tuple[str, ...], text: str) -> str:
    for form in forms:
        text = text.replace(form, "***")
    return text
