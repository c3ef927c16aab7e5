"""What an OpenAPI document comes to: operations that can be called, each with its tool."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from runtime_core.types import Tool

__all__ = ("Body", "Document", "Location", "Operation", "Parameter", "Problem", "Property", "Style")

Location = Literal["path", "query", "header", "cookie"]
Style = Literal[
    "matrix", "label", "simple", "form", "spaceDelimited", "pipeDelimited", "deepObject"
]


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter outside the body; the tool's argument has the same ``name``.

    ``media_type`` is set where the value is sent as a text of that type instead of by ``style``.
    """

    name: str
    location: Location
    style: Style
    explode: bool
    required: bool = False
    allow_reserved: bool = False
    media_type: str = ""


class Property(Struct, frozen=True, kw_only=True):
    """A top-level property of a body; the tool's argument has the same ``name``.

    ``style`` and ``explode`` say how a form writes lists and objects; ``media_type`` is that of
    the property's own part, where it has one; ``binary`` values are sent as files.
    """

    name: str
    required: bool = False
    style: Style = "form"
    explode: bool = True
    media_type: str = ""
    binary: bool = False


class Body(Struct, frozen=True, kw_only=True):
    """A request body.

    Where its schema is an object, ``properties`` are arguments of their own.  Otherwise
    ``argument`` is the one argument that is the whole body.  ``additional`` says that arguments
    nobody declared belong to the body too; with ``argument`` as well, the body is an object that
    declares nothing, and these arguments are what is in it unless ``argument`` is given.
    A parameter and a property of the same name both get that argument.
    """

    media_type: str
    required: bool = False
    properties: tuple[Property, ...] = ()
    additional: bool = False
    argument: str = ""


class Operation(Struct, frozen=True, kw_only=True):
    """One operation.

    ``method`` is in upper case, ``path`` a template as ``/pets/{petId}``, ``server`` the absolute
    URL that the path is appended to, "" for the hook's own endpoint.
    """

    method: str
    path: str
    tool: Tool
    server: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None


class Problem(Struct, frozen=True):
    """Something wrong with a document: where (a JSON pointer), and what, with what to do."""

    where: str
    what: str


class Document(Struct, frozen=True, kw_only=True):
    """An OpenAPI document, read: its operations by their tools' names.

    ``problems`` say what could not be used and why; the operations that can be are there anyway.
    ``missing`` are the addresses of documents that references lead to and that were not there.
    """

    title: str = ""
    version: str = ""
    operations: dict[str, Operation] = {}
    problems: tuple[Problem, ...] = ()
    missing: tuple[str, ...] = ()
