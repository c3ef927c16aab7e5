"""The fake server's answers to chats, in OpenAI's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from runtime_openai_wire._loopback import Break

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("CREATED", "Script", "completion", "events")

CREATED = 1_700_000_000

_Json = dict[str, Any]


class Script(Struct, frozen=True, kw_only=True):
    """What to answer a chat with."""

    pieces: tuple[str, ...] = ()
    tool_calls: tuple[tuple[str, str], ...] = ()
    finish_reason: str | None = None
    usage: tuple[int, int] | None = None
    pause: float = 0.0
    breaks: bool = False


def completion(body: _Json, script: Script) -> _Json:
    """Return a whole completion."""
    message: _Json = {"role": "assistant", "content": "".join(script.pieces) or None}
    if script.tool_calls:
        message["tool_calls"] = [_call(i, *call) for i, call in enumerate(script.tool_calls)]
    elif message["content"] is None:
        message["content"] = ""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(script)}
    return _frame(body, "chat.completion", choices=[choice], usage=_usage(body, script))


def events(body: _Json, script: Script) -> Iterator[tuple[float, bytes]]:
    """Yield pause and frame of each event of a streamed completion."""
    options = body.get("stream_options") or {}
    usage = {"usage": None} if options.get("include_usage") else {}

    def chunk(delta: _Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event(_frame(body, "chat.completion.chunk", choices=[choice], **usage))

    yield 0.0, chunk({"role": "assistant", "content": None if script.tool_calls else ""})
    for number, piece in enumerate(script.pieces):
        yield script.pause if number else 0.0, chunk({"content": piece})
    if script.breaks:
        yield 0.05, b": flushed\n\n"  # what was sent must leave before the reset discards it
        raise Break
    for index, call in enumerate(script.tool_calls):
        for delta in _call_deltas(index, *call):
            yield script.pause, chunk({"tool_calls": [delta]})
    yield 0.0, chunk({}, _finish(script))
    if usage:
        frame = _frame(body, "chat.completion.chunk", choices=[], usage=_usage(body, script))
        yield 0.0, _event(frame)
    yield 0.0, b"data: [DONE]\n\n"


def _usage(body: _Json, script: Script) -> _Json:
    words = sum(len(str(message.get("content") or "").split()) for message in body["messages"])
    said = len("".join(script.pieces).split()) + len(script.tool_calls)
    prompt, completion = script.usage or (words, said)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _finish(script: Script) -> str:
    return script.finish_reason or ("tool_calls" if script.tool_calls else "stop")


def _call(index: int, name: str, arguments: str) -> _Json:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_fake_{index}", "type": "function", "function": function}


def _call_deltas(index: int, name: str, arguments: str) -> Iterator[_Json]:
    yield {"index": index, **_call(index, name, "")}
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


def _event(frame: _Json) -> bytes:
    return b"data: " + msgspec.json.encode(frame) + b"\n\n"
