"""``POST /mcp``: chains and hooks for MCP clients."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.types import Receive, Scope, Send

from runtime_core.errors import InvalidRequest, UnsupportedMedia
from runtime_core.http import ClientDisconnected, until_disconnected
from runtime_core.protocols import HookSource
from runtime_hooks_mcp.endpoint import TENANT, ASGIApp, check_caller

__all__ = ("mcp",)


class _Answer(Response[bytes]):
    """An answer that the MCP server writes by itself, as long as the client waits for it."""

    __slots__ = ("_app", "_body", "_request", "_tenant_id")

    def __init__(
        self, app: ASGIApp, request: Request[Any, Any, Any], body: bytes, tenant_id: str
    ) -> None:
        super().__init__(b"")
        self._app = app
        self._request = request
        self._body: bytes | None = body
        self._tenant_id = tenant_id

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return itself: it is its own ASGI application."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the MCP server answer, and stop it when the client is gone."""

        async def again() -> Any:
            if self._body is None:
                return await receive()
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}

        with suppress(ClientDisconnected):
            await until_disconnected(self._request, self._answer(scope, again, send))

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app({**scope, TENANT: self._tenant_id}, receive, send)


@post(
    "/mcp",
    status_code=200,
    tags=["Hooks"],
    summary="Model Context Protocol",
    opt={"streams": True, "refuses": ("403",)},
)
async def mcp(
    request: Request[Any, Any, Any],
    hook_sources: NamedDependency[Mapping[str, HookSource]],
    settings: NamedDependency[Any],
    tenant_id: NamedDependency[str],
) -> Response[bytes]:
    """Answer one message of the Model Context Protocol: streamable HTTP, without sessions.

    Bodies and errors are JSON-RPC 2.0, as the protocol has them.
    """
    endpoint = getattr(hook_sources["mcp"], "endpoint")  # noqa: B009 - the mapping knows sources only
    check_caller(
        request.headers,
        endpoint.settings,
        origins=settings.cors_origins,
        open_to_all=settings.token is None,
        address=settings.addr,
    )
    _check_kind(request.headers.get("content-type"))
    body = await request.body()
    if not body:
        raise InvalidRequest("the request has no body; send a JSON-RPC message")
    return _Answer(await endpoint.app(), request, body, tenant_id)


def _check_kind(content_type: str | None) -> None:
    if content_type is None:
        return
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMedia(
            f"the body is {content_type[:100]!r}; send a JSON-RPC message with "
            '"Content-Type: application/json"'
        )
