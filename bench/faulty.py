"""Model services of four protocols that fail on command, on sockets of loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

__all__ = ("DIALECTS", "FAULTS", "TEXT", "Dialect", "FaultyService")

#: What every whole answer says; the first piece is the first token.
TEXT = ("Hel", "lo ", "world")


#: Within this time the first token has most likely arrived, alone.
_ARRIVES_S = 0.02


class Dialect(NamedTuple):
    """How a provider's service speaks.

    ``piece`` encodes a piece of text as a frame, ``end`` are the frames after the last piece,
    ``failure`` encodes an error in mid-stream, ``filler`` is what may come without meaning
    anything.
    """

    provider: str
    base_path: str
    media_type: str
    listing: Callable[[Sequence[str]], Any]
    piece: Callable[[str], bytes]
    end: tuple[bytes, ...]
    failure: Callable[[int, str], bytes]
    wrap: Callable[[bytes], bytes]
    filler: bytes


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _line(data: bytes) -> bytes:
    return data + b"\n"


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def _ollama() -> Dialect:
    def said(text: str, **more: Any) -> bytes:
        message = {"role": "assistant", "content": text}
        return _line(_encoded({"model": "m", "message": message, "done": False, **more}))

    return Dialect(
        provider="ollama",
        base_path="",
        media_type="application/x-ndjson",
        listing=lambda names: {"models": [{"name": name, "digest": name} for name in names]},
        piece=said,
        end=(said("", done=True, done_reason="stop", prompt_eval_count=3, eval_count=3),),
        failure=lambda status, text: _line(_encoded({"error": text})),
        wrap=_line,
        filler=b"\n",
    )


def _openai(provider: str) -> Dialect:
    def choice(**fields: Any) -> bytes:
        chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, **fields}]}
        return _event(_encoded(chunk))

    def failure(status: int, text: str) -> bytes:
        kind = "rate_limit_error" if status == 429 else "server_error"
        return _event(_encoded({"error": {"message": text, "type": kind, "code": str(status)}}))

    return Dialect(
        provider=provider,
        base_path="/v1",
        media_type="text/event-stream",
        listing=lambda names: {"object": "list", "data": [{"id": name} for name in names]},
        piece=lambda text: choice(delta={"content": text}),
        end=(choice(delta={}, finish_reason="stop"), _event(b"[DONE]")),
        failure=failure,
        wrap=_event,
        filler=b": still there\n\n",
    )


def _gemini() -> Dialect:
    def candidate(text: str, **more: Any) -> bytes:
        content = {"role": "model", "parts": [{"text": text}]}
        return _event(_encoded({"candidates": [{"content": content, "index": 0, **more}]}))

    def listed(name: str) -> dict[str, Any]:
        return {"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]}

    def failure(status: int, text: str) -> bytes:
        return _event(_encoded({"error": {"code": status, "message": text}}))

    return Dialect(
        provider="gemini",
        base_path="",
        media_type="text/event-stream",
        listing=lambda names: {"models": [listed(name) for name in names]},
        piece=candidate,
        end=(candidate("", finishReason="STOP"),),
        failure=failure,
        wrap=_event,
        filler=b": still there\n\n",
    )


DIALECTS = {
    dialect.provider: dialect
    for dialect in (_ollama(), _openai("openai"), _openai("vllm"), _gemini())
}


class FaultyService:
    """Lists *models*, and answers chats as `fault` says; ``""`` is a whole answer.

    ``midway`` has the fault happen after the first token instead of before.  ``open`` counts the
    chats being answered, ``asked`` all there were.
    """

    def __init__(self, dialect: Dialect, models: Sequence[str]) -> None:
        self.dialect = dialect
        self.models = models
        self.fault = ""
        self.midway = False
        self.open = 0
        self.asked = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """What a backend's ``base_url`` is."""
        return f"http://127.0.0.1:{self.port}{self.dialect.base_path}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FaultyService]:
        """Listen on a port of its own."""
        await self.listen()
        try:
            yield self
        finally:
            await self.die()

    async def listen(self) -> None:
        """Listen, always on the same port; does nothing while it does."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """Stop listening and reset every connection, as a killed process does."""
        self._close()
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        lines = head.split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        await reader.readexactly(length)
        path = lines[0].split(b" ")[1].split(b"?")[0]
        if path.endswith((b"/models", b"/tags")):
            writer.write(_whole(_encoded(self.dialect.listing(self.models))))
            return True
        if path.endswith((b"/show", b"/ps")):
            writer.write(_whole(b'{"capabilities": ["completion"], "models": []}'))
            return True
        self.open += 1
        self.asked += 1
        try:
            return await _Chat(self, reader, writer).answer()
        finally:
            self.open -= 1

    def vanish(self) -> None:
        """Stop listening from inside of an answer."""
        self._close()


class _Chat:
    """One answer, whole or with the fault in it."""

    def __init__(
        self,
        service: FaultyService,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._service = service
        self._dialect = service.dialect
        self._reader = reader
        self._writer = writer

    async def answer(self) -> bool:
        """Return whether the connection can serve again."""
        service = self._service
        if not service.fault:
            self._begin()
            self._send(*map(self._dialect.piece, TEXT), *self._dialect.end)
            return self._end()
        if service.midway:
            self._begin()
            self._send(self._dialect.piece(TEXT[0]))
            await self._writer.drain()
            await asyncio.sleep(_ARRIVES_S)
        usable: bool = await FAULTS[service.fault](self, service.midway)
        return usable

    # -- the faults ------------------------------------------------------------

    async def refuse(self, midway: bool) -> bool:
        """Die: nobody listens any more."""
        self._service.vanish()
        return await self.reset(midway)

    async def reset(self, midway: bool) -> bool:
        await self._writer.drain()
        linger = struct.pack("ii", 1, 0)
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()
        return False

    async def hang(self, midway: bool) -> bool:
        await self._reader.read()
        return False

    async def drip(self, midway: bool) -> bool:
        if not midway:
            self._begin()
        while not self._reader.at_eof():
            self._send(self._dialect.filler)
            await self._writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await self._reader.read(1)
        return False

    async def nonsense(self, midway: bool) -> bool:
        if not midway:
            self._begin()
        self._send(self._dialect.wrap(b'{"cho'), self._dialect.piece(TEXT[1]), *self._dialect.end)
        return self._end()

    async def truncate(self, midway: bool) -> bool:
        if not midway:
            self._begin()
        frame = self._dialect.piece(TEXT[1])
        self._send(frame[: len(frame) // 2])
        await self._writer.drain()
        return False

    async def stop_early(self, midway: bool) -> bool:
        if not midway:
            self._begin()
        else:
            self._send(self._dialect.piece(TEXT[1]))
        return self._end()

    async def web_page(self, midway: bool) -> bool:
        page = b"<html><body>gateway says hello</body></html>\n"
        if not midway:
            self._writer.write(_whole(page, media_type="text/html"))
            return True
        self._send(page, b"\n")
        return self._end()

    async def garble(self, midway: bool) -> bool:
        """What is left of a stream whose encryption or framing broke."""
        self._writer.write(b"\x15\x03\x03\x00\x02\x02\x14" if not midway else b"zz\r\n\x15\x03\r\n")
        await self._writer.drain()
        return False

    def failing(self, status: int, midway: bool) -> bool:
        text = {429: "slow down", 500: "internal error", 503: "overloaded"}[status]
        if midway:
            self._send(self._dialect.failure(status, text))
            return self._end()
        headers = ("retry-after: 1",) if status != 500 else ()
        self._writer.write(_whole(_encoded({"error": text}), status, *headers))
        return True

    # -- what is written -------------------------------------------------------

    def _begin(self) -> None:
        head = f"HTTP/1.1 200 X\r\ncontent-type: {self._dialect.media_type}\r\n"
        self._writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())

    def _send(self, *frames: bytes) -> None:
        self._writer.writelines(b"%x\r\n%s\r\n" % (len(frame), frame) for frame in frames)

    def _end(self) -> bool:
        self._writer.write(b"0\r\n\r\n")
        return True


def _whole(
    body: bytes, status: int = 200, *headers: str, media_type: str = "application/json"
) -> bytes:
    lines = (f"HTTP/1.1 {status} X", f"content-type: {media_type}", *headers)
    head = "\r\n".join((*lines, f"content-length: {len(body)}", "", ""))
    return head.encode() + body


def _status(status: int) -> Any:
    async def fail(chat: _Chat, midway: bool) -> bool:
        return chat.failing(status, midway)

    return fail


#: The faults of a service that was listed, by name; each is told whether the first token is out.
FAULTS: dict[str, Any] = {
    "refused": _Chat.refuse,
    "reset": _Chat.reset,
    "hang": _Chat.hang,
    "slow drip": _Chat.drip,
    "429": _status(429),
    "500": _status(500),
    "503": _status(503),
    "wrong JSON": _Chat.nonsense,
    "truncated": _Chat.truncate,
    "no terminator": _Chat.stop_early,
    "wrong type": _Chat.web_page,
    "TLS broken": _Chat.garble,
}
