"""MCP servers behind a URL: streamable HTTP.

What breaks on the way would end the SDK's transport, and every call on it.  Here it becomes the
answer to the one request it happened to.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
from mcp.client.streamable_http import streamable_http_client

from runtime_core import __version__
from runtime_core.errors import RuntimeCoreError, TaskFailed
from runtime_hooks_mcp.wire import UNREACHABLE, masked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mcp.client import Transport

    from runtime_hooks_mcp.settings import ServerSettings
    from runtime_hooks_mcp.wire import Wire

__all__ = ("web",)

_CONNECT = 10.0
_SHOWN = 300
_ERROR_BODY = 64 * 1024
_BREAKS = re.compile(r"[\r\n\0]")


def web(settings: ServerSettings, wire: Wire, reveal: Callable[[str], Awaitable[str]]) -> Transport:
    """Connect to the server's URL with the configured headers.

    :param reveal: replaces ``{{secret:NAME}}``, for each request anew.
    """
    return _transport(settings, wire, reveal)


@asynccontextmanager
async def _transport(
    settings: ServerSettings, wire: Wire, reveal: Callable[[str], Awaitable[str]]
) -> AsyncIterator[Any]:
    # reading the certificates to trust takes longer than the loop may be kept
    inner = await asyncio.to_thread(
        httpx2.AsyncHTTPTransport, trust_env=False, limits=httpx2.Limits(max_connections=None)
    )
    async with (
        httpx2.AsyncClient(
            transport=_Guarded(inner, settings, wire, reveal),
            # how long an answer may take is each call's own affair
            timeout=httpx2.Timeout(None, connect=_CONNECT),
            headers={"user-agent": f"runtime-api/{__version__}"},
            trust_env=False,
        ) as client,
        streamable_http_client(
            settings.url, http_client=client, max_sse_event_size=settings.max_message
        ) as streams,
    ):
        yield streams


class _Guarded(httpx2.AsyncBaseTransport):
    """Adds the headers, bounds the bodies, and answers for a server that does not."""

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        settings: ServerSettings,
        wire: Wire,
        reveal: Callable[[str], Awaitable[str]],
    ) -> None:
        self._inner = inner
        self._headers = settings.headers
        self._limit = settings.max_message
        self._wire = wire
        self._reveal = reveal

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            secrets = await self._add_headers(request)
            response = await self._inner.handle_async_request(request)
        except (httpx2.TransportError, RuntimeCoreError) as error:
            return self._unreachable(request, str(error) or type(error).__name__)
        if response.status_code >= 400:
            return await self._refused(request, response, secrets)
        response.stream = _Bounded(response.stream, self._body_limit(response), self._wire)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _add_headers(self, request: httpx2.Request) -> list[str]:
        values = []
        for name, template in self._headers.items():
            value = await self._reveal(template)
            if _BREAKS.search(value):
                raise TaskFailed(f"the header {name!r} configured for it has a line break")
            request.headers[name] = value
            values.append(value)
        return values

    def _body_limit(self, response: httpx2.Response) -> int | None:
        """Streams of events may be endless; each event is bounded where they are read."""
        kind = response.headers.get("content-type", "").lower()
        return None if kind.startswith("text/event-stream") else self._limit

    def _unreachable(self, request: httpx2.Request, reason: str) -> httpx2.Response:
        self._wire.suspect(f"it cannot be reached: {reason}")
        return _answer(request, 502, UNREACHABLE, f"it cannot be reached: {reason}")

    async def _refused(
        self, request: httpx2.Request, response: httpx2.Response, secrets: list[str]
    ) -> httpx2.Response:
        """Keep a JSON-RPC error and what 404 and 405 mean; say of others what came back."""
        body = await self._beginning(response)
        await response.aclose()
        if b'"jsonrpc"' in body or response.status_code in (404, 405):
            self._note(response.status_code)
            return httpx2.Response(
                response.status_code,
                headers={"content-type": response.headers.get("content-type", "")},
                content=body,
                request=request,
            )
        text = " ".join(masked(body.decode("utf-8", "replace"), secrets).split())[:_SHOWN]
        reason = f"it answered {response.status_code} {response.reason_phrase}: {text}".rstrip(": ")
        self._wire.suspect(reason)
        code = UNREACHABLE if response.status_code >= 500 else -32603
        return _answer(request, response.status_code, code, reason)

    def _note(self, status: int) -> None:
        if status == 404:
            self._wire.suspect("it has forgotten the session")

    async def _beginning(self, response: httpx2.Response) -> bytes:
        body = b""
        try:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _ERROR_BODY:
                    break
        except httpx2.HTTPError:
            return body
        return body[:_ERROR_BODY]


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends at a limit, with errors the SDK takes for those of one request."""

    def __init__(self, inner: Any, limit: int | None, wire: Wire) -> None:
        self._inner = inner
        self._limit = limit
        self._wire = wire

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limit
        try:
            async for piece in self._inner:
                if left is not None:
                    left -= len(piece)
                    if left < 0:
                        raise httpx2.StreamError(
                            "its answer is larger than max_message; raise that, or ask for less"
                        )
                yield piece
        except httpx2.TransportError as error:
            reason = f"it broke the connection: {error or type(error).__name__}"
            self._wire.suspect(reason)
            raise httpx2.StreamError(reason) from error

    async def aclose(self) -> None:
        await self._inner.aclose()


def _answer(request: httpx2.Request, status: int, code: int, message: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return httpx2.Response(
        status,
        headers={"content-type": "application/json"},
        content=msgspec.json.encode(error),
        request=request,
    )
