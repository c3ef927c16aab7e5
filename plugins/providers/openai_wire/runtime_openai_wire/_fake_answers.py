"""The fake server's answers to chats, in OpenAI's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from runtime_core.types import ToolCall, Usage  # noqa: TC001 - msgspec resolves annotations
from runtime_openai_wire._loopback import Break

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("CREATED", "Script", "completion", "event", "events")

CREATED = 1_700_000_000

_Json = dict[str, Any]


class Script(Struct, frozen=True, kw_only=True):
    """What to answer a chat with."""

    pieces: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    pause: float = 0.0
    breaks: bool = False


def completion(body: _Json, script: Script) -> _Json:
    """Return a whole completion."""
    message: _Json = {"role": "assistant", "content": "".join(script.pieces) or None}
    if script.tool_calls:
        message["tool_calls"] = script.tool_calls
    elif message["content"] is None:
        message["content"] = ""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(script)}
    usage = {"usage": _usage(script.usage)} if script.usage is not None else {}
    return _frame(body, "chat.completion", choices=[choice], **usage)


def events(body: _Json, script: Script) -> Iterator[tuple[float, bytes]]:
    """Yield pause and frame of each event of a streamed completion."""
    options = body.get("stream_options") or {}
    unknown = {"usage": None} if options.get("include_usage") else {}

    def chunk(delta: _Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(_frame(body, "chat.completion.chunk", choices=[choice], **unknown))

    yield 0.0, chunk({"role": "assistant", "content": None if script.tool_calls else ""})
    for piece in script.reasoning:
        yield 0.0, chunk({"reasoning_content": piece})
    for number, piece in enumerate(script.pieces):
        yield script.pause if number else 0.0, chunk({"content": piece})
    if script.breaks:
        yield 0.05, b": flushed\n\n"  # what was sent must leave before the reset discards it
        raise Break
    for index, call in enumerate(script.tool_calls):
        for delta in _call_deltas(index, call):
            yield script.pause, chunk({"tool_calls": [delta]})
    yield 0.0, chunk({}, _finish(script))
    if script.usage is not None and options.get("include_usage"):
        usage = _usage(script.usage)
        yield 0.0, event(_frame(body, "chat.completion.chunk", choices=[], usage=usage))
    yield 0.0, b"data: [DONE]\n\n"


def _usage(usage: Usage) -> _Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _finish(script: Script) -> str:
    return script.finish_reason or ("tool_calls" if script.tool_calls else "stop")


def _call_deltas(index: int, call: ToolCall) -> Iterator[_Json]:
    name, arguments = call.function.name, call.function.arguments
    function = {"name": name, "arguments": ""}
    yield {"index": index, "id": call.id, "type": "function", "function": function}
    for start in range(0, len(arguments), 8):
        yield {"index": index, "function": {"arguments": arguments[start : start + 8]}}


def _frame(body: _Json, kind: str, **rest: Any) -> _Json:
    return {
        "id": "chatcmpl-fake",
        "object": kind,
        "created": CREATED,
        "model": body["model"],
        "system_fingerprint": "fp_fake",
        **rest,
    }


def event(data: Any) -> bytes:
    """Return an event; *data* is encoded unless it is bytes."""
    encoded = data if isinstance(data, bytes) else msgspec.json.encode(data)
    return b"data: " + encoded + b"\n\n"
