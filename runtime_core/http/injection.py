"""What the framework is told about the kernel's objects when they are injected.

Two of its defaults do not fit what is known before a handler is called: it would check each value
against its annotation (which a plain Protocol cannot answer), and it would find each of them by a
coroutine, or even a task, of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from litestar.di import Provide
from litestar.params import SkipValidationMarker
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import HTTPRoute
from litestar.types import Empty, Scope

from runtime_core.http.bodies import check_readable

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.routes import BaseRoute

__all__ = ("Injection", "constant", "scoped")

_Look = Callable[[Any], Any]


class _Known(Provide):
    """A dependency that is there before the handler's turn; *look* finds it, given the scope."""

    def __init__(self, get: Callable[..., Any], look: _Look) -> None:
        super().__init__(get, sync_to_thread=False)
        self.look = look


def constant(value: object) -> Provide:
    """Return a dependency that is always *value*."""

    def get() -> Any:
        return value

    return _Known(get, lambda _: value)


def scoped(key: str) -> Provide:
    """Return a dependency that is what the request's scope has under *key*."""

    def get(scope: Scope) -> Any:
        return scope[key]  # type: ignore[literal-required]

    return _Known(get, get)


class Injection(ReceiveRoutePlugin):
    """Hands dependencies to handlers as they are, one after the other."""

    def receive_route(self, route: BaseRoute) -> None:
        """Prepare the handlers of a route that has just been registered.

        :raises TypeError: a handler's ``data`` has a type that no body can be decoded as.
        """
        if not isinstance(route, HTTPRoute):
            return
        for handler, model in route.route_handler_map.values():
            fields = handler.parsed_fn_signature.parameters
            for name, field in list(fields.items()):
                if field.is_di_field:
                    fields[name] = replace(
                        field, metadata=(*field.metadata, SkipValidationMarker())
                    )
            if (data := fields.get("data")) is not None:
                check_readable(data.annotation)
            handler._signature_model = Empty  # made again, from these fields, when asked for
            found = [one for batch in model.dependency_batches for one in batch]
            known = {one.key: one.provide.look for one in found if isinstance(one.provide, _Known)}
            model.dependency_batches = [{one} for one in found if one.key not in known]
            model.extractors = [_giver(known), *model.extractors]


def _giver(known: Mapping[str, _Look]) -> Callable[..., Awaitable[None]]:
    """Return what puts the known dependencies among a handler's arguments."""
    looks = tuple(known.items())

    async def give(
        arguments: dict[str, Any], connection: ASGIConnection[Any, Any, Any, Any]
    ) -> None:
        scope = connection.scope
        for name, look in looks:
            arguments[name] = look(scope)

    return give
