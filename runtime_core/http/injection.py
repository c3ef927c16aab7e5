"""What the framework is told about the kernel's objects when they are injected.

Two of its defaults do not fit objects that are given once per application: it would check each
of them against its annotation (which a plain Protocol cannot answer), and it would resolve them
in a task each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from litestar.di import Provide
from litestar.params import SkipValidationMarker
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import HTTPRoute
from litestar.types import Empty

from runtime_core.http.bodies import check_readable

if TYPE_CHECKING:
    from litestar.routes import BaseRoute

__all__ = ("Injection", "constant")


def constant(value: object) -> Provide:
    """Return a dependency that is always *value*."""

    def get() -> Any:
        return value

    return Provide(get, sync_to_thread=False, use_cache=True)


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
            model.dependency_batches = [
                {one} for batch in model.dependency_batches for one in batch
            ]
