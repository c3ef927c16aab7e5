"""What a tool's answer is here: text, JSON, or a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from runtime_core.errors import TaskFailed
from runtime_core.types import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcp_types import CallToolResult, ContentBlock

    from runtime_hooks_mcp.wire import Wire

__all__ = ("value_of",)

_MAX_ERROR = 4096
_NO_WORDS = "the tool failed and does not say why"


def value_of(result: CallToolResult, limit: int, wire: Wire) -> Value:
    """Return structured content as JSON, else texts joined, else JSON that describes the parts.

    :param limit: the largest result, in bytes.
    :param wire: knows the secrets that the server was given, and may repeat.
    :raises TaskFailed: the tool says that it failed, or its result is too large.
    """
    if result.is_error:
        texts = [part.text for part in result.content if part.type == "text"]
        raise TaskFailed(wire.masked("\n".join(texts))[:_MAX_ERROR] or _NO_WORDS)
    value = _limited(_value(result), limit)
    return _masked(value, wire.masked_result) if wire.has_secrets else value


def _value(result: CallToolResult) -> Value:
    if result.structured_content is not None:
        return Value(result.structured_content, "json")
    if all(part.type == "text" for part in result.content):
        texts = [part.text for part in result.content if part.type == "text"]
        return Value("\n".join(texts), "string")
    return Value(_described(result.content), "json")


def _limited(value: Value, limit: int) -> Value:
    data = value.data
    size = len(data.encode()) if isinstance(data, str) else len(msgspec.json.encode(data))
    if size > limit:
        raise TaskFailed(
            f"the tool's result has {size} bytes, more than max_result ({limit}); ask it for "
            "less, or raise max_result of this MCP server"
        )
    return value


def _masked(value: Value, mask: Callable[[str], str]) -> Value:
    return Value(_without_secrets(value.data, mask), value.type)


def _without_secrets(data: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(data, str):
        return mask(data)
    if isinstance(data, dict):
        return {mask(name): _without_secrets(each, mask) for name, each in data.items()}
    if isinstance(data, list):
        return [_without_secrets(each, mask) for each in data]
    return data


def _described(parts: Sequence[ContentBlock]) -> list[dict[str, Any]]:
    return [_part(part) for part in parts]


def _part(part: ContentBlock) -> dict[str, Any]:
    """Describe a part; bytes are counted, not shown."""
    if part.type == "text":
        return {"type": "text", "text": part.text}
    if part.type == "resource":
        return {"type": "resource", **_resource(part.resource)}
    if part.type == "resource_link":
        said = {"uri": str(part.uri), "name": part.name, "description": part.description}
        return {"type": "resource_link", **_known(said), **_known({"mimeType": part.mime_type})}
    return {"type": part.type, "mimeType": part.mime_type, "bytes": _decoded_size(part.data)}


def _resource(resource: Any) -> dict[str, Any]:
    said = _known({"uri": str(resource.uri), "mimeType": resource.mime_type})
    text = getattr(resource, "text", None)
    if text is not None:
        return {**said, "text": text}
    return {**said, "bytes": _decoded_size(resource.blob)}


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _decoded_size(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4
