"""Tool names a model's provider accepts, and the way back to ours.

Hook tools are named ``<hook>.<tool>`` here; providers take ``[A-Za-z0-9_-]{1,64}``.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from runtime_core.types import ChatChunk, FunctionCall, Message, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("ToolNames",)

_VALID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INVALID_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
_DIGEST_LENGTH = 8


class ToolNames:
    """Translates between our tool names and those sent to the provider, without collisions."""

    def __init__(self, names: Iterable[str]) -> None:
        self._sent: dict[str, str] = {}
        self._ours: dict[str, str] = {}
        # valid names first: they keep themselves, whatever the others turn into
        for name in sorted(dict.fromkeys(names), key=lambda name: not _VALID.fullmatch(name)):
            sent = self._free(name)
            self._sent[name] = sent
            self._ours[sent] = name

    def _free(self, name: str) -> str:
        sent = _sendable(name)
        return _digested(name) if sent in self._ours else sent

    def sent(self, name: str) -> str:
        """Return the name to send for *name*."""
        return self._sent.get(name) or _sendable(name)

    def ours(self, name: str) -> str:
        """Return our name for one that came from the provider."""
        return self._ours.get(name, name)

    def message(self, message: Message) -> Message:
        """Return *message* as it is sent."""
        if not message.tool_calls and message.role != "tool":
            return message
        calls = tuple(
            call
            if _VALID.fullmatch(call.function.name)
            else _renamed(call, self.sent(call.function.name))
            for call in message.tool_calls
        )
        name = self.sent(message.name) if message.name else message.name
        if name == message.name and calls == message.tool_calls:
            return message
        return msgspec.structs.replace(message, tool_calls=calls, name=name)

    def chunk(self, chunk: ChatChunk) -> ChatChunk:
        """Return *chunk*, as it came from the provider, in our names."""
        if not any(piece.name for piece in chunk.tool_calls):
            return chunk
        pieces = tuple(
            msgspec.structs.replace(piece, name=self.ours(piece.name)) if piece.name else piece
            for piece in chunk.tool_calls
        )
        return msgspec.structs.replace(chunk, tool_calls=pieces)


def _renamed(call: ToolCall, name: str) -> ToolCall:
    return ToolCall(call.id, FunctionCall(name, call.function.arguments), call.type)


def _sendable(name: str) -> str:
    if _VALID.fullmatch(name):
        return name
    sent = _INVALID_CHARACTER.sub("_", name)
    return sent if sent and len(sent) <= 64 else _digested(name)


def _digested(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    return f"{_INVALID_CHARACTER.sub('_', name)[: 63 - _DIGEST_LENGTH]}_{digest}"
