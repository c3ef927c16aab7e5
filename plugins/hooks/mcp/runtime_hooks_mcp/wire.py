"""What a connection and the task that owns it tell each other."""

from __future__ import annotations

import asyncio
import logging

from runtime_core.types import redacted

__all__ = ("UNREACHABLE", "Wire")

logger = logging.getLogger("runtime.mcp")

#: The JSON-RPC code, of ours, under which a request learns that the server cannot be reached.
UNREACHABLE = -32098

_TELL = 5
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
        self._strange = 0
        self._hidden: set[str] = set()

    def hide(self, value: str) -> None:
        """Remember a credential that the server gets, as a whole and word by word."""
        if value not in self._hidden:
            self._hidden.update((value, *(word for word in value.split() if len(word) >= _WORD)))

    def masked(self, text: str) -> str:
        """Return *text* without the credentials, which the server may repeat."""
        return redacted(text, self._hidden) if self._hidden else text

    def suspect(self, reason: str) -> None:
        """Note that something failed, which the server may or may not survive."""
        self.reason = reason
        self.look.set()

    def end(self, reason: str) -> None:
        """Note that the connection is over; the first reason counts."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()
            self.look.set()

    def strange(self, line: bytes) -> None:
        """Log a line that is no message: the first few aloud."""
        self._strange += 1
        level = logging.WARNING if self._strange <= _TELL else logging.DEBUG
        logger.log(level, "MCP server %r wrote what is no message: %.200r", self.name, line[:200])
