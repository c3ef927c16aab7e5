"""Parameters outside the body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args

from msgspec import Struct

from runtime_core.upstream import RESERVED_HEADERS
from runtime_hooks_remote.openapi.media import is_media_type
from runtime_hooks_remote.shapes import Location, Parameter, Style
from runtime_hooks_remote.texts import is_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_hooks_remote.openapi.nodes import Node
    from runtime_hooks_remote.openapi.problems import Problems
    from runtime_hooks_remote.openapi.references import References
    from runtime_hooks_remote.openapi.schemas import Converted, Schemas

__all__ = ("Argument", "Parameters", "path_names")

_STYLES: Final[Mapping[str, tuple[Style, ...]]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}

#: Headers that say how a request is sent: OpenAPI ignores the first three, the rest are ours.
_IGNORED_HEADERS = frozenset({"accept", "authorization", "content-type"})
_OUR_HEADERS = RESERVED_HEADERS | {"cookie"}

#: What reading a parameter costs, in schemas.
_WORK = 5

_IN_PATH = re.compile(r"\{([^{}/]+)\}")


class Argument(Struct):
    """What a tool takes under one name: its schema, and whether it must be given."""

    schema: Converted
    required: bool


def path_names(path: str) -> list[str] | None:
    """Return the names in a path template; None where the braces do not match."""
    if re.search(r"[{}]", _IN_PATH.sub("", path)):
        return None
    return list(dict.fromkeys(_IN_PATH.findall(path)))


class Parameters:
    """Reads the parameters of operations."""

    def __init__(self, references: References, schemas: Schemas, problems: Problems) -> None:
        self._references = references
        self._schemas = schemas
        self._problems = problems

    def declared(self, *holders: Node) -> dict[tuple[str, str], Node]:
        """Return the usable parameters of a path and of its operation, which wins."""
        found: dict[tuple[str, str], Node] = {}
        for holder in holders:
            listed = holder.find("parameters")
            if listed is None:
                continue
            if not isinstance(listed.value, list):
                self._problems.add(listed, "parameters must be a list; they are left out")
            for each in listed.elements():
                self._schemas.work += _WORK
                parameter = self._references.follow(each)
                if parameter is not None and self._is_usable(parameter):
                    found[parameter.value["in"], parameter.value["name"]] = parameter
        return found

    def read(self, node: Node) -> tuple[Parameter, Argument]:
        """Return a usable parameter, and the argument that a tool takes for it."""
        value = node.value
        location: Location = value["in"]
        media_type, schema = self._schema(node)
        style = self._style(node, location)
        explode = value.get("explode")
        required = location == "path" or value.get("required") is True
        parameter = Parameter(
            name=value["name"],
            location=location,
            style=style,
            explode=explode if isinstance(explode, bool) else style == "form",
            required=required,
            allow_reserved=value.get("allowReserved") is True,
            media_type=media_type,
        )
        return parameter, Argument(_annotated(schema, value), required)

    def _is_usable(self, node: Node) -> bool:
        value = node.value
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str) or not name:
            self._problems.add(node, "a parameter needs a name; it is left out")
            return False
        location = value.get("in")
        if location not in get_args(Location):
            what = 'a parameter is "in" path, query, header or cookie; this one is left out'
            self._problems.add(node, what)
            return False
        return location in ("path", "query") or self._is_sendable(node, name, location)

    def _is_sendable(self, node: Node, name: str, location: str) -> bool:
        if not is_token(name):
            self._problems.add(node, f"{name[:80]!r} cannot be a {location}'s name; left out")
            return False
        if location == "cookie" or name.lower() not in _IGNORED_HEADERS | _OUR_HEADERS:
            return True
        if name.lower() in _OUR_HEADERS:
            what = f"the header {name} is set by whoever sends the request; it is left out"
            self._problems.add(node, what)
        return False

    def _style(self, node: Node, location: Location) -> Style:
        known = _STYLES[location]
        style = node.value.get("style", known[0])
        if style in known:
            return known[known.index(style)]
        what = f"a {location} parameter has the style {' or '.join(known)}; {known[0]} is used"
        self._problems.add(node, what)
        return known[0]

    def _schema(self, node: Node) -> tuple[str, Converted]:
        """Return the media type a value is written as, "" for none, and the value's schema."""
        content = node.find("content")
        for media_type, part in content.items() if content else ():
            if is_media_type(media_type):
                return media_type, self._converted(part)
        return "", self._converted(node)

    def _converted(self, holder: Node) -> Converted:
        schema = holder.find("schema")
        if schema is not None:
            return self._schemas.convert(schema)
        return self._schemas.text()


def _annotated(schema: Converted, parameter: Mapping[str, Any]) -> Converted:
    """Add what a parameter says about itself to its schema."""
    notes: dict[str, Any] = {}
    if isinstance(parameter.get("description"), str) and parameter["description"]:
        notes["description"] = parameter["description"]
    if parameter.get("deprecated") is True:
        notes["deprecated"] = True
    return schema.annotated(notes)
