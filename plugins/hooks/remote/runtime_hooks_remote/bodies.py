"""Request bodies: arguments to bytes and their media type."""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from runtime_core.errors import TaskFailed
from runtime_hooks_remote.styles import query_writer
from runtime_hooks_remote.texts import escaped, plain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runtime_hooks_remote.shapes import Body, Property
    from runtime_hooks_remote.styles import Writer

__all__ = ("BodyWriter", "body_writer")

_encode = msgspec.json.Encoder().encode

#: What a range of media types is sent as.
_CONCRETE = {
    "*/*": "application/json",
    "application/*": "application/json",
    "text/*": "text/plain",
    "audio/*": "application/octet-stream",
    "font/*": "application/octet-stream",
    "image/*": "application/octet-stream",
    "video/*": "application/octet-stream",
}


class BodyWriter(Protocol):
    """Writes the body of one operation."""

    def write(self, content: Any) -> tuple[bytes, str]:
        """Return the bytes, and the value of Content-Type.

        :param content: the object of named properties, or whatever the whole body is.
        """
        ...


def body_writer(body: Body, taken: Collection[str]) -> BodyWriter:
    """Return what writes a body of the operation's media type.

    :param taken: names that nothing but declared properties may use in a form.
    """
    base = body.media_type.partition(";")[0].strip().lower()
    media_type = _CONCRETE.get(base, body.media_type)
    if base == "application/x-www-form-urlencoded":
        return _Form(body, media_type, taken)
    if base == "multipart/form-data":
        return _Multipart(body)
    if base.startswith("text/"):
        return _Text(media_type)
    if _is_json(base):
        return _Json(media_type)
    return _Binary(media_type)


def _is_json(base: str) -> bool:
    return base in ("application/json", "*/*", "application/*") or base.endswith("+json")


class _Json:
    def __init__(self, media_type: str) -> None:
        self._media_type = media_type

    def write(self, content: Any) -> tuple[bytes, str]:
        return _encode(content), self._media_type


class _Text:
    def __init__(self, media_type: str) -> None:
        known = "charset" in media_type.lower()
        self._media_type = media_type if known else f"{media_type}; charset=utf-8"

    def write(self, content: Any) -> tuple[bytes, str]:
        return plain(content).encode(), self._media_type


class _Binary:
    def __init__(self, media_type: str) -> None:
        self._media_type = media_type

    def write(self, content: Any) -> tuple[bytes, str]:
        return _bytes(content, "the body"), self._media_type


class _Form:
    """Pairs as a query has them, each property in its own style."""

    def __init__(self, body: Body, media_type: str, taken: Collection[str]) -> None:
        self._media_type = media_type
        declared = {each.name for each in body.properties}
        self._writers: dict[str, Writer] = {
            each.name: query_writer(each, {*taken, *declared}) for each in body.properties
        }

    def write(self, content: Any) -> tuple[bytes, str]:
        pairs = []
        for name, value in _object(content).items():
            writer = self._writers.get(name)
            if writer is not None:
                pairs += writer(value)
            elif isinstance(value, list):
                pairs += [f"{escaped(name)}={escaped(item)}" for item in value]
            else:
                pairs.append(f"{escaped(name)}={escaped(value)}")
        return "&".join(pairs).encode(), self._media_type


class _Multipart:
    """Parts of a form, files among them."""

    def __init__(self, body: Body) -> None:
        self._properties = {each.name: each for each in body.properties}

    def write(self, content: Any) -> tuple[bytes, str]:
        boundary = secrets.token_hex(16)
        pieces = []
        for name, value in _object(content).items():
            declared = self._properties.get(name)
            for item in value if _is_several(value, declared) else [value]:
                head, data = _part(name, item, declared)
                pieces += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), data, b"\r\n"]
        pieces.append(f"--{boundary}--\r\n".encode())
        return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _is_several(value: Any, declared: Property | None) -> bool:
    """Whether each item of a list is a part of its own."""
    return isinstance(value, list) and (declared is None or declared.binary or declared.explode)


def _part(name: str, value: Any, declared: Property | None) -> tuple[str, bytes]:
    shown = _quoted(name)
    head = f'Content-Disposition: form-data; name="{shown}"'
    media_type = declared.media_type if declared else ""
    if declared is not None and declared.binary:
        media_type = _CONCRETE.get(media_type, media_type) or "application/octet-stream"
        data = _bytes(value, f"the argument {name!r}")
        return f'{head}; filename="{shown}"\r\nContent-Type: {media_type}', data
    if not media_type and isinstance(value, list | dict):
        media_type = "application/json"
    if media_type:
        head = f"{head}\r\nContent-Type: {media_type}"
    return head, plain(value).encode()


def _quoted(name: str) -> str:
    """Return a name as browsers write it between quotes."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _object(content: Any) -> Mapping[str, Any]:
    if isinstance(content, dict):
        return content
    raise TaskFailed("the body is a form: its argument must be an object of fields")


def _bytes(value: Any, what: str) -> bytes:
    if isinstance(value, str):
        try:
            # both alphabets of base64, with or without padding and line breaks
            text = "".join(value.split()).translate(_STANDARD).rstrip("=")
            return b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise TaskFailed(f"{what} is binary: give it as base64 text")


_STANDARD = str.maketrans("-_", "+/")
