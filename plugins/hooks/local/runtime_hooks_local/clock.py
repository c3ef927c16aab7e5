"""``time``: what time it is, there and then."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runtime_core.errors import TaskFailed
from runtime_core.types import Tool, Value
from runtime_hooks_local.arguments import optional_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.types import ToolRequest

__all__ = ("TIME", "Clock", "now")

TIME = Tool(
    "time",
    "Tells the current date and time in a time zone; or converts a given time into it, or adds "
    "to it.",
    {
        "type": "object",
        "properties": {
            "timezone": {
                "type": "string",
                "description": "an IANA time zone such as Europe/Berlin, or an offset such as "
                "+02:00; UTC by default",
            },
            "format": {
                "type": "string",
                "description": "strftime directives, such as %A %d %B %Y; RFC 3339 by default",
            },
            "time": {
                "type": "string",
                "description": "a time to convert instead of now, in RFC 3339; without an offset "
                "it is taken to be in the time zone",
            },
            "add": {
                "type": "string",
                "description": "a span to add, such as 90m, 1h30m, 2d or -1w",
            },
        },
        "required": [],
    },
)

_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})")
_SPAN = re.compile(r"(?P<sign>[+-]?)(?P<parts>(?:\d{1,9}[wdhms])+)")
_PART = re.compile(r"(\d+)([wdhms])")
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_LONGEST_FORMAT = 200

#: What strftime is asked for: its other directives differ between systems, some crash it.
_DIRECTIVES = frozenset("aAbBcdfGHIjmMpSuUVwWxXyYzZ%")
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)


def now() -> datetime:
    """Return this moment, in UTC."""
    return datetime.now(UTC)


class Clock:
    """The tool; *now* tells the time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    async def __call__(self, request: ToolRequest) -> Value:
        """Return the time as text.

        :raises TaskFailed: an argument is nothing that can be read.
        """
        zone = _zone(optional_text(request, "timezone", "UTC"))
        given = optional_text(request, "time")
        form = optional_text(request, "format")
        span = _span(optional_text(request, "add"))
        try:
            moment = _moment(given, zone) if given else self._now()
            # a span is one of real time: zones are asked afterwards
            local = (moment.astimezone(UTC) + span).astimezone(zone)
        except OverflowError as error:
            raise TaskFailed("time: that is before the year 1, or after 9999") from error
        return Value(_formatted(local, form), "string")


def _zone(name: str) -> tzinfo:
    if name.upper() in ("UTC", "Z"):
        return UTC
    if offset := _OFFSET.fullmatch(name):
        hours, minutes = int(offset["hours"]), int(offset["minutes"])
        if hours < 24 and minutes < 60:
            span = timedelta(hours=hours, minutes=minutes)
            return timezone(-span if offset["sign"] == "-" else span)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise TaskFailed(
            f"time: there is no time zone {name[:60]!r}: use a name such as Europe/Berlin, or an "
            "offset such as +02:00"
        ) from error


def _moment(text: str, zone: tzinfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TaskFailed(
            f"time: {text[:60]!r} is no time: write it like 2026-03-29T14:30:00+02:00"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _span(text: str) -> timedelta:
    if not text:
        return timedelta()
    found = _SPAN.fullmatch(text.replace(" ", ""))
    if found is None:
        raise TaskFailed(f"time: {text[:60]!r} is no span: write it like 90m, 1h30m, 2d or -1w")
    try:
        amounts = _PART.findall(found["parts"])
        span = sum((timedelta(**{_UNITS[unit]: int(n)}) for n, unit in amounts), timedelta())
    except OverflowError as error:
        raise TaskFailed(f"time: the span {text[:60]!r} is too long") from error
    return -span if found["sign"] == "-" else span


def _formatted(moment: datetime, form: str) -> str:
    if not form:
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    if len(form) > _LONGEST_FORMAT or "\0" in form:
        raise TaskFailed(f"time: a format has at most {_LONGEST_FORMAT} characters")
    for directive in _DIRECTIVE.finditer(form):
        if directive[1] not in _DIRECTIVES:
            raise TaskFailed(
                f"time: the format has an unknown directive {directive[0]!r}; %% is a %"
            )
    try:
        return moment.strftime(form)
    except (ValueError, UnicodeError) as error:
        raise TaskFailed(f"time: the format cannot be used: {error}") from error
