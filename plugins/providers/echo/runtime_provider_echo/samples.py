"""The smallest JSON that a response format allows, so that structured tasks run without a model."""

from __future__ import annotations

import json
from typing import Any

__all__ = ("fitting_text",)

_DEPTH = 16


def fitting_text(text: str, response_format: dict[str, Any] | None) -> str:
    """Return *text*, or JSON in its place when *response_format* wants JSON and it is none.

    For ``json_schema`` that is a sample with *text* for every free string, for ``json_object``
    ``{"text": …}``.
    """
    kind = (response_format or {}).get("type")
    if kind not in ("json_schema", "json_object") or _is_json_object(text):
        return text
    described = (response_format or {}).get("json_schema")
    schema = described.get("schema") if isinstance(described, dict) else None
    value = _sample(schema, schema, text, _DEPTH) if isinstance(schema, dict) else {"text": text}
    return json.dumps(value, ensure_ascii=False)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _sample(schema: Any, root: dict[str, Any], text: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth == 0:
        return None
    if isinstance(ref := schema.get("$ref"), str):
        return _sample(_lookup(root, ref), root, text, depth - 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(options := schema.get(key), list) and options:
            return _sample(options[0], root, text, depth - 1)
    return _of_type(schema, root, text, depth)


def _of_type(schema: dict[str, Any], root: dict[str, Any], text: str, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "object":
        properties = schema.get("properties")
        members = properties if isinstance(properties, dict) else {}
        return {name: _sample(inner, root, text, depth - 1) for name, inner in members.items()}
    if kind == "array":
        item = schema.get("items")
        wanted = schema.get("minItems")
        count = min(wanted, _DEPTH) if isinstance(wanted, int) else 0
        return [_sample(item, root, text, depth - 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    return {"string": text, "boolean": True}.get(kind) if isinstance(kind, str) else None


def _lookup(root: dict[str, Any], ref: str) -> Any:
    found: Any = root
    for name in ref.removeprefix("#").strip("/").split("/") if ref != "#" else ():
        found = found.get(name) if isinstance(found, dict) else None
    return found
