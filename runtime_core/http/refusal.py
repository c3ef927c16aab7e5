"""Answering requests that are not let in, in the shape that errors have on their route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.exceptions import HTTPException

from runtime_core.errors import RuntimeCoreError
from runtime_core.http.errors import answer_error
from runtime_core.http.requests import ApiRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from litestar import Litestar, Request, Response

    # Any: the framework's types of scope, receive and send are narrower than ASGI's.
    Refuse = Callable[
        [RuntimeCoreError, MutableMapping[str, Any], Any, Any],
        Awaitable[None],
    ]
    ErrorHandler = Callable[[Request[Any, Any, Any], Any], Response[Any]]

__all__ = ("refuse_by_route", "refuse_plainly")


async def refuse_plainly(
    error: RuntimeCoreError, scope: MutableMapping[str, Any], receive: Any, send: Any
) -> None:
    """Answer with the common envelope."""
    await _answer(answer_error, error, scope, receive, send)


def refuse_by_route(app: Litestar) -> Refuse:
    """Return what answers as the route that was asked for answers its own errors."""

    async def refuse(
        error: RuntimeCoreError, scope: MutableMapping[str, Any], receive: Any, send: Any
    ) -> None:
        await _answer(_handler(app, scope, error), error, scope, receive, send)

    return refuse


def _handler(
    app: Litestar, scope: MutableMapping[str, Any], error: RuntimeCoreError
) -> ErrorHandler:
    try:
        found = app.asgi_router.handle_routing(path=scope["path"], method=scope["method"])
    except (HTTPException, RuntimeCoreError):
        return answer_error
    handlers = found[1].resolve_exception_handlers()
    return next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), answer_error)


async def _answer(
    handler: ErrorHandler,
    error: RuntimeCoreError,
    scope: MutableMapping[str, Any],
    receive: Any,
    send: Any,
) -> None:
    scope.setdefault("state", {})
    request = ApiRequest(scope, receive, send)  # type: ignore[arg-type]
    response = handler(request, error)
    await response.to_asgi_response(app=None, request=request)(scope, receive, send)  # type: ignore[arg-type]
