"""Media types: which a request can be sent in, and which of several is taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Kind", "is_media_type", "kind_of", "preferred")

Kind = Literal["json", "form", "multipart", "text", "binary"]

# no control characters: a document must not write headers of its own
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+*-]{1,100}/[\w!#$&^.+*-]{1,100}(\s*;[ -~]{0,200})?", re.ASCII)

_KINDS: dict[str, Kind] = {
    "*/*": "json",
    "application/*": "json",
    "application/json": "json",
    "application/octet-stream": "binary",
    "application/x-www-form-urlencoded": "form",
    "multipart/form-data": "multipart",
}
_ORDER: tuple[Kind, ...] = ("json", "form", "multipart", "text", "binary")
_BINARY = ("audio/", "font/", "image/", "video/")


def is_media_type(text: str) -> bool:
    """Whether a text is a media type, which may be a range as ``image/*``."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def kind_of(media_type: str) -> Kind | None:
    """Return how a body of a media type is written; None for one that cannot be sent."""
    if not is_media_type(media_type):
        return None
    base = media_type.partition(";")[0].strip().lower()
    if base in _KINDS:
        return _KINDS[base]
    if base.endswith("+json"):
        return "json"
    if base.startswith("text/"):
        return "text"
    return "binary" if base.startswith(_BINARY) else None


def preferred(media_types: Iterable[str]) -> str | None:
    """Return the media type to send: JSON before forms before text before bytes; None for none.

    Of several kinds of JSON, the plain one; else the first.
    """

    def rank(media_type: str) -> tuple[int, bool]:
        kind = kind_of(media_type)
        return _ORDER.index(kind) if kind else len(_ORDER), media_type != "application/json"

    best = min(media_types, key=rank, default=None)
    return best if best is not None and kind_of(best) else None
