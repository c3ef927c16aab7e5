"""The one piece of middleware: everything that is true for each request, in a single pass.

Request id, key, size limit, HEAD, CORS, compression, metrics and the access log, as one plain
ASGI callable: layers of wrappers cost a visible share of a request's time.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from runtime_core.errors import RequestTooLarge, RuntimeCoreError
from runtime_core.http.auth import given_keys
from runtime_core.http.compression import compressed, is_compressible
from runtime_core.http.context import HEAD, TENANT, request_id
from runtime_core.http.cors import Cors
from runtime_core.http.ids import new_id
from runtime_core.http.paths import routing_path
from runtime_core.http.refusal import refuse_plainly

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from runtime_core.http.auth import Authenticator
    from runtime_core.http.metrics import Metrics
    from runtime_core.http.refusal import Refuse

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

__all__ = ("Gate",)

_access = logging.getLogger("runtime.access")

#: What a load balancer and a supervisor ask, who have no key.
_OPEN = frozenset({"/health", "/livez", "/readyz"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SANE_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")


class Gate:
    """Lets requests in to *app*, and their answers out.

    :param app: the application behind it.
    :param max_body: the largest body read, in bytes.
    :param cors_origins: the origins whose pages may read answers; ``*`` for all.
    :param structured: whether access log records carry their numbers as fields too.
    :param refuse: answers a request that is not let in; by default with the common envelope.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        metrics: Metrics,
        max_body: int,
        cors_origins: tuple[str, ...] = (),
        structured: bool = False,
        refuse: Refuse | None = None,
    ) -> None:
        self.app = app
        self.authenticator = authenticator
        self.metrics = metrics
        self.max_body = max_body
        self.structured = structured
        self.refuse = refuse or refuse_plainly
        self.cors = Cors(cors_origins) if cors_origins else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] == "http":
            await _Exchange(self, scope, send).serve(receive)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no such path"})
        else:
            await self.app(scope, receive, send)


class _Exchange:
    """One request and its answer."""

    __slots__ = (
        "_gate",
        "_headers",
        "_held",
        "_id",
        "_outside",
        "_scope",
        "_send",
        "_started",
        "_status",
    )

    def __init__(self, gate: Gate, scope: Scope, send: Send) -> None:
        self._gate = gate
        self._outside = scope
        self._scope = scope
        self._send = send
        self._headers = dict(scope["headers"])
        self._status = 499
        self._held: Any = None
        given = self._headers.get(b"x-request-id", b"")
        known = _SANE_ID.fullmatch(given) is not None
        self._id = given if known else new_id().encode()
        self._started = time.perf_counter()

    async def serve(self, receive: Receive) -> None:
        metrics = self._gate.metrics
        metrics.requests_in_flight += 1
        token = request_id.set(self._id.decode())
        try:
            await self._admit(receive)
        finally:
            metrics.requests_in_flight -= 1
            self._note()
            request_id.reset(token)

    async def _admit(self, receive: Receive) -> None:
        cors = self._gate.cors
        if cors is not None and cors.is_preflight(self._scope["method"], self._headers):
            await self._answer(200, cors.preflight(self._headers), b"")
            return
        try:
            await self._check()
        except RuntimeCoreError as error:
            await self._gate.refuse(error, self._scope, receive, self.send)
            return
        if b"transfer-encoding" in self._headers:
            receive = _limited(receive, self._gate.max_body)
        await self._gate.app(self._scope, receive, self.send)

    async def _check(self) -> None:
        """Find the path, the tenant and the declared size, or raise."""
        scope = self._scope
        raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
        path = routing_path(raw)
        if scope["method"] == "HEAD":
            # a scope of its own: the server still has to know that no body may follow
            self._scope = scope = dict(scope)
            scope["method"] = "GET"
            scope[HEAD] = True
        scope["path"] = path
        if path not in _OPEN:
            principal = await self._gate.authenticator.authenticate(given_keys(self._headers))
            scope[TENANT] = principal.tenant_id
        length = self._headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > self._gate.max_body:
            raise _too_large(self._gate.max_body)

    async def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        headers.append((b"content-length", b"%d" % len(body)))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def send(self, message: Message) -> None:
        """Pass one message of the answer on, with what every answer has."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self._id)]
            if self._gate.cors is not None:
                headers += self._gate.cors.headers(self._headers)
            message["headers"] = headers
            if self._may_compress(headers):
                self._held = message
                return
        elif self._held is not None:
            await self._send_held(message)
            return
        if message["type"] == "http.response.body" and self._outside["method"] == "HEAD":
            message["body"] = b""
        await self._send(message)

    def _may_compress(self, headers: list[tuple[bytes, bytes]]) -> bool:
        accepts = self._headers.get(b"accept-encoding")
        return (
            accepts is not None
            and b"gzip" in accepts
            and self._outside["method"] != "HEAD"
            and is_compressible(headers)
        )

    async def _send_held(self, message: Any) -> None:
        start, self._held = self._held, None
        if not message.get("more_body", False):
            body, start["headers"] = await compressed(message["body"], start["headers"])
            message["body"] = body
        await self._send(start)
        await self._send(message)

    def _note(self) -> None:
        """Count the request, and write its line."""
        seconds = time.perf_counter() - self._started
        method = self._outside["method"]
        route = self._scope.get("path_template") or "unmatched"
        self._gate.metrics.request_done(
            method if method in _METHODS else "other", str(route), self._status, seconds
        )
        if _access.isEnabledFor(logging.INFO):
            raw = self._outside.get("raw_path") or self._outside["path"].encode()
            path = raw.partition(b"?")[0].decode("ascii", "backslashreplace")
            # made here, since `info` would walk the stack to find out where it is called
            record = _access.makeRecord(
                _access.name,
                logging.INFO,
                __file__,
                0,
                "%s %s %d %.1f ms",
                (method, path, self._status, seconds * 1000),
                None,
                extra=self._details(method, path, seconds) if self._gate.structured else None,
            )
            _access.handle(record)

    def _details(self, method: str, path: str, seconds: float) -> dict[str, object]:
        return {
            "http_method": method,
            "http_path": path,
            "http_status": self._status,
            "duration_ms": round(seconds * 1000, 3),
        }


def _limited(receive: Receive, limit: int) -> Receive:
    """Count a body whose size was not declared."""
    left = limit

    async def counted() -> Any:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"the body is larger than {limit} bytes; send less, or raise RUNTIME_MAX_BODY"
    )
