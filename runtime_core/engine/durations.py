"""Go durations, as timeouts are written: ``300ms``, ``10s``, ``1m30s``, ``1.5h``."""

from __future__ import annotations

import re

from runtime_core.errors import Unprocessable

__all__ = ("parse_duration",)

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,  # the micro sign
    "\u03bcs": 1e-6,  # the Greek letter mu
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
#: The longest duration Go can hold: 64 bits of nanoseconds, about 292 years.
_LONGEST = (2**63 - 1) / 1e9


def parse_duration(text: str, *, param: str | None = None) -> float:
    """Return the seconds that a Go duration stands for; 0 or more.

    :raises Unprocessable: *text* is not a duration; the message shows how to write one.
    """
    body = text.strip().removeprefix("+")
    if body == "0":
        return 0.0
    parts = list(_PART.finditer(body))
    if not parts or "".join(part[0] for part in parts) != body:
        raise Unprocessable(
            f"{text!r} is not a duration: write for example 300ms, 10s or 1m30s", param=param
        )
    seconds = sum(
        float(number) * _SECONDS[unit] for number, unit in (part.groups() for part in parts)
    )
    if seconds > _LONGEST:
        raise Unprocessable(f"the duration {text!r} is longer than 292 years", param=param)
    return seconds
