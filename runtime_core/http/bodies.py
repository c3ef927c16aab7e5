"""Request bodies: JSON or YAML bytes to typed values, decoded once.

Malformed is 400, a media type nobody reads here is 415, well-formed but wrong is 422 with the
field's path.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from functools import lru_cache
from typing import Any

import msgspec

from runtime_core.errors import InvalidRequest, UnsupportedMedia
from runtime_core.http.yaml import load_yaml
from runtime_core.types.validation import validation_error

__all__ = ("check_readable", "decode_body")

_JSON = "application/json"
_YAML = frozenset({"application/yaml", "text/yaml", "application/x-yaml"})
_YAML_BASE64 = "application/x-yaml-base64"

#: Levels of arrays and objects in one another; far from where the interpreter's stack ends.
_MAX_DEPTH = 256


def decode_body(raw: bytes, content_type: str, wanted: Any) -> Any:
    """Return the body as a value of type *wanted*.

    :raises InvalidRequest: empty, malformed, or nested too deeply.
    :raises UnsupportedMedia: neither JSON nor YAML; the message names the header to send.
    :raises Unprocessable: a field is missing or has a wrong value.
    """
    media, encoded = _media_type(content_type)
    if not raw.strip():
        raise InvalidRequest("the request has no body; send a JSON object")
    try:
        if media == _JSON:
            return _from_json(raw, wanted)
        return _convert(load_yaml(_base64(raw) if encoded else raw, _MAX_DEPTH), wanted)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except RecursionError:
        raise _too_deep() from None


def check_readable(wanted: Any) -> None:
    """Raise TypeError when no body can be decoded as *wanted*."""
    _decoder(wanted)


def _media_type(content_type: str) -> tuple[str, bool]:
    """Return the media type, and whether the body is YAML in base64."""
    if not content_type or content_type == _JSON:
        return _JSON, False
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if media == _YAML_BASE64:
        return media, True
    if media in _YAML:
        return media, "encoding=base64" in parameters.lower().replace(" ", "").replace('"', "")
    if media == _JSON:
        return media, False
    raise UnsupportedMedia(
        f"this path does not read {media or content_type!r}; send the header "
        '"Content-Type: application/json" (or application/yaml)'
    )


def _from_json(raw: bytes, wanted: Any) -> Any:
    try:
        return _parsed(raw, wanted)
    except msgspec.ValidationError:
        # what is wrong may be that it is no JSON at all, or only that 1.0 is a whole number here
        return _convert(_parsed(raw, Any), wanted)


def _parsed(raw: bytes, wanted: Any) -> Any:
    try:
        if not raw.isascii():
            raw.decode()  # the decoder does not look at texts that nobody asks for
        value = _decoder(wanted).decode(raw)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    if _is_deep(raw):
        raise _too_deep()
    return value


@lru_cache(256)
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    """Return a decoder; a type msgspec does not know is left to the framework's validation."""
    known = not isinstance(msgspec.inspect.type_info(wanted), msgspec.inspect.CustomType)
    return msgspec.json.Decoder(wanted if known else Any)


def _convert(data: Any, wanted: Any) -> Any:
    shape = _decoder(wanted).type
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        if not _is_about_float(error):
            raise
        return msgspec.convert(_whole(data), shape)


def _is_about_float(error: msgspec.ValidationError) -> bool:
    """Whether trying again may help: 1.0 is a whole number here, but not for the decoder."""
    return "got `float`" in str(error)


def _whole(data: Any) -> Any:
    if isinstance(data, float):
        return int(data) if data.is_integer() else data
    if isinstance(data, dict):
        return {key: _whole(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_whole(item) for item in data]
    return data


def _is_deep(raw: bytes) -> bool:
    """Whether well-formed JSON has more than the allowed levels, found without a Python loop."""
    if raw.count(b"[") + raw.count(b"{") <= _MAX_DEPTH:
        return False
    brackets = _without_strings(raw).translate(_SQUARE, delete=_NO_BRACKETS)
    for _ in range(_MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # the innermost level
    return bool(brackets)


_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _without_strings(raw: bytes) -> bytes:
    unescaped = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(unescaped.split(b'"')[::2])


def _base64(raw: bytes) -> bytes:
    try:
        return b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error as error:
        raise InvalidRequest(f"the body is not base64: {error}") from error


def _invalid(error: msgspec.ValidationError) -> Exception:
    if "out of range" in str(error):
        return InvalidRequest(f"the body has a number no computer counts to: {error}")
    return validation_error(error)


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"the body is nested more than {_MAX_DEPTH} levels deep")
