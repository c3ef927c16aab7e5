"""A fake OpenAI upstream that is much faster than anything measured against it.

A raw asyncio protocol with httptools on uvloop; every answer is prepared bytes.  What the answer
looks like is chosen by the request's own text, so that any gateway passes the choice on:

* without ``"stream": true``: a completion of one kilobyte;
* with it: the same text in 64 chunks, all in one write;
* ``pace=N`` in a message, streaming: the chunks are N milliseconds apart, and each one carries
  the time it was sent (``piece:<CLOCK_MONOTONIC nanoseconds>``), which any process of the same
  machine can compare with the time it arrived.

Run as ``python -m bench.upstream``: prints ``{"port": N}`` when it listens.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import struct
import sys
import time
from typing import Any

import httptools
import uvloop

__all__ = ("CHUNKS", "MODEL", "Upstream", "answer", "main")

MODEL = "bench-model"
CHUNKS = 64
_CREATED = 1_700_000_000
_VECTOR = [1.0, 0.0, 0.0, 0.0]
_PACE = re.compile(rb"pace=(\d+)")
_TEXTS = [f"piece{number:02d} of it " for number in range(CHUNKS)]
_USAGE = {"prompt_tokens": 40, "completion_tokens": CHUNKS, "total_tokens": 40 + CHUNKS}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def answer(value: object, status: str = "200 OK") -> bytes:
    """Return a whole HTTP response of JSON."""
    body = _json(value)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def _completion() -> bytes:
    message = {"role": "assistant", "content": "".join(_TEXTS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return answer(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": _CREATED,
            "model": MODEL,
            "choices": [choice],
            "usage": _USAGE,
        }
    )


def _chunk(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": _CREATED}
    event: dict[str, Any] = {**head, "model": MODEL, "choices": choices}
    if usage:
        event["usage"] = usage
    return b"data: " + _json(event) + b"\n\n"


def _content(text: str) -> bytes:
    delta = {"content": text}
    return _chunk([{"index": 0, "delta": delta, "finish_reason": None}])


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _embeddings(vector: list[float] | str) -> bytes:
    row = {"object": "embedding", "index": 0, "embedding": vector}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return answer({"object": "list", "data": [row], "model": MODEL, "usage": usage})


_MODEL_ROW = {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "bench"}
_MODELS = answer({"object": "list", "data": [_MODEL_ROW]})
_FLOATS = _embeddings(_VECTOR)
_BASE64 = _embeddings(base64.b64encode(struct.pack("<4f", *_VECTOR)).decode())
_NOT_FOUND = answer({"error": {"message": "no such route", "type": "invalid"}}, "404 Not Found")
_COMPLETION = _completion()
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_ROLE = _framed(
    _chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
)
_FINISH = _framed(_chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
_USAGE_CHUNK = _framed(_chunk([], _USAGE))
_DONE = _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
_TOKENS = b"".join(_framed(_content(text)) for text in _TEXTS)
_STREAM = _STREAM_HEAD + _ROLE + _TOKENS + _FINISH + _DONE
_STREAM_USAGE = _STREAM_HEAD + _ROLE + _TOKENS + _FINISH + _USAGE_CHUNK + _DONE
_PACED_HEAD, _PACED_TAIL = _content("piece:@ ").split(b"@")


class Upstream(asyncio.Protocol):
    """One connection: requests are answered in order, with prepared bytes."""

    __slots__ = ("_body", "_left", "_parser", "_tail", "_timer", "_transport", "_url")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a paced stream whose reader has left."""
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is not HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._body = b""

    def on_url(self, url: bytes) -> None:
        """Keep the path."""
        self._url = url

    def on_body(self, body: bytes) -> None:
        """Keep the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        url = self._url
        if url.endswith(b"/chat/completions"):
            self._chat(self._body)
        elif url.endswith(b"/embeddings"):
            self._transport.write(_BASE64 if b"base64" in self._body else _FLOATS)
        elif url.endswith(b"/models"):
            self._transport.write(_MODELS)
        else:
            self._transport.write(_NOT_FOUND)

    def _chat(self, body: bytes) -> None:
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self._transport.write(_COMPLETION)
            return
        usage = b"include_usage" in body
        pace = _PACE.search(body)
        if pace is None:
            self._transport.write(_STREAM_USAGE if usage else _STREAM)
            return
        self._left = CHUNKS
        self._tail = _FINISH + (_USAGE_CHUNK if usage else b"") + _DONE
        self._transport.write(_STREAM_HEAD + _ROLE)
        self._next(int(pace[1]) / 1000)

    def _next(self, pace: float) -> None:
        sent = b"%d" % time.perf_counter_ns()
        self._transport.write(_framed(_PACED_HEAD + sent + _PACED_TAIL))
        self._left -= 1
        if self._left:
            self._timer = asyncio.get_running_loop().call_later(pace, self._next, pace)
        else:
            self._timer = None
            self._transport.write(self._tail)


async def _serve(port: int, protocol: type[Upstream]) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main(protocol: type[Upstream] = Upstream) -> None:
    """Serve on the port named by the first argument (default: any free one) until killed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0, protocol))


if __name__ == "__main__":
    main()
