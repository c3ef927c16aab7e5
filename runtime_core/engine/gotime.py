"""Times written by a Go layout: the reference time ``Mon Jan 2 15:04:05 MST 2006`` as a pattern."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ("RFC3339", "format_time")

RFC3339 = "2006-01-02T15:04:05Z07:00"

# Not strftime: it follows the process's locale, and has no numbers without leading zeros
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_ELEMENT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|_2(?!006)|__2|002|01|02|03|04|05|06|15|PM|pm|"
    r"-07:00:00|-07:00|-070000|-0700|-07|Z07:00|Z0700|Z07|[.,](?:0+|9+)(?![0-9])|1|2|3|4|5"
)


def format_time(moment: datetime, layout: str) -> str:
    """Write an aware *moment* as *layout* shows the reference time; other text stays as it is."""
    return _ELEMENT.sub(lambda found: _element(found[0], moment), layout)


def _element(element: str, moment: datetime) -> str:
    if element[0] in ".,":
        return _fraction(element, moment)
    if element[0] in "-Z":
        return _offset(element, moment)
    return _ELEMENTS[element](moment)


_ELEMENTS: dict[str, Callable[[datetime], str]] = {
    "2006": lambda moment: f"{moment.year:04}",
    "06": lambda moment: f"{moment.year % 100:02}",
    "January": lambda moment: _MONTHS[moment.month - 1],
    "Jan": lambda moment: _MONTHS[moment.month - 1][:3],
    "01": lambda moment: f"{moment.month:02}",
    "1": lambda moment: str(moment.month),
    "Monday": lambda moment: _DAYS[moment.weekday()],
    "Mon": lambda moment: _DAYS[moment.weekday()][:3],
    "02": lambda moment: f"{moment.day:02}",
    "_2": lambda moment: f"{moment.day:2}",
    "2": lambda moment: str(moment.day),
    "002": lambda moment: f"{moment.timetuple().tm_yday:03}",
    "__2": lambda moment: f"{moment.timetuple().tm_yday:3}",
    "15": lambda moment: f"{moment.hour:02}",
    "03": lambda moment: f"{_twelve(moment):02}",
    "3": lambda moment: str(_twelve(moment)),
    "04": lambda moment: f"{moment.minute:02}",
    "4": lambda moment: str(moment.minute),
    "05": lambda moment: f"{moment.second:02}",
    "5": lambda moment: str(moment.second),
    "PM": lambda moment: "PM" if moment.hour >= 12 else "AM",
    "pm": lambda moment: "pm" if moment.hour >= 12 else "am",
    "MST": lambda moment: moment.tzname() or "UTC",
}


def _twelve(moment: datetime) -> int:
    return moment.hour % 12 or 12


def _fraction(element: str, moment: datetime) -> str:
    digits = f"{moment.microsecond:06}000"[: len(element) - 1].ljust(len(element) - 1, "0")
    if element[1] == "9":
        digits = digits.rstrip("0")
    return element[0] + digits if digits else ""


def _offset(element: str, moment: datetime) -> str:
    delta = moment.utcoffset()
    seconds = int(delta.total_seconds()) if delta is not None else 0
    if seconds == 0 and element[0] == "Z":
        return "Z"
    sign = "-" if seconds < 0 else "+"
    minutes, second = divmod(abs(seconds), 60)
    hour, minute = divmod(minutes, 60)
    colon = ":" if ":" in element else ""
    parts = [f"{hour:02}", f"{minute:02}", f"{second:02}"]
    return sign + colon.join(parts[: len(element.replace(":", "")[1:]) // 2])
