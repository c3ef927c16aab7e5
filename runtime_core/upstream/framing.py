"""Bodies that arrive piece by piece, cut into lines and events.

Everything works on bytes: a character that is split between two pieces is never looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.errors import UpstreamProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    import httpx

__all__ = ("MAX_EVENT_BYTES", "LineDecoder", "SSEDecoder", "ndjson", "pieces_of", "sse_data")

#: A line or event longer than this (16 MiB) is refused: it would be held in memory whole.
MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_CR = 0x0D
_LINE_ENDS = b"\r\n"


async def ndjson(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a body of JSON lines, without line ends; blank ones are left out.

    :raises UpstreamProtocolError: a line is longer than `MAX_EVENT_BYTES`.
    """
    decoder = LineDecoder()
    async for piece in pieces_of(response):
        for line in decoder.feed(piece):
            if line and not line.isspace():
                yield line
    last = decoder.rest()
    if last and not last.isspace():
        yield last


async def sse_data(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Yield the data of each event of a server-sent event stream.

    All line ends, comments, data of several lines and the byte order mark are understood as the
    standard says; beyond it, an event that ends with the body instead of a blank line counts.

    :raises UpstreamProtocolError: an event is longer than `MAX_EVENT_BYTES`.
    """
    decoder = SSEDecoder()
    async for piece in pieces_of(response):
        for data in decoder.feed(piece):
            yield data
    for data in decoder.rest():
        yield data


def pieces_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Iterate over a body as it arrives, decompressed if the service insisted on compressing."""
    if response.is_stream_consumed or "content-encoding" in response.headers:
        return response.aiter_bytes()
    return response.aiter_raw()


class LineDecoder:
    """Cuts pieces of bytes into lines at LF; CR before it is left to the JSON decoder."""

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that *piece* completes."""
        lines = piece.split(b"\n")
        if len(lines) > 1 and self._unfinished:
            lines[0] = b"".join((*self._unfinished, lines[0]))
            self._unfinished, self._size = [], 0
        last = lines.pop()
        if last:
            self._unfinished.append(last)
            self._size = _checked(self._size + len(last))
        return lines

    def rest(self) -> bytes:
        """Return the last line, which has no line end."""
        return b"".join(self._unfinished)


class SSEDecoder:
    """Cuts pieces of bytes into the data of server-sent events."""

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []
        self._data: list[bytes] = []
        self._pending = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that *piece* completes."""
        if self._after_cr and piece:
            # the second half of a CR LF that was split between two pieces
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        if not piece:
            return []
        # bytes, unlike str, are split at CR LF, CR and LF only
        lines = piece.splitlines()
        self._after_cr = piece[-1] == _CR
        last = lines.pop() if piece[-1] not in _LINE_ENDS else b""
        if lines and self._unfinished:
            lines[0] = b"".join((*self._unfinished, lines[0]))
            self._unfinished = []
        events = self._events(lines)
        if last:
            self._unfinished.append(last)
        waiting = self._unfinished or self._data
        self._pending = _checked(self._pending + len(piece)) if waiting and not events else 0
        return events

    def rest(self) -> list[bytes]:
        """Return the data of an event that has no end."""
        return self._events([b"".join(self._unfinished), b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                continue
            if self._at_start:
                self._at_start = False
                line = line.removeprefix(_BOM)
            if line.startswith(b"data: "):
                data.append(line[6:])
            elif line.startswith(b"data:"):
                data.append(line[5:])
            elif line == b"data":
                data.append(b"")
        return events


def _checked(size: int) -> int:
    if size > MAX_EVENT_BYTES:
        raise UpstreamProtocolError(
            f"The service sent more than {MAX_EVENT_BYTES} bytes without ending the line or event."
        )
    return size
