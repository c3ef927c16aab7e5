"""What services answer, as results of tools."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.errors import (
    RuntimeCoreError,
    TaskFailed,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from runtime_core.types import redacted, spellings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ("MISSING", "body_text", "is_json", "json_in", "masked", "refusal")

#: What `json_in` returns when there is no JSON; null is a value.
MISSING = object()

#: How much of an error's body is told.
_SHOWN = 2048

#: Shorter secrets would be found in texts that have nothing to do with them.
_SHORTEST = 4

_BOM = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder().decode


def masked(body: bytes, secrets: Collection[str]) -> bytes:
    """Return *body* without what was sent in confidence."""
    for form in spellings(value for value in secrets if len(value) >= _SHORTEST):
        body = body.replace(form.encode("utf-8", "replace"), b"***")
    return body


def refusal(
    where: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Collection[str] = ()
) -> RuntimeCoreError:
    """Return the error for an answer that is none of success."""
    # a secret must not be cut in two before it is looked for
    text = redacted(body_text(body, headers), secrets).strip()
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    message = f"{where} answered {status}" + (f": {shown}" if shown else " without a body")
    if status == 429:
        return UpstreamRateLimited(message, retry_after=_seconds(headers.get("retry-after", "")))
    if status >= 500 or status == 408:
        return UpstreamUnavailable(message, retry_after=_seconds(headers.get("retry-after", "")))
    if 300 <= status < 400:
        message = f"{where} answered {status}, a redirect that is not followed: call its target"
    return TaskFailed(message)


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether an answer says that it is JSON."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def json_in(body: bytes) -> Any:
    """Return the JSON in *body*, `MISSING` when there is none."""
    try:
        return _decode(body.removeprefix(_BOM))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return MISSING


def body_text(body: bytes, headers: Mapping[str, str]) -> str:
    """Return *body* as text, in the character set it is said to have."""
    _, _, named = headers.get("content-type", "").lower().partition("charset=")
    name = named.partition(";")[0].strip().strip("\"'")
    try:
        codec = codecs.lookup(name).name if name else "utf-8"
        text = body.removeprefix(_BOM).decode(codec, "replace")
    except (LookupError, ValueError):
        text = body.decode(errors="replace")
    # some codecs give what no JSON can hold
    return text.encode("utf-8", "replace").decode()


def _seconds(stated: str) -> float | None:
    stated = stated.strip()
    return float(stated) if stated.isascii() and stated.isdigit() and len(stated) < 8 else None
