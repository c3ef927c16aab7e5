"""A part of a document, together with where it stands in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from referencing._core import Resolver

__all__ = ("Node",)


class Node:
    """A value of a document; what stands in it is reached by keys, and remembers the way.

    ``resolver`` finds what references in it name; ``document`` is the address of its document, ""
    for the one that is read.
    """

    __slots__ = ("_key", "_parent", "_start", "document", "resolver", "value")

    def __init__(
        self,
        value: Any,
        resolver: Resolver[Any],
        *,
        document: str = "",
        start: str = "",
        parent: Node | None = None,
        key: str | int = "",
    ) -> None:
        self.value = value
        self.resolver = resolver
        self.document = document
        self._start = start
        self._parent = parent
        self._key = key

    def child(self, key: str | int) -> Node:
        """Return what stands under *key*, which must be there."""
        return Node(self.value[key], self.resolver, document=self.document, parent=self, key=key)

    def replaced(self, value: Any) -> Node:
        """Return a node at the same place with another value."""
        if value is self.value:
            return self
        return Node(
            value,
            self.resolver,
            document=self.document,
            start=self._start,
            parent=self._parent,
            key=self._key,
        )

    def find(self, key: str) -> Node | None:
        """Return what stands under *key* of an object; None where there is nothing, or null."""
        if isinstance(self.value, dict) and self.value.get(key) is not None:
            return self.child(key)
        return None

    def items(self) -> Iterator[tuple[str, Node]]:
        """Return the entries of an object; a value of another kind has none."""
        if isinstance(self.value, dict):
            for key in self.value:
                yield key, self.child(key)

    def elements(self) -> Iterator[Node]:
        """Return the elements of a list; a value of another kind has none."""
        if isinstance(self.value, list):
            for index in range(len(self.value)):
                yield self.child(index)

    @property
    def where(self) -> str:
        """The JSON pointer to this part, after the address of its document if it is another one."""
        keys: list[str] = []
        node = self
        while node._parent is not None:
            keys.append(str(node._key).replace("~", "~0").replace("/", "~1"))
            node = node._parent
        return node._start + "".join(f"/{key}" for key in reversed(keys))
