"""Request bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from runtime_hooks_remote.openapi.media import is_media_type, kind_of, preferred
from runtime_hooks_remote.openapi.objects import object_shape
from runtime_hooks_remote.openapi.parameters import Argument
from runtime_hooks_remote.shapes import Body, Property, Style

if TYPE_CHECKING:
    from collections.abc import Collection

    from runtime_hooks_remote.openapi.media import Kind
    from runtime_hooks_remote.openapi.nodes import Node
    from runtime_hooks_remote.openapi.objects import ObjectShape
    from runtime_hooks_remote.openapi.problems import Problems
    from runtime_hooks_remote.openapi.references import References
    from runtime_hooks_remote.openapi.schemas import Schemas

__all__ = ("Bodies", "UnsendableBody")

#: The one argument that is a whole body, and its name where a parameter has that one already.
_ARGUMENTS: Final = ("body", "request_body", "request_body_content")

_FORMS = ("form", "multipart")


class UnsendableBody(Exception):
    """None of a body's media types can be sent; the text says which there are."""


class Bodies:
    """Reads the request bodies of operations."""

    def __init__(self, references: References, schemas: Schemas, problems: Problems) -> None:
        self._references = references
        self._schemas = schemas
        self._problems = problems

    def read(self, node: Node, taken: Collection[str]) -> tuple[Body, dict[str, Argument]] | None:
        """Return a body and the arguments a tool takes for it; None where it is none.

        :param taken: the names that parameters have.
        :raises UnsendableBody: it has to be sent in a way that there is no code for.
        """
        found = self._references.follow(node)
        content = found.find("content") if found is not None else None
        if found is None or content is None or not isinstance(content.value, dict):
            self._problems.add(node, "a request body needs its content; it is left out")
            return None
        if not content.value:
            return None
        media_type = preferred(content.value)
        if media_type is None:
            raise UnsendableBody(", ".join(map(repr, content.value))[:200])
        media = content.child(media_type)
        kind = kind_of(media_type)
        shape = self._shape(media, kind)
        required = found.value.get("required") is True
        if shape is not None and shape.properties:
            return self._of_properties(media, shape, kind, media_type, required)
        argument = self._whole(found, media, kind, required)
        name = next(each for each in _ARGUMENTS if each not in taken)
        free = shape is not None and shape.additional
        body = Body(media_type=media_type, required=required, argument=name, additional=free)
        return body, {name: argument}

    def _shape(self, media: Node, kind: Kind | None) -> ObjectShape | None:
        schema = media.find("schema")
        if schema is None or kind in ("text", "binary"):
            return None
        return object_shape(schema, self._references)

    def _of_properties(
        self, media: Node, shape: ObjectShape, kind: Kind | None, media_type: str, required: bool
    ) -> tuple[Body, dict[str, Argument]]:
        properties = []
        arguments = {}
        for name, node in shape.properties.items():
            if self._schemas.is_read_only(node):
                continue
            needed = name in shape.required
            arguments[name] = Argument(self._schemas.convert(node), needed)
            properties.append(self._property(name, node, media, kind, needed))
        body = Body(
            media_type=media_type,
            required=required,
            properties=tuple(properties),
            additional=shape.additional,
        )
        return body, arguments

    def _whole(self, body: Node, media: Node, kind: Kind | None, required: bool) -> Argument:
        schema = media.find("schema")
        if schema is not None:
            converted = self._schemas.convert(schema)
        elif kind == "text":
            converted = self._schemas.text()
        elif kind == "binary":
            converted = self._schemas.text(format="binary")
        else:
            converted = self._schemas.anything()
        description = body.value.get("description")
        described = isinstance(converted.schema, dict) and "description" in converted.schema
        if isinstance(description, str) and description and not described:
            converted = converted.annotated({"description": description})
        return Argument(converted, required)

    def _property(
        self, name: str, node: Node, media: Node, kind: Kind | None, required: bool
    ) -> Property:
        if kind not in _FORMS:
            return Property(name=name, required=required)
        encodings = media.find("encoding")
        encoding = encodings.find(name) if encodings is not None else None
        stated: dict[str, Any] = {}
        if encoding is not None and isinstance(encoding.value, dict):
            stated = encoding.value
        schema = self._value_of(node)
        element = schema
        if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
            found = self._references.follow(node)
            items = found.find("items") if found is not None else None
            element = self._value_of(items) if items is not None else {}
        media_type = _stated_type(stated)
        styled = any(key in stated for key in ("style", "explode", "allowReserved"))
        binary = kind == "multipart" and _is_binary(element, media_type)
        if not media_type and not binary and not styled and _is_structure(element):
            media_type = "application/json"
        style = _style(stated)
        explode = stated.get("explode")
        return Property(
            name=name,
            required=required,
            style=style,
            explode=explode if isinstance(explode, bool) else style == "form",
            media_type="" if styled and kind == "form" else media_type,
            binary=binary,
        )

    def _value_of(self, node: Node) -> dict[str, Any]:
        found = self._references.follow(node)
        return found.value if found is not None and isinstance(found.value, dict) else {}


def _stated_type(encoding: dict[str, Any]) -> str:
    """Return the first media type that an encoding offers, "" for none that can be sent."""
    stated = encoding.get("contentType")
    first = stated.split(",")[0].strip() if isinstance(stated, str) else ""
    return first if is_media_type(first) else ""


def _style(encoding: dict[str, Any]) -> Style:
    stated = encoding.get("style")
    for style in _FORM_STYLES:
        if style == stated:
            return style
    return "form"


_FORM_STYLES: tuple[Style, ...] = tuple(
    style for style in get_args(Style) if style not in ("matrix", "label", "simple")
)


def _is_binary(schema: dict[str, Any], media_type: str) -> bool:
    """Whether a part of a form is a file: 3.0 says so by format, 3.1 by the content's type."""
    if schema.get("format") == "binary":
        return True
    if "contentMediaType" in schema or not schema:
        return "contentEncoding" not in schema and kind_of(_type(schema, media_type)) == "binary"
    return False


def _type(schema: dict[str, Any], media_type: str) -> str:
    stated = schema.get("contentMediaType", media_type)
    return stated if isinstance(stated, str) else ""


def _is_structure(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind in ("object", "array") or (kind is None and "properties" in schema)
