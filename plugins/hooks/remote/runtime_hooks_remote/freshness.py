"""How long an answer may be used, as its headers say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("LONGEST", "SHORTEST", "freshness")

#: Seconds a document is used for at least, and at most, before it is asked for again.
SHORTEST = 5.0
LONGEST = 86_400.0


def freshness(headers: Mapping[str, str], default: float) -> float:
    """Return for how many seconds an answer is fresh, within bounds."""
    return min(max(_stated(headers.get("cache-control", ""), default), SHORTEST), LONGEST)


def _stated(cache_control: str, default: float) -> float:
    for directive in cache_control.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in ("no-store", "no-cache"):
            return 0.0
        digits = value.strip('" ')
        if name == "max-age" and digits.isascii() and digits.isdigit():
            return float(digits[:10])
    return default
