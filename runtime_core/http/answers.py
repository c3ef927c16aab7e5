"""Answers a handler gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import Receive, Scope, Send

__all__ = ("Empty", "answer")


def answer(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """Answer with *content* as JSON; a string becomes a JSON string."""
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


class Empty(Response[bytes]):
    """200 with no body, and no type of one."""

    def __init__(self) -> None:
        super().__init__(b"", status_code=200)

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return itself: there is nothing to render."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
