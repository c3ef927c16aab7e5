"""MCP servers behind a URL: streamable HTTP, over the server's own egress.

What breaks on the way would end the SDK's transport, and every call on it.  Here it becomes the
answer to the one request it happened to.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INTERNAL_ERROR

from runtime_core import __version__
from runtime_core.errors import RuntimeCoreError
from runtime_hooks_mcp.wire import UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mcp.client import Transport

    from runtime_core.protocols import EgressClient, EgressStream
    from runtime_hooks_mcp.settings import ServerSettings
    from runtime_hooks_mcp.wire import Wire

__all__ = ("web",)

_SHOWN = 300
_ERROR_BODY = 64 * 1024
#: What the connection itself is made of; the egress sees to it.
_OF_THE_CONNECTION = frozenset(
    ("accept-encoding", "connection", "content-length", "host", "transfer-encoding")
)
#: The body comes decompressed.
_OF_THE_BODY = frozenset(("content-encoding", "content-length", "transfer-encoding"))


def web(
    settings: ServerSettings,
    wire: Wire,
    egress: EgressClient,
    reveal: Callable[[str], Awaitable[str]],
) -> Transport:
    """Connect to the server's URL with the configured headers.

    :param reveal: replaces ``{{secret:NAME}}``, for each request anew.
    """
    return _transport(settings, wire, egress, reveal)


@asynccontextmanager
async def _transport(
    settings: ServerSettings,
    wire: Wire,
    egress: EgressClient,
    reveal: Callable[[str], Awaitable[str]],
) -> AsyncIterator[Any]:
    async with (
        httpx2.AsyncClient(
            transport=_Guarded(settings, wire, egress, reveal),
            headers={"user-agent": f"runtime-api/{__version__}"},
            trust_env=False,
        ) as client,
        streamable_http_client(
            settings.url, http_client=client, max_sse_event_size=settings.max_message
        ) as streams,
    ):
        yield streams


class _Guarded(httpx2.AsyncBaseTransport):
    """Adds the headers, bounds the bodies, and answers for a server that does not.

    How long an answer may take is each call's own affair, and redirects are the SDK's.
    """

    def __init__(
        self,
        settings: ServerSettings,
        wire: Wire,
        egress: EgressClient,
        reveal: Callable[[str], Awaitable[str]],
    ) -> None:
        self._headers = settings.headers
        self._limit = settings.max_message
        self._wire = wire
        self._egress = egress
        self._reveal = reveal

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(
                    self._egress.stream(
                        request.method,
                        str(request.url),
                        headers=await self._headers_of(request),
                        body=request.content or None,
                        timeout=None,
                        max_bytes=None,
                        redirects=0,
                    )
                )
            except RuntimeCoreError as error:
                return self._unreachable(request, error.message)
            if answer.status >= 400:
                return await self._refused(request, answer)
            return httpx2.Response(
                answer.status,
                headers=_kept(answer),
                stream=_Body(answer, self._limit_of(answer), self._wire, stack.pop_all()),
                request=request,
            )

    async def _headers_of(self, request: httpx2.Request) -> dict[str, str]:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _OF_THE_CONNECTION
        }
        for name, template in self._headers.items():
            headers[name.lower()] = await self._wire.revealed(template, self._reveal)
        return headers

    def _limit_of(self, answer: EgressStream) -> int | None:
        """Streams of events may be endless; each event is bounded where they are read."""
        is_stream = answer.headers.get("content-type", "").lower().startswith("text/event-stream")
        return None if is_stream else self._limit

    def _unreachable(self, request: httpx2.Request, reason: str) -> httpx2.Response:
        reason = self._wire.masked(f"it cannot be reached: {reason}")
        self._wire.suspect(reason)
        return _answer(request, 502, UNREACHABLE, reason)

    async def _refused(self, request: httpx2.Request, answer: EgressStream) -> httpx2.Response:
        """Keep a JSON-RPC error and what 404 and 405 mean; say of others what came back."""
        body, status = await _beginning(answer), answer.status
        if status == 404:
            self._wire.suspect("it has forgotten the session")
        if b'"jsonrpc"' in body or status in (404, 405):
            return httpx2.Response(status, headers=_kept(answer), content=body, request=request)
        reason = self._wire.masked(f"it answered {_words(status)}: {_line(body)}".rstrip(": "))
        self._wire.suspect(reason)
        code = UNREACHABLE if status >= 500 else INTERNAL_ERROR
        return _answer(request, status, code, reason)


class _Body(httpx2.AsyncByteStream):
    """A body that ends at a limit, with errors the SDK takes for those of one request."""

    def __init__(
        self, answer: EgressStream, limit: int | None, wire: Wire, stack: AsyncExitStack
    ) -> None:
        self._answer = answer
        self._limit = limit
        self._wire = wire
        self._stack = stack

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limit
        try:
            async for piece in self._answer:
                if left is not None:
                    left -= len(piece)
                    if left < 0:
                        raise httpx2.StreamError(
                            "its answer is larger than max_message; raise that, or ask for less"
                        )
                yield piece
        except RuntimeCoreError as error:
            self._wire.suspect(error.message)
            raise httpx2.StreamError(error.message) from error

    async def aclose(self) -> None:
        await self._stack.aclose()


async def _beginning(answer: EgressStream) -> bytes:
    body = b""
    try:
        async for piece in answer:
            body += piece
            if len(body) > _ERROR_BODY:
                break
    except RuntimeCoreError:
        # the status says enough
        return body
    return body[:_ERROR_BODY]


def _kept(answer: EgressStream) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_BODY
    }


def _words(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _line(body: bytes) -> str:
    return " ".join(body.decode("utf-8", "replace").split())[:_SHOWN]


def _answer(request: httpx2.Request, status: int, code: int, message: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return httpx2.Response(
        status,
        headers={"content-type": "application/json"},
        content=msgspec.json.encode(error),
        request=request,
    )
