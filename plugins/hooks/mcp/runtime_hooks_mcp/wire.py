"""What a connection and the task that owns it tell each other."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("UNREACHABLE", "Wire", "masked")

logger = logging.getLogger("runtime.mcp")

#: The JSON-RPC code, of ours, under which a request learns that the server cannot be reached.
UNREACHABLE = -32098

_TELL = 5


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


def masked(text: str, values: Iterable[str]) -> str:
    """Return *text* without the secret *values*."""
    for value in values:
        if len(value) >= 4:
            text = text.replace(value, "***")
    return text
