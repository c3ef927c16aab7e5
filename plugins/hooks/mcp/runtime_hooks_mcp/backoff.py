"""How long to wait before the next attempt."""

from __future__ import annotations

import random

__all__ = ("Backoff",)


class Backoff:
    """Exponential, with jitter, from *first* to *longest* seconds."""

    def __init__(
        self, first: float = 0.5, longest: float = 60.0, jitter: random.Random | None = None
    ) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0
        self._random = jitter or random.Random()

    def reset(self) -> None:
        """Begin anew: it has worked for a while."""
        self._failures = 0

    def next(self) -> float:
        """Return the seconds to wait after one more failure."""
        delay = min(self._first * 2.0 ** min(self._failures, 30), self._longest)
        self._failures += 1
        return delay * self._random.uniform(0.5, 1.0)
