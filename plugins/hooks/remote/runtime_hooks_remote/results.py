"""What services answer, as results of tools."""

from __future__ import annotations

import codecs
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.errors import (
    RuntimeCoreError,
    TaskFailed,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from runtime_core.types import Value

if TYPE_CHECKING:
    from runtime_core.protocols import EgressAnswer
    from runtime_hooks_remote.masks import Mask

__all__ = ("refusal", "result_of")

#: How much of an error's body is told.
_SHOWN = 2048

#: A binary body up to this size is passed on, in base64; of a larger one only the size.
_SMALL = 32 * 1024

_TEXTS = frozenset(
    (
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/jwt",
        "application/ndjson",
        "application/sql",
        "application/toml",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    )
)
_BOM = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder().decode


def result_of(answer: EgressAnswer, mask: Mask, *, tool: str) -> Value:
    """Return the result in a successful answer.

    :raises UpstreamProtocolError: it says it is JSON, and is not.
    """
    body = answer.body
    if not body.strip():
        return Value(None, "any")
    stated = answer.headers.get("content-type", "")
    media_type, charset = _media_type(stated)
    if media_type == "application/json" or media_type.endswith("+json"):
        return Value(_json(body, charset, mask, tool), "json")
    if (text := _text(body, media_type, charset, mask)) is not None:
        return Value(text, "string")
    described: dict[str, Any] = {"contentType": media_type, "size": len(body)}
    if len(body) <= _SMALL:
        described["base64"] = b64encode(mask.result(body)).decode()
    return Value(described, "json")


def refusal(answer: EgressAnswer, mask: Mask, *, tool: str) -> RuntimeCoreError:
    """Return the error for an answer that is none of success."""
    _, charset = _media_type(answer.headers.get("content-type", ""))
    # a credential must not be cut in two before it is looked for
    text = mask.error(_utf8(answer.body, charset).decode()).strip()
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    message = f"{tool} answered {answer.status}" + (f": {shown}" if shown else " without a body")
    if answer.status == 429:
        return UpstreamRateLimited(message, retry_after=_retry_after(answer))
    if answer.status >= 500 or answer.status == 408:
        return UpstreamUnavailable(message, retry_after=_retry_after(answer))
    if answer.status >= 400:
        return TaskFailed(message)
    return UpstreamRejected(message)


def _retry_after(answer: EgressAnswer) -> float | None:
    """Return the seconds an answer asks to wait, None where it names none."""
    stated = answer.headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdigit() and len(stated) < 8:
        return float(stated)
    return _until(stated) if stated else None


def _until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _media_type(stated: str) -> tuple[str, str]:
    """Return a media type, and the name of the codec of its texts."""
    media_type, _, parameters = stated.partition(";")
    charset = "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = _codec(value.strip().strip('"'))
    return media_type.strip().lower(), charset


def _codec(name: str) -> str:
    """Return the name of a codec of texts, UTF-8 for one that nobody knows."""
    try:
        found = codecs.lookup(name)
        b"\xff.".decode(found.name, "replace")  # not every codec reads any text there is
    except (LookupError, ValueError):
        return "utf-8"
    return found.name


def _utf8(body: bytes, charset: str) -> bytes:
    """Return a text as UTF-8; some codecs give what is no character, and no JSON can hold."""
    return body.decode(charset, "replace").encode("utf-8", "replace")


def _json(body: bytes, charset: str, mask: Mask, tool: str) -> Any:
    try:
        if charset != "utf-8":
            body = body.decode(charset).encode()
        # credentials are looked for in UTF-8: other encodings spell them in other bytes
        return _decode(mask.result(body.removeprefix(_BOM)))
    except RecursionError as error:
        raise UpstreamProtocolError(f"{tool} answered JSON of too many levels") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UpstreamProtocolError(
            f"{tool} answered what it calls JSON, and is not: {error}"
        ) from error


def _text(body: bytes, media_type: str, charset: str, mask: Mask) -> str | None:
    """Return a body that is a text, or looks like one."""
    if media_type.startswith("text/") or media_type in _TEXTS or media_type.endswith("+xml"):
        return mask.result(_utf8(body.removeprefix(_BOM), charset)).decode()
    if b"\0" in body:
        return None
    try:
        return mask.result(body).decode()
    except UnicodeDecodeError:
        return None
