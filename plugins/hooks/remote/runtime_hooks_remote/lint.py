"""What a hook offers to models, and what could be better about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from runtime_core.http import tool_wire
from runtime_hooks_remote.shapes import Problem

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


_NO_DESCRIPTION = "it has no description: models choose tools by what is said of them"


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


def lint(
    info: HookInfo, others: Iterable[HookInfo], tokens: TokenCounter, loaded: Loaded | None = None
) -> Lint:
    """Return what is to be said of a hook's tools.

    :param others: the hooks of the server.
    :param loaded: the OpenAPI document the hook was made of, if it was.
    """
    operations = loaded.document.operations if loaded else {}
    identifiers = _identifiers(loaded) if loaded else {}
    reports = []
    for tool in info.tools:
        count = tokens.count(msgspec.json.encode(tool_wire(tool)).decode())
        warnings = [*_warnings(info.name, tool, count)]
        if (operation := operations.get(tool.name)) is not None:
            place = operation.method, operation.path
            warnings = [*_misnamings(tool, " ".join(place), identifiers.get(place)), *warnings]
        reports.append(ToolReport(tool.name, tool.description, tool.parameters, count, warnings))
    problems = [*loaded.document.problems] if loaded else []
    if info.error:
        problems.append(Problem("", info.error))
    others = [*others]
    problems += _shadows(info, others)
    return Lint(info.name, reports, problems, _collisions(info, others))


def _misnamings(tool: Tool, operation: str, identifier: str | None) -> Iterator[str]:
    if tool.description.partition("\n")[0] == operation:
        yield _NO_DESCRIPTION
    if identifier is None:
        yield f"it has no operationId: it is called {tool.name!r}"
    elif identifier != tool.name:
        yield f"it is called {tool.name!r}: the operationId {identifier[:200]!r} cannot be a name"


def _warnings(hook: str, tool: Tool, tokens: int) -> Iterator[str]:
    if not tool.description:
        yield _NO_DESCRIPTION
    elif (size := len(tool.description)) > _LONGEST_DESCRIPTION:
        yield f"its description has {size} characters; some models take {_LONGEST_DESCRIPTION}"
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


def _shadows(info: HookInfo, others: Iterable[HookInfo]) -> Iterator[Problem]:
    """Say whether calls of this name reach another hook, of an earlier source."""
    for other in others:
        if other.name == info.name and other.type != info.type:
            yield Problem(
                "",
                f"a hook of type {other.type} has the name {info.name!r} too, and gets the calls: "
                "give this one another name",
            )


def _collisions(info: HookInfo, others: Iterable[HookInfo]) -> list[Collision]:
    owners: dict[str, list[str]] = {}
    for other in others:
        for tool in other.tools if other.name != info.name else ():
            owners.setdefault(tool.name, []).append(other.name)
    return [Collision(tool.name, owners[tool.name]) for tool in info.tools if tool.name in owners]


def _identifiers(loaded: Loaded) -> Mapping[tuple[str, str], str]:
    """Return the operationId of each operation that the document itself holds."""
    paths = msgspec.json.decode(loaded.json()).get("paths")
    found = {}
    for path, item in paths.items() if isinstance(paths, dict) else ():
        for method, operation in item.items() if isinstance(item, dict) else ():
            if isinstance(operation, dict) and isinstance(operation.get("operationId"), str):
                found[method.upper(), path] = operation["operationId"]
    return found
