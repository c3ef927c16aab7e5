"""The keywords of JSON Schema whose values are data, and what of them may be kept.

Each function returns the value as JSON Schema 2020-12 wants it, or `UNUSABLE`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = (
    "DATA",
    "DROPPED",
    "IN_PLACE",
    "LISTS",
    "MAPS",
    "SINGLE",
    "UNUSABLE",
    "is_pattern",
    "is_plain",
    "merge_annotations",
)

UNUSABLE: Final = object()

#: Levels and characters that a default or an example may have; a model has to read it.
_MAX_LEVELS = 8
_MAX_EXAMPLE = 200

#: Characters of a pattern, and bytes of what it is compiled to: both cost whoever validates.
_MAX_PATTERN = 1_000
_MAX_AUTOMATON = 300_000

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


def is_pattern(text: str) -> bool:
    """Whether a text is a regular expression that can be compiled, and soon."""
    if len(text) > _MAX_PATTERN:
        return False
    options = jsonschema_rs.FancyRegexOptions(size_limit=_MAX_AUTOMATON)
    try:
        jsonschema_rs.Draft202012Validator({"pattern": text}, pattern_options=options)
    except ValueError:
        return False
    return True


def is_plain(value: Any, levels: int = _MAX_LEVELS) -> bool:
    """Whether a value is JSON data of few levels."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return levels > 0 and all(is_plain(part, levels - 1) for part in value.values())
    if isinstance(value, list):
        return levels > 0 and all(is_plain(part, levels - 1) for part in value)
    return True


def merge_annotations(schema: dict[str, Any], siblings: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with what stands beside a reference to it; both hold."""
    if siblings.keys() <= _ANNOTATIONS:
        return {**schema, **siblings}
    return {"allOf": [schema], **siblings}


_ANNOTATIONS = {"default", "deprecated", "description", "examples", "title"}


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else UNUSABLE


def _true(value: Any) -> Any:
    return value if isinstance(value, bool) else UNUSABLE


def _number(value: Any) -> Any:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return value if usable and math.isfinite(value) else UNUSABLE


def _positive(value: Any) -> Any:
    number = _number(value)
    return number if number is not UNUSABLE and number > 0 else UNUSABLE


def _count(value: Any) -> Any:
    number = _number(value)
    if number is UNUSABLE or number < 0 or number != int(number):
        return UNUSABLE
    return int(number)


def _data(value: Any) -> Any:
    return value if is_plain(value) else UNUSABLE


def _choices(value: Any) -> Any:
    return value if isinstance(value, list) and value and is_plain(value) else UNUSABLE


def _names(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return UNUSABLE
    return list(dict.fromkeys(value))


def _examples(value: Any) -> Any:
    if not isinstance(value, list):
        return UNUSABLE
    return [each for each in value[:3] if _is_short(each)] or UNUSABLE


def _is_short(value: Any) -> bool:
    return is_plain(value, 0) and len(str(value)) <= _MAX_EXAMPLE


def _type(value: Any) -> Any:
    if isinstance(value, str):
        return value if value in _TYPES else UNUSABLE
    if not isinstance(value, list) or not value:
        return UNUSABLE
    if not all(isinstance(name, str) and name in _TYPES for name in value):
        return UNUSABLE
    kinds = list(dict.fromkeys(value))
    return kinds[0] if len(kinds) == 1 else kinds


def _dependent_names(value: Any) -> Any:
    if not isinstance(value, dict) or any(_names(each) is UNUSABLE for each in value.values()):
        return UNUSABLE
    return {key: _names(each) for key, each in value.items()}


#: keyword -> what of its value is kept
DATA: Final[Mapping[str, Callable[[Any], Any]]] = {
    "const": _data,
    "contentEncoding": _text,
    "contentMediaType": _text,
    "default": _data,
    "dependentRequired": _dependent_names,
    "deprecated": _true,
    "description": _text,
    "enum": _choices,
    "examples": _examples,
    "exclusiveMaximum": _number,
    "exclusiveMinimum": _number,
    "format": _text,
    "maxContains": _count,
    "maxItems": _count,
    "maxLength": _count,
    "maxProperties": _count,
    "maximum": _number,
    "minContains": _count,
    "minItems": _count,
    "minLength": _count,
    "minProperties": _count,
    "minimum": _number,
    "multipleOf": _positive,
    "required": _names,
    "title": _text,
    "type": _type,
    "uniqueItems": _true,
}

#: keywords whose value is a schema, a list of schemas, a mapping to schemas
SINGLE: Final = frozenset(
    {
        "additionalProperties",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
MAPS: Final = frozenset({"dependentSchemas", "properties"})

#: those that apply to the very value, not to a part of it: a circle of them has no end
IN_PLACE: Final = frozenset(
    {"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"}
)

#: what means nothing to a model, or is handled elsewhere
DROPPED: Final = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "contentSchema",
        "definitions",
        "discriminator",
        "example",
        "externalDocs",
        "id",
        "nullable",
        "readOnly",
        "writeOnly",
        "xml",
    }
)
