"""Listings, newest first: cursors and pages, the same for every repository."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import msgspec
from sqlalchemy import bindparam, select, tuple_

from runtime_core.errors import Unprocessable
from runtime_core.types import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Row, Select, Table

__all__ = (
    "MAX_LIMIT",
    "Position",
    "decode_cursor",
    "encode_cursor",
    "newest_first",
    "page_of",
    "page_parameters",
)

MAX_LIMIT = 1000

T = TypeVar("T")
AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"


class Position(NamedTuple):
    """A place in a listing: what follows it is older, or as old with a smaller id."""

    created_at: datetime
    id: str


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TOP = Position(datetime(9999, 12, 31, tzinfo=UTC), "")
_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}):(\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_DECODER = msgspec.json.Decoder(tuple[int, str])


def encode_cursor(position: Position) -> str:
    """Return the opaque, URL-safe cursor of the items after *position*."""
    age = (position.created_at - _EPOCH) // _MICROSECOND
    return urlsafe_b64encode(msgspec.json.encode((age, position.id))).rstrip(b"=").decode()


def decode_cursor(cursor: str | None) -> Position:
    """Return where a listing goes on; no cursor is its top.

    :param cursor: one that a page came with, or an RFC 3339 time meaning strictly older.
    :raises Unprocessable: it is neither.
    """
    if not cursor:
        return _TOP
    match = _RFC3339.fullmatch(cursor)
    position = _opaque(cursor) if match is None else _strictly_older(match)
    if position is None:
        raise Unprocessable(
            "cursor: pass the X-Next-Cursor of the previous page unchanged, or an RFC 3339 time "
            "with its offset such as 2026-01-31T12:00:00Z (in a URL a '+' is written %2B)",
            param="cursor",
        )
    return position


def newest_first(table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
    """Select a page of a tenant's rows; bind it with `page_parameters`.

    *table* has ``tenant_id``, ``created_at`` and ``id``, and an index of the three.
    """
    place = tuple_(table.c.created_at, table.c.id)
    after = tuple_(
        bindparam("after_created_at", type_=table.c.created_at.type),
        bindparam("after_id", type_=table.c.id.type),
    )
    return (
        select(*columns)
        .where(table.c.tenant_id == bindparam("tenant"), place < after)
        .order_by(table.c.created_at.desc(), table.c.id.desc())
        .limit(bindparam("fetch"))
    )


def page_parameters(tenant_id: str, limit: int, cursor: str | None) -> dict[str, object]:
    """Return the parameters of a `newest_first` statement: one row more than the page has.

    :raises Unprocessable: *limit* or *cursor* is not acceptable.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise Unprocessable(f"limit must be from 1 to {MAX_LIMIT}, not {limit}", param="limit")
    after = decode_cursor(cursor)
    return {
        "tenant": tenant_id,
        "after_created_at": after.created_at,
        "after_id": after.id,
        "fetch": limit + 1,
    }


def page_of(
    rows: Sequence[AnyRow],
    limit: int,
    convert: Callable[[AnyRow], T | None],
) -> Page[T]:
    """Return the page of *rows*; a row that *convert* turns into None is left out.

    The rows have the attributes ``created_at`` and ``id``.
    """
    shown = rows[:limit]
    items = [item for item in map(convert, shown) if item is not None]
    if len(rows) <= limit:
        return Page(items)
    return Page(items, encode_cursor(Position(shown[-1].created_at, shown[-1].id)))


def _opaque(cursor: str) -> Position | None:
    try:
        data = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        age, name = _DECODER.decode(data)
        position = Position(_EPOCH + age * _MICROSECOND, name)
    except (ValueError, OverflowError, msgspec.MsgspecError):
        return None
    # decoding is lenient about foreign characters; only what was handed out is accepted
    return position if "\0" not in name and encode_cursor(position) == cursor else None


def _strictly_older(match: re.Match[str]) -> Position | None:
    """Return the position before all items as old as the time; None when there is no such time.

    A leap second is the second after it.  Digits beyond microseconds, which rows do not have, are
    rounded up: a row is strictly older than the time exactly when it is older than the result.
    """
    date, minutes, seconds, fraction, offset = match.groups()
    digits = (fraction or "").ljust(6, "0")
    leap = int(seconds) == 60
    text = f"{date}T{minutes}:{'59' if leap else seconds}.{digits[:6]}{offset.upper()}"
    try:
        time = datetime.fromisoformat(text).astimezone(UTC) + timedelta(seconds=int(leap))
        if digits[6:].strip("0"):
            time += _MICROSECOND
    except (ValueError, OverflowError):
        return None
    return Position(time, "")
