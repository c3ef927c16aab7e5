"""The fake upstream with tools: an OpenAPI document, a listing, and something to post.

Run as ``python -m bench.service``: prints ``{"port": N}`` when it listens.
"""

from __future__ import annotations

import json
from typing import Any

from bench.upstream import Upstream, answer, main

__all__ = ("ITEM", "Service", "document")

#: The arguments of a posted item.
ITEM: dict[str, Any] = {
    "name": "kettle",
    "quantity": 2,
    "tags": ["steel", "1.7 l"],
    "address": {"street": "Main Street 1", "city": "Bern"},
}
_ADDRESS = {
    "type": "object",
    "required": ["city"],
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
}
_SCHEMA = {
    "type": "object",
    "required": ["name", "quantity"],
    "properties": {
        "name": {"type": "string", "description": "What it is called."},
        "quantity": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"type": "string"}},
        "address": {"$ref": "#/components/schemas/Address"},
    },
}


def document(operations: int) -> bytes:
    """Return an OpenAPI document of so many operations: a GET and a POST at each path."""
    paths: dict[str, Any] = {}
    for number in range(operations // 2):
        suffix = f"_{number}" if number else ""
        paths[f"/items{suffix}"] = {"get": _listing(suffix), "post": _posting(suffix)}
    schemas = {"Item": _SCHEMA, "Address": _ADDRESS}
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "bench", "version": "1"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    ).encode()


def _listing(suffix: str) -> dict[str, Any]:
    words = {"name": "q", "in": "query", "schema": {"type": "string"}}
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}}
    return {
        "operationId": f"list_items{suffix}",
        "summary": "List the items that have a word in their names.",
        "parameters": [words, limit],
        "responses": {"200": {"description": "the items"}},
    }


def _posting(suffix: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Item"}
    return {
        "operationId": f"add_item{suffix}",
        "summary": "Add an item.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": "the item"}},
    }


_DOCUMENT = answer(json.loads(document(10)))
_ITEMS = answer({"items": [{"id": number, **ITEM} for number in range(5)]})
_ADDED = answer({"id": 7, **ITEM})


class Service(Upstream):
    """One connection; see `Upstream` for what else is answered."""

    __slots__ = ()

    def on_message_complete(self) -> None:
        """Answer."""
        url = self._url
        if url.startswith(b"/items"):
            self._transport.write(_ADDED if self._body else _ITEMS)
        elif url.endswith(b"/openapi.json"):
            self._transport.write(_DOCUMENT)
        else:
            super().on_message_complete()


if __name__ == "__main__":
    main(Service)
