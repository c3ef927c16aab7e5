"""Answers for tools: decompressed, and never larger than was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import httpx
import msgspec

from runtime_core.errors import UpstreamError
from runtime_core.upstream.causes import translated
from runtime_core.upstream.decoding import Decompressor
from runtime_core.upstream.failures import upstream_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.upstream.requests import Outgoing

__all__ = ("Answer", "StreamedAnswer")

_READ_BYTES = 64 * 1024


class Answer(msgspec.Struct, frozen=True):
    """A whole answer.

    :param headers: as received; names in any case.
    :param body: decompressed.
    :param url: what answered in the end, after redirects.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    url: str


class StreamedAnswer:
    """An answer whose body arrives piece by piece: iterate over it once, or `read` it.

    ``status``, ``headers`` and ``url`` are those of `Answer`.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, sent: Outgoing, max_bytes: int | None
    ) -> None:
        self.status = response.status
        self.headers = httpx.Headers(list(response.raw_headers))
        self.url = str(sent.url)
        self._response = response
        self._sent = sent
        self._max_bytes = max_bytes

    async def read(self) -> bytes:
        """Return the whole body; see `__aiter__` for what it raises."""
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body, decompressed.

        :raises UpstreamError: it is larger than was asked for.
        :raises UpstreamProtocolError: it is damaged, or ended half-way.
        :raises UpstreamUnavailable: the connection broke.
        """
        self._expect(self._announced())
        received = 0
        with upstream_errors(self._sent.name):
            decompressor = self._decompressor()
            while piece := await self._raw_piece():
                for plain in decompressor.feed(piece) if decompressor else (piece,):
                    received += len(plain)
                    self._expect(received)
                    yield plain
            if decompressor:
                decompressor.finish()

    def _announced(self) -> int:
        return 0 if self._sent.method == "HEAD" else self._response.content_length or 0

    def _expect(self, size: int) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise UpstreamError(
                f"{self._sent.name} answered more than {self._max_bytes} bytes: ask it for less."
            )

    def _decompressor(self) -> Decompressor | None:
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity") or self._response.content.at_eof():
            return None
        return Decompressor(encoding)

    async def _raw_piece(self) -> bytes:
        try:
            return await self._response.content.read(_READ_BYTES)
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise translated(exc, self._sent.url.scheme) from exc
