"""Schemas of objects whose properties can be told without evaluating anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from runtime_hooks_remote.openapi.nodes import Node
    from runtime_hooks_remote.openapi.references import References

__all__ = ("ObjectShape", "object_shape")

#: Levels of `allOf` that are merged.
_MAX_LEVELS = 8

#: What may stand beside properties without making them depend on one another.
_HARMLESS = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "additionalProperties",
        "allOf",
        "default",
        "definitions",
        "deprecated",
        "description",
        "discriminator",
        "example",
        "examples",
        "externalDocs",
        "maxProperties",
        "minProperties",
        "nullable",
        "properties",
        "readOnly",
        "required",
        "title",
        "type",
        "unevaluatedProperties",
        "writeOnly",
        "xml",
    }
)


class ObjectShape(Struct):
    """An object's properties by name, which of them it needs, and whether it may have others."""

    properties: dict[str, Node]
    required: list[str]
    additional: bool = True


def object_shape(node: Node, references: References, level: int = 0) -> ObjectShape | None:
    """Return the shape of an object, its `allOf` merged; None where that says less than it does."""
    found = references.follow(node)
    if found is None or level > _MAX_LEVELS or not _is_object(found.value):
        return None
    schema = found.value
    shape = ObjectShape({}, [])
    own = found.find("properties")
    shape.properties.update(own.items() if own else ())
    required = schema.get("required")
    if isinstance(required, list):
        shape.required += [name for name in required if isinstance(name, str)]
    closed = schema.get("additionalProperties") is False
    shape.additional = not (closed or schema.get("unevaluatedProperties") is False)
    parts = found.find("allOf")
    for part in parts.elements() if parts else ():
        if not _merge(shape, object_shape(part, references, level + 1)):
            return None
    return shape


def _merge(shape: ObjectShape, other: ObjectShape | None) -> bool:
    """Add another shape; False where the two say different things of one property."""
    if other is None or not shape.properties.keys().isdisjoint(other.properties):
        return False
    shape.properties.update(other.properties)
    shape.required += other.required
    shape.additional = shape.additional and other.additional
    return True


def _is_object(schema: Any) -> bool:
    if not isinstance(schema, dict) or schema.get("type", "object") not in _OBJECT:
        return False
    others = [key for key in schema if key not in _HARMLESS and not key.startswith("x-")]
    return all(_only_requires(schema, key) for key in others)


_OBJECT = ("object", ["object"], ["object", "null"], ["null", "object"])


def _only_requires(schema: dict[str, Any], key: str) -> bool:
    """Whether a keyword only says which of the properties must be there together."""
    branches = schema[key]
    return (
        key in ("anyOf", "oneOf")
        and "properties" in schema
        and isinstance(branches, list)
        and all(isinstance(branch, dict) and branch.keys() == {"required"} for branch in branches)
    )
