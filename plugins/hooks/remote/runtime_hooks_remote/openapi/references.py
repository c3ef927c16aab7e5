"""What `$ref` names, in a document and across documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from referencing import Registry, Resource
from referencing.exceptions import Unresolvable

from runtime_hooks_remote.errors import UnreadableDocument
from runtime_hooks_remote.openapi.loading import load
from runtime_hooks_remote.openapi.nodes import Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime_hooks_remote.openapi.problems import Problems

__all__ = ("References", "is_reference")

#: References to references that are followed: more are a circle, or as good as one.
_MOST_STEPS = 32


def is_reference(value: Any) -> bool:
    """Whether a value is a reference object; a property may be called `$ref` as well."""
    return isinstance(value, dict) and isinstance(value.get("$ref"), str)


class References:
    """The documents there are, and what references in them name.

    ``missing`` are the addresses of documents that were asked for and are not there.
    """

    def __init__(
        self, document: Any, url: str, fetched: Mapping[str, bytes], problems: Problems
    ) -> None:
        self.missing: set[str] = set()
        self._url = urldefrag(url).url
        self._problems = problems
        self._broken: dict[str, str] = {}
        registry: Registry[Any] = Registry()
        registry = registry.with_resources(
            (address, Resource.opaque(each)) for address, each in self._loaded(fetched)
        )
        registry = registry.with_resource(self._url, Resource.opaque(document))
        self._registry = registry.crawl()
        self.root = Node(document, self._registry.resolver(self._url))

    def _loaded(self, fetched: Mapping[str, bytes]) -> Iterator[tuple[str, Any]]:
        for address, content in fetched.items():
            try:
                yield address, load(content)
            except UnreadableDocument as error:
                self._broken[address] = error.problem.what

    def follow(self, node: Node, *, alone: bool = False) -> Node | None:
        """Return the part itself where a node is a reference, even to another reference.

        None, and a problem is noted, where the reference names nothing.

        :param alone: follow only references that nothing else stands beside.
        """
        start = node
        for _ in range(_MOST_STEPS):
            if not is_reference(node.value) or (alone and len(node.value) > 1):
                return node
            target = self.target(node)
            if target is None:
                return None
            node = target
        self._problems.add(start, "the reference leads back to itself; let it name a definition")
        return None

    def target(self, node: Node) -> Node | None:
        """Return what a reference names, which may be a reference; None, and a problem, if nothing.

        :param node: a part that is a reference.
        """
        reference: str = node.value["$ref"]
        try:
            document, _, pointer = urljoin(node.document or self._url, reference).partition("#")
            self._check_available(document)
            resolved = node.resolver.lookup(reference)
        except _Unavailable as unavailable:
            self._problems.add(node, f"the reference {reference[:200]!r} {unavailable}")
            return None
        except (Unresolvable, ValueError, TypeError):
            # the last two: a bad address, text where a list wants a number, a key into a number
            what = f"the reference {reference[:200]!r} names nothing; define it, or correct it"
            self._problems.add(node, what)
            return None
        if document == self._url:
            document = ""
        start = f"{document}#{unquote(pointer)}" if document else unquote(pointer)
        return Node(resolved.contents, resolved.resolver, document=document, start=start)

    def _check_available(self, document: str) -> None:
        if document in self._registry:
            return
        if urlsplit(document).scheme not in ("http", "https"):
            raise _Unavailable("is refused; only http and https addresses are read")
        if document in self._broken:
            raise _Unavailable(f"needs a document that cannot be used: {self._broken[document]}")
        self.missing.add(document)
        raise _Unavailable("needs a document that was not loaded; make it reachable")


class _Unavailable(Exception):
    """The document of a reference is not there; the text goes on after the reference."""
