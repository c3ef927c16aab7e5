"""A document's schemas as JSON Schema 2020-12, each part converted once.

References stay references here, as `Link`s to named definitions; `bundling` makes schemas that
stand on their own of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from runtime_hooks_remote.openapi.dialect import modern
from runtime_hooks_remote.openapi.keywords import (
    DATA,
    DROPPED,
    IN_PLACE,
    LISTS,
    MAPS,
    SINGLE,
    UNUSABLE,
    is_pattern,
)
from runtime_hooks_remote.openapi.references import is_reference

if TYPE_CHECKING:
    from runtime_hooks_remote.openapi.nodes import Node
    from runtime_hooks_remote.openapi.problems import Problems
    from runtime_hooks_remote.openapi.references import References

__all__ = ("Converted", "Link", "Schemas")

#: Levels of schemas in one another that one definition may have.
_MAX_LEVELS = 32

#: What one document may cost, in schemas: a thousand operations with a few hundred each.
_MAX_WORK = 500_000

#: What compiling a pattern may cost, in schemas.
_PATTERN_WORK = 500

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


class Link(Struct, frozen=True):
    """A reference to a definition, with the keywords that stand beside it."""

    name: str
    siblings: dict[str, Any]


class Converted:
    """A converted schema: JSON data, with a `Link` for each reference.

    ``links`` are the definitions it names, once for each time; ``in_place`` those that apply to
    the same value as the schema itself; ``size`` counts its schemas, ``levels`` how many of them
    are in one another.
    """

    __slots__ = ("in_place", "levels", "links", "schema", "size")

    def __init__(self) -> None:
        self.schema: Any = {}
        self.links: list[str] = []
        self.in_place: set[str] = set()
        self.size = 0
        self.levels = 0

    def annotated(self, notes: dict[str, Any]) -> Converted:
        """Return this schema with annotations, which win over its own."""
        if not notes:
            return self
        other = Converted()
        other.links, other.in_place = self.links, self.in_place
        other.size, other.levels = self.size, self.levels
        if isinstance(self.schema, Link):
            other.schema = Link(self.schema.name, {**self.schema.siblings, **notes})
        else:
            other.schema = {**self.schema, **notes}
        return other


class Schemas:
    """Converts schemas, and keeps the definitions that they refer to.

    ``work`` counts what was converted and copied; from some point on it is `exhausted`, and what
    else is asked for is left open.
    """

    def __init__(self, references: References, problems: Problems, version: str) -> None:
        self.work = 0
        self._references = references
        self._problems = problems
        self._siblings_count = version != "3.0"
        self._names: dict[int, str] = {}
        self._nodes: dict[str, Node] = {}
        self._definitions: dict[str, Converted] = {}
        self._sound: set[str] = set()
        self._patterns: dict[str, bool] = {}

    @property
    def exhausted(self) -> bool:
        """Whether so much was converted already that the document must mean harm."""
        return self.work > _MAX_WORK

    def convert(self, node: Node) -> Converted:
        """Return a schema converted."""
        converted = Converted()
        converted.schema = self._schema(node, converted, in_place=True, level=1)
        return converted

    def text(self, **keywords: str) -> Converted:
        """Return the schema of a text, for what has none."""
        converted = Converted()
        converted.schema = {"type": "string", **keywords}
        return converted

    def anything(self) -> Converted:
        """Return the schema that everything is valid against."""
        return Converted()

    def definition(self, name: str) -> Converted:
        """Return the definition that a `Link` names."""
        known = self._definitions.get(name)
        if known is None:
            known = self._definitions[name] = self.convert(self._nodes[name])
        return known

    def cut_circles(self, name: str) -> None:
        """Open the definition, and those it needs, that would only be valid if they were valid.

        A schema that refers to itself through `properties` or `items` is a tree and stays.  One
        that does so through `allOf` and the like sends a validator round in circles.
        """
        open_now: set[str] = set()
        path: list[tuple[str, list[str]]] = [(name, self._enter(name, open_now))]
        while path:
            current, rest = path[-1]
            if not rest:
                path.pop()
                open_now.discard(current)
                self._sound.add(current)
            elif (following := rest.pop()) in open_now:
                self._open(following)
            elif following not in self._sound:
                path.append((following, self._enter(following, open_now)))

    def _enter(self, name: str, open_now: set[str]) -> list[str]:
        if name in self._sound:
            return []
        open_now.add(name)
        return sorted(self.definition(name).in_place)

    def _open(self, name: str) -> None:
        what = "the schema is only valid where it is valid itself; it is taken as anything"
        self._problems.add(self._nodes[name], what)
        self._definitions[name] = Converted()

    def _schema(self, node: Node, into: Converted, *, in_place: bool, level: int) -> Any:
        value = node.value
        self.work += 1
        into.size += 1
        into.levels = max(into.levels, level)
        if isinstance(value, bool):
            return {} if value else {"not": {}}
        if self.exhausted:
            return {}
        if not isinstance(value, dict):
            self._problems.add(node, "a schema must be an object; it is taken as anything")
            return {}
        if level > _MAX_LEVELS:
            self._problems.add(node, f"more than {_MAX_LEVELS} schemas in one another; cut here")
            return {}
        if is_reference(value):
            return self._link(node, into, in_place=in_place, level=level)
        return self._keywords(node, into, in_place=in_place, level=level)

    def _link(self, node: Node, into: Converted, *, in_place: bool, level: int) -> Any:
        target = self._references.target(node)
        if target is not None:
            target = self._references.follow(target, alone=self._siblings_count)
        if target is None:
            return {}
        name = self._name(target)
        into.links.append(name)
        if in_place:
            into.in_place.add(name)
        return Link(name, self._siblings(node, into, in_place=in_place, level=level))

    def _siblings(
        self, node: Node, into: Converted, *, in_place: bool, level: int
    ) -> dict[str, Any]:
        """Return what counts beside a reference: in 3.0 a description, in 3.1 everything."""
        if len(node.value) == 1:
            return {}
        if self._siblings_count:
            return self._keywords(node, into, in_place=in_place, level=level)
        description = node.value.get("description")
        return {"description": description} if isinstance(description, str) else {}

    def _name(self, target: Node) -> str:
        """Return the name of a definition, which is that of its last key, made unique."""
        known = self._names.get(id(target.value))
        if known is not None:
            return known
        last = target.where.rstrip("#").rpartition("/")[2] or "document"
        stem = name = _UNFIT.sub("_", last)[:64]
        count = 1
        while name in self._nodes:
            count += 1
            name = f"{stem}_{count}"
        self._names[id(target.value)] = name
        self._nodes[name] = target
        return name

    def _keywords(
        self, node: Node, into: Converted, *, in_place: bool, level: int
    ) -> dict[str, Any]:
        node = node.replaced(modern(node.value))
        schema: dict[str, Any] = {}
        for key in node.value:
            if key in DROPPED or key.startswith("x-"):
                continue
            kept = self._keyword(
                key, node, into, in_place=in_place and key in IN_PLACE, level=level
            )
            if kept is not UNUSABLE:
                schema[key] = kept
        if "properties" in schema and "required" in schema:
            self._forget_read_only(node, schema)
        if isinstance(node.value.get("discriminator"), dict):
            _name_branches(node.value["discriminator"], schema)
        return schema

    def _keyword(self, key: str, node: Node, into: Converted, *, in_place: bool, level: int) -> Any:
        if key in DATA:
            kept = DATA[key](node.value[key])
        elif key == "patternProperties":
            kept = self._by_pattern(node.child(key), into, level=level + 1)
        elif key == "pattern":
            kept = self._pattern(node.value[key])
        elif key in SINGLE:
            return self._schema(node.child(key), into, in_place=in_place, level=level + 1)
        elif key in LISTS:
            kept = self._list(node.child(key), into, in_place=in_place, level=level + 1)
        elif key in MAPS:
            kept = self._map(node.child(key), into, in_place=in_place, level=level + 1)
        else:
            return UNUSABLE
        if kept is UNUSABLE and key != "examples":
            what = f"{key!r} cannot have this value and is left out; correct it"
            self._problems.add(node.child(key), what)
        return kept

    def _pattern(self, text: Any) -> Any:
        """Return a pattern if it can be compiled; each is tried once, they cost and repeat."""
        if not isinstance(text, str):
            return UNUSABLE
        if text not in self._patterns:
            self.work += _PATTERN_WORK
            self._patterns[text] = is_pattern(text)
        return text if self._patterns[text] else UNUSABLE

    def _list(self, node: Node, into: Converted, *, in_place: bool, level: int) -> Any:
        if not isinstance(node.value, list) or not node.value:
            return UNUSABLE
        return [
            self._schema(part, into, in_place=in_place, level=level) for part in node.elements()
        ]

    def _map(self, node: Node, into: Converted, *, in_place: bool, level: int) -> Any:
        if not isinstance(node.value, dict):
            return UNUSABLE
        return {
            key: self._schema(part, into, in_place=in_place, level=level)
            for key, part in node.items()
            if not self.is_read_only(part)
        }

    def _by_pattern(self, node: Node, into: Converted, *, level: int) -> Any:
        usable = {}
        for pattern, part in node.items():
            if self._pattern(pattern) is UNUSABLE:
                what = (
                    f"the pattern {pattern[:80]!r} cannot be compiled and is left out; correct it"
                )
                self._problems.add(part, what)
            else:
                usable[pattern] = part.value
        return self._map(node.replaced(usable), into, in_place=False, level=level) if usable else {}

    def is_read_only(self, node: Node) -> bool:
        """Whether a property is only part of answers, so that it has no place in a request."""
        if is_reference(node.value):
            target = self._references.target(node)
            node = target if target is not None else node
        return isinstance(node.value, dict) and node.value.get("readOnly") is True

    def _forget_read_only(self, node: Node, schema: dict[str, Any]) -> None:
        """Do not demand the properties that were left out."""
        left_out = node.value["properties"].keys() - schema["properties"].keys()
        schema["required"] = [name for name in schema["required"] if name not in left_out]


def _name_branches(discriminator: dict[str, Any], schema: dict[str, Any]) -> None:
    """Keep what tells the branches apart, and their names, which the mapping goes by."""
    name = discriminator.get("propertyName")
    if not isinstance(name, str):
        return
    schema["discriminator"] = {"propertyName": name}
    mapping = discriminator.get("mapping")
    if isinstance(mapping, dict):
        schema["discriminator"]["mapping"] = {
            key: target.rpartition("/")[2]
            for key, target in mapping.items()
            if isinstance(target, str)
        }
    for key in ("anyOf", "oneOf"):
        for branch in schema.get(key, ()):
            if isinstance(branch, Link):
                branch.siblings.setdefault("title", branch.name)
