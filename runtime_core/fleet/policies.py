"""In which order backends are asked that a task likes equally well; drivers of kind ``router``.

Of more than 16 candidates, each policy compares 16 at random for the first place.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runtime_core.protocols import BackendStats, RouteOption

    Option = TypeVar("Option", bound=RouteOption)

__all__ = ("LeastLoaded", "LowestLatency", "Preference", "RoundRobin")

#: So many candidates are compared for every call.
_FEW = 16

#: A latency older than this (seconds) says nothing any more.
_MEMORY_S = 60.0


class Preference:
    """The operator's order: as backends are configured, the next one only when one fails."""

    name = "preference"

    def order(
        self, candidates: Sequence[Option], stats: Mapping[str, BackendStats]
    ) -> Iterable[Option]:
        """Keep the order."""
        return candidates


class RoundRobin:
    """Each backend in turn: first the one that was asked longest ago."""

    name = "round-robin"

    def order(
        self, candidates: Sequence[Option], stats: Mapping[str, BackendStats]
    ) -> Iterable[Option]:
        """Sort by when they were asked."""
        return _best_first(candidates, lambda option: stats[option.backend_id].asked)


class LeastLoaded:
    """The backend with the fewest calls in flight; among equals one with the model in memory."""

    name = "least-loaded"

    def order(
        self, candidates: Sequence[Option], stats: Mapping[str, BackendStats]
    ) -> Iterable[Option]:
        """Sort by calls in flight, then by whether the model is loaded, then by turns."""

        def load(option: Option) -> tuple[int, bool, int]:
            known = stats[option.backend_id]
            return known.in_flight, not option.loaded, known.asked

        return _best_first(candidates, load)


class LowestLatency:
    """The backend that began to answer soonest, of late.

    One that was not measured for a minute is tried first, by one call at a time.
    """

    name = "lowest-latency"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def order(
        self, candidates: Sequence[Option], stats: Mapping[str, BackendStats]
    ) -> Iterable[Option]:
        """Sort by latency."""
        oldest = self._clock() - _MEMORY_S

        def latency(option: Option) -> tuple[float, int]:
            known = stats[option.backend_id]
            if known.latency is not None and known.measured_at >= oldest:
                return known.latency, known.asked
            # not known: worth a try, but not by everybody at once
            return (-1.0 if known.in_flight == 0 else float("inf")), known.asked

        return _best_first(candidates, latency)


def _best_first(candidates: Sequence[Option], key: Callable[[Option], object]) -> Iterator[Option]:
    """Sort lazily: the second best is looked for only when the best has failed.

    Of many candidates the best of a few at random comes first: that costs the same however large
    the fleet is, is nearly as good, and keeps callers from all choosing the same one.
    """
    best = min(_few(candidates), key=key)  # type: ignore[arg-type]
    yield best
    rest = [option for option in candidates if option is not best]
    rest.sort(key=key)  # type: ignore[arg-type]
    yield from rest


def _few(candidates: Sequence[Option]) -> Sequence[Option]:
    count = len(candidates)
    if count <= _FEW:
        return candidates
    start = int(random.random() * count)
    few = candidates[start : start + _FEW]
    return few if len(few) == _FEW else (*few, *candidates[: _FEW - len(few)])
