"""What a hook offers to models, and what could be better about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from runtime_hooks_remote.shapes import Problem  # noqa: TC001 - msgspec resolves annotations
from runtime_hooks_remote.wire import tool_wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runtime_core.protocols import TokenCounter
    from runtime_core.types import HookInfo, Tool
    from runtime_hooks_remote.loading import Loaded

__all__ = ("Collision", "Lint", "ToolReport", "lint")

#: Models' APIs take no longer names and descriptions.
_LONGEST_NAME = 64
_LONGEST_DESCRIPTION = 1024

#: Tokens that every conversation pays for a tool, from which on that is worth a word.
_HUGE = 1000


class ToolReport(Struct, frozen=True):
    """One tool as models are told of it; ``tokens`` is what telling them takes."""

    name: str
    description: str
    parameters: dict[str, Any] | None
    tokens: int
    warnings: list[str]


class Collision(Struct, frozen=True):
    """A tool's name that other hooks have too: a model that calls it by this name may miss."""

    tool: str
    hooks: list[str]


class Lint(Struct, frozen=True):
    """What a hook offers, what is wrong with its document, and what else has its tools' names."""

    hook: str
    tools: list[ToolReport] = []
    problems: list[Problem] = []
    collisions: list[Collision] = []


def lint(name: str, loaded: Loaded, others: Iterable[HookInfo], tokens: TokenCounter) -> Lint:
    """Return what is to be said of a hook's tools.

    :param others: the other hooks of the server.
    """
    identifiers = _identifiers(loaded)
    reports = []
    for operation in loaded.document.operations.values():
        tool = operation.tool
        shown = msgspec.json.encode(tool_wire(tool)).decode()
        count = tokens.count(shown)
        place = operation.method, operation.path
        warnings = [*_warnings(name, tool, f"{place[0]} {place[1]}", identifiers.get(place), count)]
        report = ToolReport(tool.name, tool.description, tool.parameters, count, warnings)
        reports.append(report)
    return Lint(
        hook=name,
        tools=reports,
        problems=list(loaded.document.problems),
        collisions=_collisions(loaded, [each for each in others if each.name != name]),
    )


def _warnings(
    hook: str, tool: Tool, operation: str, identifier: str | None, tokens: int
) -> Iterator[str]:
    if tool.description.partition("\n")[0] == operation:
        yield "it has no description: models choose tools by what is said of them"
    elif len(tool.description) > _LONGEST_DESCRIPTION:
        size = len(tool.description)
        yield f"its description has {size} characters; some models take {_LONGEST_DESCRIPTION}"
    if identifier is not None and identifier != tool.name:
        yield f"it is called {tool.name!r}: the operationId {identifier[:200]!r} cannot be a name"
    elif identifier is None:
        yield f"it has no operationId: it is called {tool.name!r}"
    if len(f"{hook}.{tool.name}") > _LONGEST_NAME:
        yield f"{hook}.{tool.name} is longer than {_LONGEST_NAME} characters"
    if silent := [name for name, schema in _properties(tool) if not _is_described(schema)]:
        yield f"these parameters have no description: {', '.join(silent[:20])}"
    if tokens > _HUGE:
        yield f"it takes {tokens} tokens of each conversation: hide it where it is not needed"


def _properties(tool: Tool) -> Iterable[tuple[str, Any]]:
    found = (tool.parameters or {}).get("properties", {})
    return found.items() if isinstance(found, dict) else ()


def _is_described(schema: Any) -> bool:
    return isinstance(schema, dict) and bool(
        schema.get("description") or "enum" in schema or "const" in schema or "$ref" in schema
    )


def _collisions(loaded: Loaded, others: Iterable[HookInfo]) -> list[Collision]:
    owners: dict[str, list[str]] = {}
    for other in others:
        for tool in other.tools:
            owners.setdefault(tool.name, []).append(other.name)
    return [Collision(name, owners[name]) for name in loaded.document.operations if name in owners]


def _identifiers(loaded: Loaded) -> Mapping[tuple[str, str], str]:
    """Return the operationId of each operation that the document itself holds."""
    paths = msgspec.json.decode(loaded.json()).get("paths")
    found = {}
    for path, item in paths.items() if isinstance(paths, dict) else ():
        for method, operation in item.items() if isinstance(item, dict) else ():
            if isinstance(operation, dict) and isinstance(operation.get("operationId"), str):
                found[method.upper(), path] = operation["operationId"]
    return found
