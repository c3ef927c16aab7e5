"""What ``runtime hook lint`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime_core.cli.asking import table
from runtime_core.cli.client import one_line
from runtime_core.cli.tools import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ("count_of", "problem_line", "report")

_MOST_NAMED = 20


def report(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that say what ``POST /hooks/lint`` has *found*."""
    tools, problems = found["tools"], found["problems"]
    if tools:
        yield table(
            (one["name"], f"{one['tokens']} tokens", f"({shape_of(one['parameters'])})")
            for one in tools
        )
    for one in tools:
        for text in one["warnings"]:
            yield one_line(f"warning: {one['name']}: {text}")
    for one in found["collisions"]:
        yield one_line(f"collision: {one['tool']} is a tool of {', '.join(one['hooks'])} too")
    for problem in problems:
        yield f"problem: {problem_line(problem)}"
    tokens = sum(one["tokens"] for one in tools)
    counts = _count(len(tools), "tool"), _count(tokens, "token"), _count(len(problems), "problem")
    yield one_line(f"{found['hook']}: {', '.join(counts)}")


def problem_line(problem: Mapping[str, Any]) -> str:
    """Return a problem as a line: where, and what."""
    where = f"{problem['where']}: " if problem["where"] else ""
    return one_line(f"{where}{problem['what']}")


def count_of(tools: Sequence[Mapping[str, Any]]) -> str:
    """Return how many *tools* there are, and the names of the first ones."""
    names = ", ".join(tool["name"] for tool in tools[:_MOST_NAMED])
    more = ", ..." if len(tools) > _MOST_NAMED else ""
    count = _count(len(tools), "tool")
    return one_line(f"{count}: {names}{more}") if tools else count


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
