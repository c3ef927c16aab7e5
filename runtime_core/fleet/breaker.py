"""Keeping calls away from a backend that does not answer, until it does again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime_core.errors import RuntimeCoreError
    from runtime_core.types import BreakerState

__all__ = ("Breaker", "BreakerLimits", "Permit")

#: No ``Retry-After`` keeps a backend out for longer than this (seconds).
_LONGEST_PATIENCE = 3600.0


class BreakerLimits:
    """When a breaker opens, and for how long.

    :param failures: failures in a row that open it; 0 keeps it closed whatever happens.
    :param cool_down: seconds it stays open the first time; each failed probe doubles them.
    :param longest: seconds it stays open at most, unless the backend itself asks for more.
    """

    __slots__ = ("cool_down", "failures", "longest")

    def __init__(self, failures: int = 5, cool_down: float = 1.0, longest: float = 60.0) -> None:
        self.failures = failures
        self.cool_down = cool_down
        self.longest = max(longest, cool_down)


class Breaker:
    """One backend's: closed lets every call pass, open none, half-open one at a time.

    Failures are counted in a row.  A backend that asks for patience (``retry_after``) opens it at
    once.  After the cool-down one call may pass as a probe; its outcome alone decides.

    :param clock: seconds, never going back.
    :param changed: called after each change of `state`.
    """

    def __init__(
        self,
        limits: BreakerLimits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self._limits = limits or BreakerLimits()
        self._clock = clock
        self._changed = changed
        self._failures = 0
        self._openings = 0
        self._until: float | None = None
        self._probe: Permit | None = None
        #: Why it is open, or was last.
        self.reason: RuntimeCoreError | None = None

    @property
    def state(self) -> BreakerState:
        """What it does with the next call."""
        if self._until is None:
            return "closed"
        return "open" if self._clock() < self._until else "half_open"

    @property
    def remaining(self) -> float:
        """Seconds until a probe may pass; 0.0 when calls pass, or a probe is under way."""
        return max(0.0, self._until - self._clock()) if self._until is not None else 0.0

    @property
    def passing(self) -> bool:
        """Whether `acquire` would let a call pass now."""
        until = self._until
        return until is None or (self._probe is None and self._clock() >= until)

    def acquire(self) -> Permit | None:
        """Let a call pass, or return None; a permit must be given back exactly once."""
        if not self.passing:
            return None
        permit = Permit(self)
        if self._until is not None:
            self._probe = permit
            self._tell()
        return permit

    def _answering(self, permit: Permit) -> None:
        """A probe is being answered: others may call, but one more failure opens it again."""
        if permit is self._probe:
            self._probe = None
            self._close(failures=self._limits.failures - 1)

    def _succeeded(self, permit: Permit) -> None:
        if permit is self._probe:
            self._probe = None
            self._close(failures=0)
        elif self._until is not None:
            return  # began before it opened: says nothing about now
        self._failures = self._openings = 0

    def _failed(self, permit: Permit, error: RuntimeCoreError) -> None:
        if not self._limits.failures:
            return
        probing = permit is self._probe
        if probing:
            self._probe = None
        elif self._until is not None:
            self._prolong(error)
            return
        self._failures += 1
        patience = error.retry_after
        if probing or patience is not None or self._failures >= self._limits.failures:
            self._open(error, patience)

    def _released(self, permit: Permit) -> None:
        if permit is self._probe:
            self._probe = None

    def _open(self, error: RuntimeCoreError, patience: float | None) -> None:
        cool_down = self._limits.cool_down * 2.0 ** min(self._openings, 30)
        cool_down = min(cool_down, self._limits.longest)
        if patience is not None:
            cool_down = max(cool_down, min(patience, _LONGEST_PATIENCE))
        self._until = self._clock() + cool_down
        self._openings += 1
        self.reason = error
        self._tell()

    def _prolong(self, error: RuntimeCoreError) -> None:
        """Take a late call's word for how long to wait, not for the backend being down."""
        if error.retry_after is None or self._until is None:
            return
        until = self._clock() + min(error.retry_after, _LONGEST_PATIENCE)
        if until > self._until:
            self._until = until
            self.reason = error

    def _close(self, *, failures: int) -> None:
        self._until = None
        self._failures = failures
        self._tell()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()


class Permit:
    """One call that a breaker let pass.  How the call ended is told once; more is ignored."""

    __slots__ = ("_breaker", "_told")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._told = False

    def answering(self) -> None:
        """The backend has begun to answer; the end is still to be told."""
        if not self._told:
            self._breaker._answering(self)

    def succeeded(self) -> None:
        """The backend has answered, be it with a refusal."""
        if self._tell():
            self._breaker._succeeded(self)

    def failed(self, error: RuntimeCoreError) -> None:
        """The backend failed."""
        if self._tell():
            self._breaker._failed(self, error)

    def release(self) -> None:
        """The call was given up for reasons of its own, which say nothing about the backend."""
        if self._tell():
            self._breaker._released(self)

    def _tell(self) -> bool:
        told, self._told = self._told, True
        return not told
