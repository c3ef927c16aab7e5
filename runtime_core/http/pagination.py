"""Listings: ``limit`` and ``cursor`` in, the way to the next page out; once for every route."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from litestar import Request, Response
from litestar.di import Provide
from litestar.params import QueryParameter
from msgspec import Struct

from runtime_core.errors import Unprocessable

__all__ = ("PageQuery", "listing", "page_query")

_DEFAULT = 100
_MOST = 1000


class PageQuery(Struct, frozen=True):
    """Which part of a listing is asked for."""

    limit: int = _DEFAULT
    cursor: str | None = None


def page_query(
    limit: Annotated[
        str | None,
        QueryParameter(
            name="limit",
            description=f"How many items, 1 to {_MOST}; {_DEFAULT} when not given.",
            required=False,
        ),
    ] = None,
    cursor: Annotated[
        str | None,
        QueryParameter(
            name="cursor",
            description="The X-Next-Cursor of the page before, or an RFC 3339 time: only what "
            "is strictly older.",
            required=False,
        ),
    ] = None,
) -> PageQuery:
    """Read a listing's parameters.

    :raises Unprocessable: a limit that is no whole number from 1 to 1000.
    """
    return PageQuery(_limit(limit), cursor or None)


provide_page = Provide(page_query, sync_to_thread=False)


def listing(request: Request[Any, Any, Any], items: list[Any], cursor: str | None) -> Response[Any]:
    """Answer with a bare array, and the way to the next page in headers."""
    headers = {}
    if cursor is not None:
        asked = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = [(name, value) for name, value in asked if name != "cursor"]
        where = f"{_path(request)}?{urlencode([*query, ('cursor', cursor)])}"
        headers = {"X-Next-Cursor": cursor, "Link": f'<{where}>; rel="next"'}
    return Response(msgspec.json.encode(items), headers=headers, media_type="application/json")


def _path(request: Request[Any, Any, Any]) -> str:
    """Return the path as the client wrote it, every escape in its place."""
    raw = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    return raw.partition(b"?")[0].decode("latin-1")


def _limit(given: str | None) -> int:
    if not given:
        return _DEFAULT
    digits = given.strip().removeprefix("+")
    if digits.isascii() and digits.isdigit() and len(digits) < 10 and 1 <= int(digits) <= _MOST:
        return int(digits)
    raise Unprocessable(
        f"limit: {given[:40]!r} is not a whole number from 1 to {_MOST}", param="limit"
    )
