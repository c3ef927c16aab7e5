"""What is wrong with a document, as it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_hooks_remote.shapes import Problem

if TYPE_CHECKING:
    from runtime_hooks_remote.openapi.nodes import Node

__all__ = ("Problems",)

#: A broken generator repeats its mistake in each operation: after so many, the point is made.
_MOST = 200


class Problems:
    """The problems of one document: each once, in the order they were found."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}
        self._more = 0

    def add(self, node: Node, what: str) -> None:
        """Note that something is wrong with a part of the document."""
        if len(self._found) >= _MOST:
            self._more += 1
            return
        self._found[Problem(node.where, what)] = None

    def all(self) -> tuple[Problem, ...]:
        """Return what was found; the last one says how many more there are, if there are."""
        if not self._more:
            return tuple(self._found)
        rest = Problem("", f"there are {self._more} more problems; mend those above first")
        return (*self._found, rest)
