from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runtime_hooks_remote.openapi import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_hooks_remote.shapes import Document

DOCUMENTS = Path(__file__).parent.parent / "documents"
URL = "https://api.example/v1/openapi.json"

_NOUNS = re.findall(
    r"\w+",
    """
    artifacts advisories alerts assets autolinks blobs branches cards checks codespaces
    columns comments commits deliveries deployments environments forks gists hooks invitations
    issues jobs keys labels languages members merges milestones notices packages projects
    pulls refs releases repositories reviews rules rulesets runners secrets stars statuses
    suites tags teams topics trees variables versions watchers workflows
    """,
)


@pytest.fixture(name="load", scope="session")
def load_document() -> Callable[[str], bytes]:
    """The bytes of a document of the folder, by its name."""
    return lambda name: (DOCUMENTS / name).read_bytes()


@pytest.fixture
def reading(load: Callable[[str], bytes]) -> Callable[..., Document]:
    """Reads a document of the folder by its name, or one that is given as data."""

    def reading(source: str | dict[str, Any], **options: Any) -> Document:
        content = load(source) if isinstance(source, str) else json.dumps(source).encode()
        return read(content, **{"url": URL, **options})

    return reading


@pytest.fixture(scope="session")
def parameters() -> Callable[[Document], dict[str, Any]]:
    """The schemas of a document's tools, by name."""
    return lambda read: {name: each.tool.parameters for name, each in read.operations.items()}


@pytest.fixture(scope="session")
def calls() -> Callable[[Document], dict[str, str]]:
    """The methods and paths of a document's tools, by name."""
    return lambda read: {
        name: f"{each.method} {each.path}" for name, each in read.operations.items()
    }


@pytest.fixture(scope="session")
def problems() -> Callable[[Document], dict[str, str]]:
    """What is wrong with a document, by where."""
    return lambda read: {problem.where: problem.what for problem in read.problems}


@pytest.fixture
def body_of() -> Callable[..., dict[str, Any]]:
    """A document with one operation, ``send``, whose JSON body has a schema."""

    def body_of(schema: Any, version: str = "3.1.0", **schemas: Any) -> dict[str, Any]:
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        return {
            "openapi": version,
            "info": {"title": "One", "version": "1"},
            "paths": {"/send": {"post": {"operationId": "send", "requestBody": body}}},
            "components": {"schemas": schemas},
        }

    return body_of


@pytest.fixture(scope="session")
def code_hosting() -> dict[str, Any]:
    """The document of a code host: eleven operations on each of fifty-one kinds of things."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {
        "visibility": {"type": "string", "enum": ["public", "private"]},
        "actor": {
            "type": "object",
            "properties": {
                "login": {"type": "string"},
                "email": {"type": "string", "nullable": True},
                "manager": {"$ref": "#/components/schemas/actor"},
            },
        },
    }
    for noun, parent in zip(_NOUNS, [*_NOUNS[1:], _NOUNS[0]], strict=True):
        schemas[noun] = _thing(noun, parent if len(noun) % 4 else None)
        for verb, method, tail, has_body in _VERBS:
            path = f"/orgs/{{org}}/{noun}{tail}"
            paths.setdefault(path, {})[method] = _operation(noun, verb, method, path, has_body)
    return {
        "openapi": "3.0.3",
        "info": {"title": "Code hosting", "version": "2026-01-01"},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": {
                "org": _parameter("org", "path", {"type": "string"}),
                "id": _parameter("id", "path", {"type": "integer"}),
                "page": _parameter("page", "query", {"type": "integer", "default": 1}),
                "per_page": _parameter("per_page", "query", {"type": "integer", "maximum": 100}),
            },
        },
    }


_VERBS = (
    ("list", "get", "", False),
    ("create", "post", "", True),
    ("get", "get", "/{id}", False),
    ("replace", "put", "/{id}", True),
    ("update", "patch", "/{id}", True),
    ("delete", "delete", "/{id}", False),
    ("history", "get", "/{id}/history", False),
    ("archive", "post", "/{id}/archive", False),
    ("restore", "delete", "/{id}/archive", False),
    ("lock", "put", "/{id}/lock", True),
    ("search", "get", "/search", False),
)


def _thing(noun: str, parent: str | None) -> dict[str, Any]:
    properties = {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string", "maxLength": 100, "description": f"The name of the {noun}."},
        "visibility": {"$ref": "#/components/schemas/visibility"},
        "owner": {"$ref": "#/components/schemas/actor"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "created_at": {"type": "string", "format": "date-time", "readOnly": True},
    }
    if parent:
        properties["parent"] = {"$ref": f"#/components/schemas/{parent}"}
    return {"type": "object", "required": ["id", "name"], "properties": properties}


def _operation(noun: str, verb: str, method: str, path: str, has_body: bool) -> dict[str, Any]:
    names = ["org", *(["id"] if "{id}" in path else []), *(["page", "per_page"] * (verb == "list"))]
    thing = {"application/json": {"schema": {"$ref": f"#/components/schemas/{noun}"}}}
    operation: dict[str, Any] = {
        "operationId": f"{noun}/{verb}",
        "summary": f"{verb.capitalize()} {noun}",
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in names],
        "responses": {"200": {"description": "done", "content": thing}},
    }
    if has_body:
        operation["requestBody"] = {"required": True, "content": thing}
    return operation


def _parameter(name: str, location: str, schema: dict[str, Any]) -> dict[str, Any]:
    required = {"required": True} if location == "path" else {}
    return {"name": name, "in": location, **required, "schema": schema}
