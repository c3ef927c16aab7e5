"""One call on its way: who is asked next, for how long, and what became of those asked before."""

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from runtime_core.errors import (
    NoBackendAvailable,
    RuntimeCoreError,
    TimedOut,
    UpstreamContextExceeded,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from runtime_core.fleet.breaker import BreakerLimits
from runtime_core.fleet.watch import Watch
from runtime_core.types import FailedAttempt, Routed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from runtime_core.fleet.breaker import Permit
    from runtime_core.fleet.selection import Candidate

__all__ = ("Attempt", "Budget", "Search")

_log = logging.getLogger("runtime.fleet")

#: A connection that breaks sooner (seconds) had been kept open for too long: it says nothing about
#: the backend, which is asked once more.
_STALE_S = 0.1

#: The failures that say something about the backend rather than about the request.
_SICK = (UpstreamUnavailable, UpstreamProtocolError, UpstreamRateLimited, TimedOut)

_turns = itertools.count


class Budget(NamedTuple):
    """How much is tried for one call.

    ``attempts`` at most; ``seconds`` until a backend begins to answer; ``silence``: seconds in
    which a backend that was asked has to say something, again and again.
    """

    attempts: int = 5
    seconds: float = 60.0
    silence: float = 120.0
    breaker: BreakerLimits = BreakerLimits()


class Search:
    """Iterates over attempts until one succeeds (the caller stops) or nothing is left.

    :param order: the candidates, best first; taken only as far as they fail.
    :param turn: returns a larger number with every call.
    :param whole: whether the answer is of no use before its end, and may come in one piece.
    """

    def __init__(
        self,
        order: Iterable[Candidate],
        budget: Budget,
        turn: Callable[[], int],
        started: float,
        *,
        whole: bool,
    ) -> None:
        self.budget = budget
        self.turn = turn
        self.started = started
        #: Seconds for the search; an answer that comes in one piece begins when it ends.
        self.seconds = budget.seconds + (budget.silence if whole else 0.0)
        #: When the search is given up; later by the time for which backends did answer.
        self.deadline = started + self.seconds
        self.failed: list[FailedAttempt] = []
        self.skipped: list[Candidate] = []
        self.number = 0
        self._order = order
        self._errors: list[RuntimeCoreError] = []

    def __iter__(self) -> Iterator[Attempt]:
        for candidate in self._order:
            for again in (False, True):
                if self._spent():
                    return
                permit = candidate.stats.breaker.acquire()
                if permit is None:
                    self.skipped.append(candidate)
                    break
                self.number += 1
                attempt = Attempt(self, candidate, permit, may_be_stale=not again)
                yield attempt
                if not attempt.stale:
                    break

    def _spent(self) -> bool:
        return self.number >= self.budget.attempts or time.monotonic() >= self.deadline

    def note(self, failed: FailedAttempt, error: RuntimeCoreError) -> None:
        """Take down an attempt that failed."""
        self.failed.append(failed)
        self._errors.append(error)
        _log.warning(
            "backend %s failed to answer with %s: %s", failed.backend, failed.model, failed.reason
        )

    def failure(self) -> RuntimeCoreError | None:
        """Return the error of a search that found nobody; None when there was nobody to ask."""
        if not self._errors:
            return _resting(self.skipped) if self.skipped else None
        chosen = next((e for e in reversed(self._errors) if e.retryable), self._errors[-1])
        if time.monotonic() >= self.deadline:
            timed_out = TimedOut(
                f"no backend began to answer within {self.seconds:g} s; tried: {self._told()}"
            )
            timed_out.__cause__ = chosen
            return timed_out
        if len(self._errors) == 1:
            return chosen
        # the kind of the error matters to clients; built like this, it may have any constructor
        summary = type(chosen).__new__(type(chosen))
        text = f"{len(self._errors)} attempts failed: {self._told()}"
        RuntimeCoreError.__init__(summary, text, retry_after=chosen.retry_after)
        summary.__cause__ = chosen
        return summary

    def _told(self) -> str:
        return "; ".join(f"{one.backend} ({one.model}): {one.reason}" for one in self.failed)


class Attempt:
    """One backend being asked; a context manager that counts, judges and records it.

    A failure is swallowed, so that the next backend can be asked, unless a part of the answer was
    `shown` or no other backend could help.
    """

    __slots__ = (
        "_began",
        "_may_be_stale",
        "_permit",
        "_search",
        "_started",
        "candidate",
        "number",
        "shown",
        "stale",
        "watch",
    )

    def __init__(
        self, search: Search, candidate: Candidate, permit: Permit, *, may_be_stale: bool
    ) -> None:
        self.candidate = candidate
        self.number = search.number
        #: Set once a part of the answer has been given away.
        self.shown = False
        #: Whether it failed because its connection had been kept open for too long.
        self.stale = False
        self._search = search
        self._permit = permit
        self._may_be_stale = may_be_stale
        self._started = time.monotonic()
        self._began: float | None = None
        limit = min(search.budget.silence, search.deadline - self._started)
        self.watch = Watch(limit, f"{candidate.backend.config.name} did not begin to answer")

    def began(self) -> None:
        """The answer has begun."""
        now = self._began = time.monotonic()
        self.candidate.stats.measure(now - self._started, now)
        self._permit.answering()
        self.watch.expect(
            self._search.budget.silence,
            f"{self.candidate.backend.config.name} stopped in the middle of its answer: nothing",
        )

    def routed(self) -> Routed:
        """Return who answers; backend and model are those of this attempt."""
        candidate, search = self.candidate, self._search
        config = candidate.backend.config
        return Routed(
            config.name,
            config.type,
            candidate.model.name,
            self.number,
            candidate.model.context_length,
            self._started - search.started,
            time.monotonic() - self._started,
            tuple(search.failed),
        )

    def __enter__(self) -> Attempt:
        stats = self.candidate.stats
        stats.asked = self._search.turn()
        stats.in_flight += 1
        self.candidate.backend.in_flight += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.candidate.stats.in_flight -= 1
        self.candidate.backend.in_flight -= 1
        if error is None:
            self._permit.succeeded()
        elif isinstance(error, UpstreamError | TimedOut):
            self._judge(error)
            return not self.shown and not isinstance(error, UpstreamContextExceeded)
        else:
            self._permit.release()
        return False

    def _judge(self, error: RuntimeCoreError) -> None:
        now = time.monotonic()
        quick = self._began is None and now - self._started < _STALE_S
        self.stale = self._may_be_stale and quick and isinstance(error, UpstreamDisconnected)
        if self.stale:
            self._permit.release()
        elif isinstance(error, _SICK):
            self._permit.failed(error)
        else:
            self._permit.succeeded()
        if isinstance(error, UpstreamUnavailable) and not self.stale:
            self.candidate.backend.suspect()
        if self._began is not None:
            self._search.deadline += now - self._began
        config = self.candidate.backend.config
        name = self.candidate.model.name
        seconds = now - self._started
        failed = FailedAttempt(config.name, config.type, name, error.code, error.message, seconds)
        self._search.note(failed, error)


def _resting(skipped: list[Candidate]) -> RuntimeCoreError:
    """Return the error of a call whose every backend rests after failures."""
    breakers = {c.backend.config.name: c.stats.breaker for c in skipped}
    limited = all(isinstance(b.reason, UpstreamRateLimited) for b in breakers.values())
    kind = UpstreamRateLimited if limited else NoBackendAvailable
    lines = [
        f"- {name}, for {breaker.remaining:.1f} s more, because of: "
        f"{breaker.reason.message if breaker.reason is not None else 'failures'}"
        for name, breaker in breakers.items()
    ]
    soonest = min(breaker.remaining for breaker in breakers.values())
    text = "every backend that could answer rests after failures:"
    return kind("\n".join([text, *lines]), retry_after=max(soonest, 0.1))
