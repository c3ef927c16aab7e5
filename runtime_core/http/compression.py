"""gzip for answers that are worth it: known to be text, whole, and above a kilobyte."""

from __future__ import annotations

import asyncio
import gzip

__all__ = ("compressed", "is_compressible")

_Headers = list[tuple[bytes, bytes]]

_MIN_SIZE = 1024
#: From here on, compressing would hold up every other request.
_IN_THREAD = 128 * 1024
_LEVEL = 4
_TEXT = (b"application/json", b"text/", b"application/yaml", b"application/javascript")


def is_compressible(headers: _Headers) -> bool:
    """Whether an answer with these headers is to be held back and compressed."""
    length, media = 0, b""
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name == b"content-type":
            media = value
        elif name == b"content-encoding":
            return False
    return length > _MIN_SIZE and media.startswith(_TEXT) and b"event-stream" not in media


async def compressed(body: bytes, headers: _Headers) -> tuple[bytes, _Headers]:
    """Return the body and headers to send in their place."""
    if len(body) > _IN_THREAD:
        small = await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
    else:
        small = gzip.compress(body, _LEVEL, mtime=0)
    kept = [(name, value) for name, value in headers if name != b"content-length"]
    return small, [
        *kept,
        (b"content-encoding", b"gzip"),
        (b"vary", b"Accept-Encoding"),
        (b"content-length", b"%d" % len(small)),
    ]
