"""The API's description: OpenAPI 3.1 of every route, the plugins' too, made when first asked for.

Litestar describes what it knows from the handlers' signatures; what is true for all of them
(errors, keys, YAML, streams) is added here once.  A handler's ``opt`` may say more:
``example`` (of its body), ``body`` and ``answer`` (types in the place of plain dicts),
``streams``, ``text`` and ``empty`` (kinds of answers), ``asks`` (a backend is asked), ``refuses``
(statuses of refusals not every route has), ``error`` (the type of what is answered in the place of
the common envelope), ``also`` (further answers: a type by status).
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Litestar
from litestar.exceptions import LitestarException
from litestar.openapi import OpenAPIConfig
from msgspec import Struct

from runtime_core.http.requests import ApiRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from litestar.di import Provide
    from litestar.handlers import HTTPRouteHandler
    from litestar.types import ControllerRouterHandler

__all__ = ("Document",)

_log = logging.getLogger("runtime.http")

#: What the framework's description raises about types it cannot put in words.
_INDESCRIBABLE = (
    AttributeError,
    LitestarException,
    LookupError,
    NameError,
    TypeError,
    ValueError,
)

_REF = "#/components/schemas/{name}"
_ERRORS = {
    "400": "Malformed, or asks for something that cannot be done",
    "401": "No key, or one that is not known here",
    "404": "There is no such thing",
    "422": "A field is missing or has a wrong value; param names it",
    "500": "A fault of the server's own",
}
_RUN_ERRORS = {
    "429": "A backend asks for patience; Retry-After says for how long",
    "502": "A backend refused or broke",
    "503": "No backend, or no database, can serve the request now",
    "504": "A task or a backend took too long",
}
_REFUSALS = {
    "403": "A thing that must not be changed",
    "409": "Contradicts what is stored",
}
_STORE_ERRORS = {"503": "The database cannot be reached, or not be written, now"}
_STORES = frozenset(
    {"chains", "sessions", "backends", "model_store", "groups", "provider_configs", "downloads"}
)
_BODY_ERRORS = {
    "413": "The body is too large",
    "415": "Neither JSON nor YAML",
}


class ErrorBody(Struct):
    """What went wrong and what to do about it."""

    message: str
    type: str
    code: str
    param: str | msgspec.UnsetType = msgspec.UNSET
    request_id: str | msgspec.UnsetType = msgspec.UNSET


class ErrorEnvelope(Struct):
    """The answer to every request that fails."""

    error: ErrorBody


class Document:
    """The description of one application's routes."""

    def __init__(
        self,
        routes: Sequence[ControllerRouterHandler],
        dependencies: Mapping[str, Provide],
        *,
        version: str,
    ) -> None:
        self._routes = routes
        self._dependencies = dependencies
        self._version = version
        self._rendered: bytes | None = None

    def render(self) -> bytes:
        """Return the document as JSON."""
        if self._rendered is None:
            self._rendered = msgspec.json.encode(self._build())
        return self._rendered

    def _build(self) -> dict[str, Any]:
        try:
            app, schema = self._described(self._routes)
        except _INDESCRIBABLE:
            app, schema = self._described([one for one in self._routes if self._can_describe(one)])
        schema["info"]["description"] = (
            "Turns language models, tools, events and small functions into workflows."
        )
        components = schema.setdefault("components", {})
        components["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        schema["security"] = [{"key": []}, {"bearer": []}, {}]
        schema["servers"] = [{"url": "."}]
        schemas = components.setdefault("schemas", {})
        _define(ErrorEnvelope, schemas)
        for path, method, handler in _handlers(app):
            operation = schema["paths"].get(path, {}).get(method)
            if operation is not None:
                _complete(operation, handler, schemas)
        return schema

    def _described(
        self, routes: Sequence[ControllerRouterHandler]
    ) -> tuple[Litestar, dict[str, Any]]:
        app = Litestar(
            routes,
            dependencies=dict(self._dependencies),
            request_class=ApiRequest,
            logging_config=None,
            openapi_config=OpenAPIConfig(
                title="Runtime API", version=self._version, use_handler_docstrings=True
            ),
        )
        return app, app.openapi_schema.to_schema()

    def _can_describe(self, route: ControllerRouterHandler) -> bool:
        """Whether a route can be described; one that cannot does not take the others along."""
        try:
            self._described([route])
        except _INDESCRIBABLE as error:
            _log.error("%s is left out of the API's description: %s", route, error)
            return False
        return True


def _handlers(app: Litestar) -> Iterable[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        path = re.sub(r":\w+\}", "}", route.path)
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods:
                yield path, method.lower(), handler


def _complete(
    operation: dict[str, Any], handler: HTTPRouteHandler, schemas: dict[str, Any]
) -> None:
    """Add to an operation what its signature does not say."""
    opt = handler.opt
    responses = operation.setdefault("responses", {})
    good = next((code for code in responses if code.startswith("2")), "200")
    _describe_answer(responses.setdefault(good, {"description": "Done"}), opt, schemas)
    if (body := operation.get("requestBody")) is not None:
        _describe_body(body, opt, schemas)
    for code, text in _failures(handler, with_body=body is not None).items():
        # the framework's own idea of an error is not what is answered here
        kind = opt.get("error", ErrorEnvelope)
        responses[code] = {"description": text, "content": _json(kind, schemas)}
    for code, kind in opt.get("also", {}).items():
        text = (kind.__doc__ or "").partition("\n")[0].rstrip(".")
        responses[str(code)] = {"description": text, "content": _json(kind, schemas)}


def _failures(handler: HTTPRouteHandler, *, with_body: bool) -> dict[str, str]:
    """Return the statuses of what can go wrong, each with the reason."""
    failures = dict(_ERRORS)
    if with_body:
        failures |= _BODY_ERRORS
    if _STORES & handler.parsed_fn_signature.parameters.keys():
        failures |= _STORE_ERRORS
    if handler.opt.get("asks"):
        failures |= _RUN_ERRORS
    failures |= {status: _REFUSALS[status] for status in handler.opt.get("refuses", ())}
    return failures


def _describe_body(body: dict[str, Any], opt: Mapping[str, Any], schemas: dict[str, Any]) -> None:
    content = body["content"].get("application/json")
    if content is None:
        return
    if "body" in opt:
        content["schema"] = _define(opt["body"], schemas)
    if "example" in opt:
        content["example"] = opt["example"]
    body["content"] = {"application/json": content, "application/yaml": content}


def _describe_answer(
    response: dict[str, Any], opt: Mapping[str, Any], schemas: dict[str, Any]
) -> None:
    content: dict[str, Any] = response.setdefault("content", {})
    if opt.get("empty"):
        del response["content"]
        return
    if opt.get("text"):
        response["content"] = {"text/plain": {"schema": {"type": "string"}}}
        return
    if "answer" in opt:
        content |= _json(opt["answer"], schemas)
    if opt.get("streams"):
        content["text/event-stream"] = {"schema": {"description": "Events; their data is JSON"}}
    response.setdefault("headers", {})["X-Request-ID"] = {
        "description": "The request's id, as in the server's log",
        "schema": {"type": "string"},
    }


def _json(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": _define(kind, schemas)}}


def _define(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Put a type's schema among *schemas*, and return the reference to it."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template=_REF)
    for name, component in components.items():
        schemas.setdefault(name, component)
    return schema
