"""What is wrong with a document, as it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_core.errors import UpstreamError
from runtime_hooks_remote.shapes import Problem

if TYPE_CHECKING:
    from runtime_hooks_remote.openapi.nodes import Node

__all__ = ("Problems", "UnreadableDocument")

#: A broken generator repeats its mistake in each operation: after so many, the point is made.
_MOST = 200


class UnreadableDocument(UpstreamError):
    """No tool can be had from a document: it is not an OpenAPI 3.0 or 3.1 document.

    :param what: what is wrong with it, and what to do.
    :param where: a JSON pointer to what is wrong; "" is the document as a whole.
    """

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(f"the OpenAPI document cannot be used: {what}")
        self.problem = Problem(where, what)


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
