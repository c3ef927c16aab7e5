"""The MCP server itself: the SDK's protocol around an `Offer`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import mcp_types as mcp
import msgspec
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from runtime_core import __version__
from runtime_core.errors import TaskFailed, Unprocessable
from runtime_core.http import describe
from runtime_hooks_mcp.endpoint import TENANT
from runtime_hooks_mcp.hops import counted, hops_so_far

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp.server import ServerRequestContext

    from runtime_core.types import Tool, Value
    from runtime_hooks_mcp.endpoint import ASGIApp
    from runtime_hooks_mcp.offer import Offer

__all__ = ("serving",)

_VERSION_HEADER = b"mcp-protocol-version"
_EVENTS = b"text/event-stream"
_OLDEST = HANDSHAKE_PROTOCOL_VERSIONS[0].encode()
_HANDSHAKE = frozenset(version.encode() for version in HANDSHAKE_PROTOCOL_VERSIONS)


@asynccontextmanager
async def serving(offer: Offer) -> AsyncIterator[ASGIApp]:
    """Give the ASGI application that answers ``POST /mcp`` while the context is open.

    No request knows of another.  Clients of the newer protocol that take events get them as soon
    as there is progress to tell; all others get JSON.
    """
    server = _Protocol(offer).server()
    older = StreamableHTTPSessionManager(
        server, stateless=True, json_response=True, max_request_body_size=sys.maxsize
    )
    newer = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=sys.maxsize)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        live = headers.get(_VERSION_HEADER, _OLDEST) not in _HANDSHAKE and _EVENTS in headers.get(
            b"accept", b""
        )
        # what a client should say, but a person with curl does not
        headers[b"accept"] = b"application/json, text/event-stream"
        headers.setdefault(b"content-type", b"application/json")
        scope = {**scope, "headers": list(headers.items())}
        await (newer if live else older).handle_request(scope, receive, send)

    async with older.run(), newer.run():
        yield app


class _Protocol:
    """The methods of MCP that are answered."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def server(self) -> Server[Any]:
        return Server(
            "runtime-api",
            version=__version__,
            title="Runtime API",
            instructions="Each tool is a task chain or a hook's tool of this server.",
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            # none of our schemas asks for headers, and a call should not cost a listing
            get_tool_input_schema=lambda name: None,
        )

    async def list_tools(
        self, context: ServerRequestContext[Any], params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListToolsResult:
        """Answer ``tools/list``."""
        try:
            page = await self._offer.tools(_tenant(context), params.cursor if params else None)
        except Unprocessable as error:
            raise MCPError(mcp.INVALID_PARAMS, error.message) from error
        return mcp.ListToolsResult(
            tools=[_listed(tool) for tool in page.tools], next_cursor=page.cursor
        )

    async def call_tool(
        self, context: ServerRequestContext[Any], params: mcp.CallToolRequestParams
    ) -> mcp.CallToolResult:
        """Answer ``tools/call``; what fails is a result that says so."""
        try:
            hops = hops_so_far(context.meta)
        except TaskFailed as error:
            return _result(error.message, failed=True)
        tenant_id = _tenant(context)
        offered = await self._offer.find(tenant_id, params.name)
        if offered is None:
            raise MCPError(mcp.INVALID_PARAMS, f"there is no tool {params.name[:100]!r}")

        async def progress(steps: int, task: str) -> None:
            await context.session.report_progress(steps, message=task)

        # a plugin's code may run in there: what it raises is told as every answer tells it
        with counted(hops):
            [outcome] = await asyncio.gather(
                self._offer.call(tenant_id, offered, params.arguments or {}, progress),
                return_exceptions=True,
            )
        if isinstance(outcome, BaseException):
            return _result(describe(outcome).message, failed=True)
        return _answer(outcome)


def _tenant(context: ServerRequestContext[Any]) -> str:
    assert context.request is not None
    return str(context.request.scope[TENANT])


def _listed(tool: Tool) -> mcp.Tool:
    return mcp.Tool(
        name=tool.name,
        description=tool.description or None,
        input_schema=tool.parameters or {"type": "object"},
    )


def _answer(value: Value) -> mcp.CallToolResult:
    if isinstance(value.data, str):
        return _result(value.data)
    text = msgspec.json.encode(value.data).decode()
    if isinstance(value.data, dict):
        return _result(text, structured=value.data)
    return _result(text)


def _result(
    text: str, *, structured: dict[str, Any] | None = None, failed: bool = False
) -> mcp.CallToolResult:
    return mcp.CallToolResult(
        content=[mcp.TextContent(text=text)], structured_content=structured, is_error=failed
    )
