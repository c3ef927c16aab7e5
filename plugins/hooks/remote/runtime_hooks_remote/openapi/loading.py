"""The bytes of a document as data."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from runtime_core.errors import InvalidRequest
from runtime_core.http.yaml import load_yaml
from runtime_hooks_remote.errors import UnreadableDocument

__all__ = ("check_version", "load")

_MAX_BYTES = 32 * 1024 * 1024
_MAX_YAML_VALUES = 2_000_000
_MAX_YAML_DEPTH = 200

_VERSION = re.compile(r"3\.([01])(\.\d{1,9}.{0,40})?")


def load(content: bytes) -> dict[str, Any]:
    """Return a JSON or YAML document as data.

    :raises UnreadableDocument: it is malformed, too large, nested too deeply, or not an object.
    """
    if len(content) > _MAX_BYTES:
        raise UnreadableDocument(
            f"it has {len(content)} bytes; at most {_MAX_BYTES} are read, so serve a smaller one"
        )
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    data = _json(text) if text[:1] == b"{" else _yaml(text)
    if not isinstance(data, dict):
        raise UnreadableDocument("it is not an object; serve an OpenAPI document in JSON or YAML")
    return data


def check_version(document: dict[str, Any]) -> str:
    """Return "3.0" or "3.1".

    :raises UnreadableDocument: the document is of another version, or no OpenAPI document.
    """
    version = document.get("openapi")
    match = _VERSION.fullmatch(str(version))
    if match:
        return f"3.{match[1]}"
    if version is not None:
        what = f"OpenAPI {str(version)[:40]!r} is not supported; serve version 3.0 or 3.1"
        raise UnreadableDocument(what, "/openapi")
    if "swagger" in document:
        what = "Swagger 2.0 is not supported; convert the document to OpenAPI 3.0 or 3.1"
        raise UnreadableDocument(what, "/swagger")
    raise UnreadableDocument('it has no "openapi" field; serve an OpenAPI 3.0 or 3.1 document')


def _json(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError as error:
        raise UnreadableDocument("it is nested too deeply; use fewer levels") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableDocument(f"it is not JSON: {error}") from error


def _yaml(text: bytes) -> Any:
    try:
        return load_yaml(text, _MAX_YAML_DEPTH, _MAX_YAML_VALUES)
    except InvalidRequest as error:
        raise UnreadableDocument(_about_document(error.message)) from error


def _about_document(message: str) -> str:
    """Say of a document what was written about a request's body."""
    message = message.replace("the request has no body; send", "it is empty; serve")
    return message.replace("the body", "it")
