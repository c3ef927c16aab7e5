"""A deadline that is moved far more often than it is met."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Alarm",)


class Alarm:
    """Calls *ring* when it has been set, and neither set again nor cleared, for *seconds*.

    Setting and clearing only note the time: there is one timer at most, looked at when it is due.
    """

    __slots__ = ("_at", "_loop", "_ring", "_seconds", "_timer")

    def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
        self._seconds = seconds
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Begin to wait, from now on."""
        self._at = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._at, self._look)

    def clear(self) -> None:
        """Wait no more."""
        self._at = math.inf

    def close(self) -> None:
        """Let go of the timer."""
        self._at = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._at == math.inf:
            return
        # a loop may call a hair too early by its own clock
        if self._loop.time() < self._at - 0.001:
            self._timer = self._loop.call_at(self._at, self._look)
            return
        self._at = math.inf
        self._ring()
