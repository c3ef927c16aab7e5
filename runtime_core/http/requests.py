"""The request as handlers see it: its body decoded once, into the type they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from litestar import Request
from litestar.types import Empty

from runtime_core.http.bodies import decode_body
from runtime_core.http.disconnect import ClientDisconnected

__all__ = ("ApiRequest",)

#: YAML is read a hundred times slower than JSON: from here on, others must not wait for it.
_IN_THREAD = 32 * 1024


class ApiRequest(Request[Any, Any, Any]):
    """A request whose ``data`` is read as JSON or YAML, strictly, into the annotated type.

    A handler that asks for ``data: SomeStruct`` gets one, or the client an error that names the
    field; a handler that reads `body` itself gets the bytes as they came.
    """

    async def body(self) -> bytes:
        """Return the whole body.

        :raises ClientDisconnected: the client left before it was sent.
        """
        if self._body is Empty:
            self._body = self._connection_state.body = await self._read()
        return self._body

    async def json(self) -> Any:
        """Return the body as the handler's ``data`` wants it, as plain data without one.

        :raises RuntimeCoreError: see `decode_body`.
        """
        if self._json is Empty:
            field = self.route_handler.parsed_fn_signature.parameters.get("data")
            wanted = Any if field is None else field.annotation
            content_type = _content_type(self.scope["headers"])
            raw = await self.body()
            if len(raw) > _IN_THREAD and "yaml" in content_type.lower():
                self._json = await asyncio.to_thread(decode_body, raw, content_type, wanted)
            else:
                self._json = decode_body(raw, content_type, wanted)
        return self._json

    async def _read(self) -> bytes:
        parts: list[bytes] = []
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientDisconnected
            body, more = message["body"], message.get("more_body", False)
            if not more and not parts:
                return body
            parts.append(body)
            if not more:
                return b"".join(parts)


def _content_type(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Find one header without turning all of them into text first."""
    for name, value in headers:
        if name == b"content-type":
            return value.decode("latin-1")
    return ""
