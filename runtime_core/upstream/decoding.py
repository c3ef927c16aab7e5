"""Compressed bodies, decompressed within bounds."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("ENCODINGS", "Decompressor")

#: What can be decompressed, as ``Accept-Encoding`` says it.
ENCODINGS = "gzip, deflate"

_ZLIB, _RAW, _GZIP = 15, -15, 31

#: No piece is larger, however much a few bytes stand for.
_PIECE = 256 * 1024


class Decompressor:
    """One body's decompression.

    :param encoding: the value of ``Content-Encoding``.
    :raises httpx.DecodingError: an encoding nobody asked for.
    """

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("gzip", "x-gzip", "deflate"):
            raise httpx.DecodingError(
                f"it is encoded with {encoding!r}; this server reads {ENCODINGS} only"
            )
        self._wbits = _ZLIB if name == "deflate" else _GZIP
        self._engine = zlib.decompressobj(self._wbits)
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what *piece* stands for, at most 256 KiB at once: stop when that is too much.

        :raises httpx.DecodingError: the bytes are damaged.
        """
        rest, plain = piece, b""
        # a full piece may have more behind it, though nothing is left to be read
        while rest or len(plain) == _PIECE:
            if self._engine.eof and not self._another_member(rest):
                return
            try:
                plain = self._decompress(rest)
            except zlib.error as exc:
                raise httpx.DecodingError(f"it cannot be decompressed: {exc}") from exc
            self._begun = True
            if plain:
                yield plain
            rest = self._engine.unused_data if self._engine.eof else self._engine.unconsumed_tail

    def finish(self) -> None:
        """Raise `httpx.DecodingError` when the end is missing; an empty body has none."""
        if self._begun and not self._engine.eof:
            raise httpx.DecodingError("its compressed body ended too early")

    def _another_member(self, data: bytes) -> bool:
        """Begin anew where gzip files follow one another; what else follows is ignored."""
        if self._wbits != _GZIP or not data.startswith(b"\x1f"):
            return False
        self._engine = zlib.decompressobj(_GZIP)
        return True

    def _decompress(self, data: bytes) -> bytes:
        try:
            return self._engine.decompress(data, _PIECE)
        except zlib.error:
            if self._begun or self._wbits != _ZLIB:
                raise
            # some services leave out the header of "deflate"
            self._wbits = _RAW
            self._engine = zlib.decompressobj(_RAW)
            return self._engine.decompress(data, _PIECE)
