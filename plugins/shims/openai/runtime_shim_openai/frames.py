"""Chat completion chunks as server-sent event frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.types.interchange import tool_call_to_wire, usage_to_wire

if TYPE_CHECKING:
    from runtime_core.types import ChatChunk, ToolCall, ToolCallDelta, Usage

__all__ = ("DONE", "ChunkFrames")

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class ChunkFrames:
    """Encodes the frames of one stream.

    What all frames of a stream share is encoded once; a text delta then costs one JSON string.

    :param created: unix seconds.
    """

    def __init__(self, completion_id: str, created: int, model: str) -> None:
        head = _encode(
            {
                "id": completion_id,
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
            }
        )
        self._head = b"data: " + head[:-1] + b',"choices":['
        self._delta = self._head + b'{"index":0,"delta":'
        self._text = self._delta + b'{"content":'

    def role(self) -> bytes:
        """The first frame: who is speaking."""
        return self._delta + b'{"role":"assistant","content":""},"finish_reason":null}]}\n\n'

    def delta(self, chunk: ChatChunk) -> bytes:
        """The frame of a chunk's text, reasoning and tool calls; b"" when it has none."""
        if chunk.text and not chunk.tool_calls and not chunk.reasoning:
            return self._text + _encode(chunk.text) + b'},"finish_reason":null}]}\n\n'
        delta: dict[str, Any] = {}
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            delta["tool_calls"] = [_tool_call_delta(call) for call in chunk.tool_calls]
        return self._delta + _encode(delta) + b',"finish_reason":null}]}\n\n' if delta else b""

    def whole(self, text: str, calls: tuple[ToolCall, ...]) -> bytes:
        """The frame of an answer that was not streamed piece by piece."""
        delta: dict[str, Any] = {"content": text} if text else {}
        if calls:
            delta["tool_calls"] = [
                {"index": index, **tool_call_to_wire(call)} for index, call in enumerate(calls)
            ]
        return self._delta + _encode(delta) + b',"finish_reason":null}]}\n\n' if delta else b""

    def finish(self, reason: str) -> bytes:
        """The frame that says why the answer ended."""
        return self._delta + b'{},"finish_reason":' + _encode(reason) + b"}]}\n\n"

    def usage(self, usage: Usage) -> bytes:
        """The frame with the token counts, sent on ``stream_options.include_usage``."""
        return self._head + b'],"usage":' + _encode(usage_to_wire(usage)) + b"}\n\n"


def _tool_call_delta(call: ToolCallDelta) -> dict[str, Any]:
    """The first piece of a call has its id and name, later ones only arguments."""
    function: dict[str, Any] = {"arguments": call.arguments}
    if call.name is not None:
        function = {"name": call.name, **function}
    if call.id is None:
        return {"index": call.index, "function": function}
    return {"index": call.index, "id": call.id, "type": "function", "function": function}
