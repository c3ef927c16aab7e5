"""Answers a handler gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from litestar import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import Receive, Scope, Send

__all__ = ("Answer", "Empty", "answer")

T = TypeVar("T")


def answer(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer[Any]:
    """Answer with *content* as JSON; a string becomes a JSON string."""
    return Answer(msgspec.json.encode(content), status, headers)


class Answer(Response[T]):
    """A body that is already JSON, sent as it is: nothing is left to render or to look up."""

    __slots__ = ("_body",)

    def __init__(
        self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(cast("T", body), status_code=status, headers=headers)
        self._body = body

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return itself."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self._body)),
        ]
        headers += [(k.lower().encode(), v.encode("latin-1")) for k, v in self.headers.items()]
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code or 200,
                "headers": headers,
            }
        )
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


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
