"""Schemas that stand on their own: what they refer to is in them."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from runtime_hooks_remote.openapi.keywords import merge_annotations
from runtime_hooks_remote.openapi.schemas import Converted, Link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_hooks_remote.openapi.schemas import Schemas

__all__ = ("bundled",)

#: Definitions that one tool may bring along; what is farther away is left open.
_MAX_DEFINITIONS = 200

#: Schemas that a definition may consist of and still be repeated wherever it is used.
_SMALL = 12

#: Levels of schemas in one another up to which definitions are put where they are used.
_MAX_LEVELS = 16


def bundled(
    properties: Mapping[str, Converted], schemas: Schemas
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the properties' schemas, and the definitions (``$defs``) that these refer to.

    A definition that is used once, or is small, stands where it is used.  Others, recursive ones
    among them, become definitions: however often a document doubles itself, the schemas do not.
    """
    bundle = _Bundle(schemas)
    bundle.count(properties.values())
    expanded = {name: bundle.expanded(part, 0) for name, part in properties.items()}
    return expanded, bundle.definitions()


class _Bundle:
    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._uses: Counter[str] = Counter()
        self._kept: dict[str, None] = {}
        self._waiting: deque[str] = deque()

    def count(self, roots: Any) -> None:
        """Find the definitions that the roots need, nearest first, and how often each is used."""
        waiting = deque(roots)
        while waiting:
            for name in waiting.popleft().links:
                if name not in self._uses:
                    if len(self._uses) >= _MAX_DEFINITIONS:
                        continue
                    self._schemas.cut_circles(name)
                    waiting.append(self._schemas.definition(name))
                self._uses[name] += 1

    def definitions(self) -> dict[str, Any]:
        """Return the definitions that were referred to, by their names."""
        found = {}
        while self._waiting:
            name = self._waiting.popleft()
            found[name] = self.expanded(self._schemas.definition(name), 0)
        return found

    def expanded(self, converted: Converted, level: int) -> Any:
        """Return a converted schema as JSON data, for a place that is so many levels down."""
        if not converted.links:
            return converted.schema
        self._schemas.work += converted.size
        return self._data(converted.schema, level + converted.levels)

    def _data(self, value: Any, level: int) -> Any:
        if isinstance(value, Link):
            return self._linked(value, level)
        if isinstance(value, dict):
            return {key: self._data(part, level) for key, part in value.items()}
        if isinstance(value, list):
            return [self._data(part, level) for part in value]
        return value

    def _linked(self, link: Link, level: int) -> Any:
        siblings = self._data(link.siblings, level)
        if link.name not in self._uses:
            return siblings
        definition = self._schemas.definition(link.name)
        if self._stands_here(link.name, definition, level):
            schema = self.expanded(definition, level)
            return merge_annotations(schema, siblings) if siblings else schema
        if link.name not in self._kept:
            self._kept[link.name] = None
            self._waiting.append(link.name)
        return {"$ref": f"#/$defs/{link.name}", **siblings}

    def _stands_here(self, name: str, definition: Converted, level: int) -> bool:
        if level + definition.levels > _MAX_LEVELS:
            return False
        if self._uses[name] == 1:
            return True
        return not definition.links and definition.size <= _SMALL
