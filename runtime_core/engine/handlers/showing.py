"""What of a model's tool calls a chat client gets to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from runtime_core.types import ChatChunk

if TYPE_CHECKING:
    from collections.abc import Collection

    from runtime_core.types import ToolCallDelta

__all__ = ("Parts", "Showing")

_NOTHING = ChatChunk()


class Parts(NamedTuple):
    """A chunk taken apart; None is a part that has nothing in it."""

    shown: ChatChunk | None
    hidden: ChatChunk | None = None


class Showing:
    """Keeps from a client the calls of tools that it does not have: those are executed here.

    Calls that are shown are counted anew, since clients expect them without gaps.

    :param tools: the names of the client's tools.
    """

    def __init__(self, tools: Collection[str]) -> None:
        self._tools = tools
        self._indexes: dict[int, int | None] = {}
        self._count = 0

    def parts(self, chunk: ChatChunk) -> Parts:
        """Take a chunk with pieces of tool calls apart."""
        shown: list[ToolCallDelta] = []
        hidden: list[ToolCallDelta] = []
        for piece in chunk.tool_calls:
            index = self._index(piece)
            if index is None:
                hidden.append(piece)
            else:
                shown.append(msgspec.structs.replace(piece, index=index))
        rest = msgspec.structs.replace(chunk, tool_calls=tuple(shown))
        return Parts(
            None if rest == _NOTHING else rest,
            ChatChunk(tool_calls=tuple(hidden)) if hidden else None,
        )

    def _index(self, piece: ToolCallDelta) -> int | None:
        if piece.index not in self._indexes:
            visible = piece.name is not None and piece.name in self._tools
            self._indexes[piece.index] = self._count if visible else None
            self._count += visible
        return self._indexes[piece.index]
