"""Schemas of OpenAPI 3.0, and of people who mix versions, in the words of 3.1."""

from __future__ import annotations

from typing import Any

__all__ = ("modern",)

_OLD = frozenset({"example", "exclusiveMaximum", "exclusiveMinimum", "nullable"})
_NULL = {"type": "null"}


def modern(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in the words of JSON Schema 2020-12; the same one if nothing is to do."""
    if isinstance(schema.get("items"), list):
        schema = {**schema, "prefixItems": schema["items"]}
        del schema["items"]
    if schema.get("type") == "file":
        schema = {**schema, "type": "string", "format": "binary"}
    if _OLD.isdisjoint(schema):
        return schema
    schema = dict(schema)
    if "examples" not in schema and "example" in schema:
        schema["examples"] = [schema["example"]]
    _bounds(schema, "exclusiveMinimum", "minimum")
    _bounds(schema, "exclusiveMaximum", "maximum")
    return _with_null(schema) if schema.pop("nullable", False) is True else schema


def _bounds(schema: dict[str, Any], exclusive: str, inclusive: str) -> None:
    """Replace a bound that is exclusive by a flag by one that is a number."""
    flag = schema.get(exclusive)
    if not isinstance(flag, bool):
        return
    del schema[exclusive]
    if flag and inclusive in schema:
        schema[exclusive] = schema.pop(inclusive)


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
    elif isinstance(kind, list) and "null" not in kind:
        schema["type"] = [*kind, "null"]
    choices = schema.get("enum")
    if isinstance(choices, list) and None not in choices:
        schema["enum"] = [*choices, None]
    return schema if kind is not None else _alternative_null(schema)


def _alternative_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Let a schema without a type, which is a combination of others, be null as well."""
    for key in ("oneOf", "anyOf"):
        if isinstance(schema.get(key), list):
            schema[key] = [*schema[key], _NULL]
            return schema
    parts = schema.get("allOf")
    if not isinstance(parts, list):
        return schema
    del schema["allOf"]
    whole = parts[0] if len(parts) == 1 else {"allOf": parts}
    return {**schema, "anyOf": [whole, _NULL]}
