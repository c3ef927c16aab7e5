"""Routes and rooms to one ASGI application."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.di import Provide

from runtime_core._version import __version__
from runtime_core.http.auth import authenticator as authenticator_of
from runtime_core.http.context import ENDLESS, TENANT
from runtime_core.http.errors import answer_error
from runtime_core.http.gate import Gate
from runtime_core.http.injection import Injection, constant, scoped
from runtime_core.http.metrics import MeteredRunner, Metrics
from runtime_core.http.openapi import Document
from runtime_core.http.pagination import provide_page
from runtime_core.http.paths import install_paths
from runtime_core.http.refusal import refuse_by_route
from runtime_core.http.requests import ApiRequest
from runtime_core.http.routes import kernel_routes
from runtime_core.http.sse import Endless
from runtime_core.http.wire.documents import Version
from runtime_core.http.wire.states import StateEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from litestar.types import ControllerRouterHandler

    from runtime_core.http.auth import Authenticator
    from runtime_core.protocols import HealthCheck
    from runtime_core.settings import Settings

__all__ = ("TENANCY", "Api", "build", "check_routes")

#: One server, one tenancy, until tenants have servers of their own.
TENANCY = uuid.uuid5(uuid.NAMESPACE_OID, "runtime-core")


#: What handlers can ask for by parameter name.
ROOMS = (
    *("settings", "runner", "chains", "sessions", "models", "toolbox", "tokens", "plugins"),
    *("backends", "model_store", "groups", "provider_configs", "downloads", "fleet"),
    *("provider_types", "provider_urls", "hook_sources", "secrets"),
)


class Api(Litestar):
    """The application, with the gate in front of it."""

    gate: Gate
    endless: Endless

    def end_streams(self) -> None:
        """End the streams that have no end of their own: the server is about to stop."""
        self.endless.end()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        scope[ENDLESS] = self.endless
        await self.gate(scope, receive, send)


def build(
    settings: Settings,
    *,
    rooms: Mapping[str, object],
    health_checks: Mapping[str, HealthCheck] | None = None,
    routes: Sequence[ControllerRouterHandler] = (),
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]] | None = None,
    authenticator: Authenticator | None = None,
    metrics: Metrics | None = None,
) -> Api:
    """Return the server as an ASGI application.

    :param rooms: what handlers ask for by parameter name, each of `ROOMS`; plugin routes may ask
        for them too, and for ``tenant_id``, ``page`` and ``metrics``.
    :param health_checks: what ``/readyz`` asks, by name.
    :param routes: the plugins' routes; the kernel's own are added.
    :param lifespan: entered before the first request, left after the last.
    :param authenticator: who may ask; by default as the settings say.
    :raises TypeError: a room is missing, or there is no such room; the message names it.
    """
    _check_rooms(rooms)
    metrics = metrics or Metrics(version=__version__)
    given: dict[str, Any] = dict(rooms)
    given["runner"] = MeteredRunner(given["runner"], metrics)
    handlers = (*kernel_routes(), *routes)
    dependencies = _dependencies(given, metrics, health_checks or {})
    dependencies["api_document"] = constant(Document(handlers, dependencies, version=__version__))
    app = _litestar(handlers, dependencies, lifespan)
    app.endless = Endless()
    app.gate = Gate(
        super(Api, app).__call__,
        authenticator=authenticator or authenticator_of(settings),
        metrics=metrics,
        max_body=settings.max_body,
        cors_origins=settings.cors_origins,
        structured=settings.log_format == "json",
        refuse=refuse_by_route(app),
    )
    install_paths(app)
    return app


def _check_rooms(rooms: Mapping[str, object]) -> None:
    """Find out now what would otherwise be a fault in whichever handler asks first."""
    missing = [name for name in ROOMS if rooms.get(name) is None]
    if missing:
        raise TypeError(f"the HTTP server is built without {', '.join(missing)}; give each room")
    if unknown := sorted(rooms.keys() - set(ROOMS)):
        raise TypeError(f"the HTTP server has no room for {', '.join(unknown)}; see ROOMS")


def check_routes(routes: Sequence[ControllerRouterHandler]) -> None:
    """Raise when *routes*, those of one plugin, cannot be mounted.

    Among the reasons: a parameter that nothing is given for, or a body of a type that cannot be
    decoded.
    """
    _litestar(routes, _dependencies(dict.fromkeys(ROOMS), Metrics(version=__version__), {}), None)


def _litestar(
    handlers: Sequence[ControllerRouterHandler],
    dependencies: Mapping[str, Provide],
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]] | None,
) -> Api:
    return Api(
        handlers,
        dependencies=dict(dependencies),
        exception_handlers={Exception: answer_error},
        lifespan=[lifespan] if lifespan is not None else [],
        plugins=[Injection()],
        request_class=ApiRequest,
        # the gate counts bodies, answers OPTIONS, and knows its own way of logging
        request_max_body_size=None,
        openapi_config=None,
        logging_config=None,
    )


def _dependencies(
    rooms: Mapping[str, object], metrics: Metrics, health_checks: Mapping[str, HealthCheck]
) -> dict[str, Provide]:
    version = Version(
        version=f"v{__version__}", node_instance_id=str(uuid.uuid4())[:8], tenancy=str(TENANCY)
    )
    constants = {
        **rooms,
        "metrics": metrics,
        "health_checks": health_checks,
        "server_version": version,
        "state_encoder": StateEncoder(),
    }
    return {
        **{name: constant(value) for name, value in constants.items()},
        "tenant_id": scoped(TENANT),
        "page": provide_page,
    }
