"""Tools as the command line sees them: what they take, and one call of one of them."""

from __future__ import annotations

import json
from contextlib import aclosing
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runtime_core.cli.client import Server

__all__ = ("arguments_of", "call_chain", "output_of", "pairs_of", "shape_of")

_KINDS: tuple[tuple[type, str], ...] = (
    (str, "string"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (list, "array"),
    (dict, "object"),
)
_WORDS = {
    "array": "a list in JSON",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object in JSON",
}

#: How deep references and alternatives are followed in a schema that may go round in circles.
_DEPTH = 8


def shape_of(parameters: Mapping[str, Any] | None) -> str:
    """Return what a tool takes, in short: ``id: integer, tags?: array``."""
    schema = parameters or {}
    required = schema.get("required") or ()
    return ", ".join(
        f"{name}{'' if name in required else '?'}: {'|'.join(sorted(_types(one, schema))) or 'any'}"
        for name, one in _properties(schema).items()
    )


def pairs_of(given: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` arguments."""
    pairs: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{one}: write an argument as NAME=VALUE")
        if name in pairs:
            raise click.UsageError(f"{name} is given twice; a list is written as {name}='[1, 2]'")
        pairs[name] = value
    return pairs


def arguments_of(
    pairs: Mapping[str, str], parameters: Mapping[str, Any] | None, tool: str
) -> dict[str, Any]:
    """Return what *pairs* say, as the types that a tool's *parameters* have.

    :param parameters: a JSON Schema, or None when it is not known: values are then JSON where
        they can be, and texts where not.
    """
    if parameters is None:
        return {name: _value(name, text, frozenset()) for name, text in pairs.items()}
    known = _properties(parameters)
    if not parameters.get("additionalProperties"):
        for name in pairs:
            if name not in known:
                there = f"it takes {shape_of(parameters)}" if known else "it takes none"
                raise click.UsageError(f"{tool} has no parameter {name!r}; {there}")
    return {
        name: _value(name, text, _types(known.get(name), parameters))
        for name, text in pairs.items()
    }


def call_chain(
    hook: str, tool: str, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a chain of one task that calls a tool, and the variables it needs.

    Texts in a chain are templates: what could be one goes into a variable, which is data.
    """
    variables: dict[str, str] = {}

    def literal(value: Any) -> Any:
        if isinstance(value, str) and "{" in value:
            name = f"value{len(variables)}"
            variables[name] = value
            return f"{{{{var:{name}}}}}"
        if isinstance(value, dict):
            return {name: literal(one) for name, one in value.items()}
        return [literal(one) for one in value] if isinstance(value, list) else value

    task = {
        "id": "call",
        "handler": "hook",
        "hook": {"name": hook, "tool_name": tool, "args": literal(dict(arguments))},
        "transition": {"branches": [{"operator": "default", "goto": "end"}]},
    }
    return {"id": "call", "tasks": [task]}, variables


async def output_of(server: Server, body: Mapping[str, Any]) -> Any:
    """Run a chain on *server* and return its output, however long that takes.

    :raises Failure: the run failed.
    """
    from runtime_core.cli.client import Failure

    async with aclosing(server.events("/tasks", body)) as events:
        async for event in events:
            if event.get("type") == "run_finished":
                return event.get("output")
    raise Failure("the answer ended before the run did: the server has ended it")


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _types(schema: Any, root: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """Return the JSON types that a schema allows; none stand for all."""
    if not isinstance(schema, dict) or depth > _DEPTH:
        return frozenset()
    if isinstance(reference := schema.get("$ref"), str):
        return _types(_referred(reference, root), root, depth + 1)
    if named := schema.get("type"):
        return frozenset((named,) if isinstance(named, str) else map(str, named))
    if "const" in schema:
        return frozenset((_kind(schema["const"]),))
    if isinstance(allowed := schema.get("enum"), list):
        return frozenset(map(_kind, allowed))
    return _alternatives(schema, root, depth)


def _alternatives(schema: dict[str, Any], root: Mapping[str, Any], depth: int) -> frozenset[str]:
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(parts := schema.get(word), list) and parts:
            found = [_types(one, root, depth + 1) for one in parts]
            if word == "allOf":
                return next((one for one in found if one), frozenset())
            return frozenset().union(*found) if all(found) else frozenset()
    return frozenset()


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _kind(value: Any) -> str:
    return next((word for kind, word in _KINDS if isinstance(value, kind)), "null")


def _value(name: str, text: str, types: frozenset[str]) -> Any:
    """Return what somebody typed as a value of one of *types*; a text is what fits nothing else."""
    parsed = _parsed(text)
    if parsed is not _NOTHING and (not types or _fits(parsed, types)):
        return parsed
    if not types or "string" in types:
        return text
    wanted = " or ".join(_WORDS.get(one, one) for one in sorted(types))
    raise click.UsageError(f"{name}: must be {wanted}, not {text[:80]!r}")


def _fits(value: Any, types: frozenset[str]) -> bool:
    kind = _kind(value)
    if kind == "string":  # quotes that somebody typed belong to the text
        return False
    whole = kind == "number" and value == int(value)
    return (
        kind in types or (kind == "integer" and "number" in types) or (whole and "integer" in types)
    )


_NOTHING = object()


def _parsed(text: str) -> Any:
    """Return *text* as JSON, or `_NOTHING`: what no JSON has is a text."""
    try:
        return json.loads(text, parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError):
        return _NOTHING


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refused(text)


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
