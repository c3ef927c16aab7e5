"""What is known of each backend from the calls it was given."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from runtime_core.fleet.breaker import Breaker
from runtime_core.protocols import ChatProvider, EmbeddingProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from runtime_core.fleet.backend import Backend
    from runtime_core.fleet.breaker import BreakerLimits

__all__ = ("Registry", "Stats")

_log = logging.getLogger("runtime.fleet")

#: How much a new measurement counts.
_WEIGHT = 0.25


class Stats:
    """The calls of one backend; implements `runtime_core.protocols.BackendStats`."""

    __slots__ = (
        "asked",
        "backend",
        "breaker",
        "chats",
        "embeds",
        "in_flight",
        "latency",
        "measured_at",
    )

    def __init__(
        self, backend: Backend, limits: BreakerLimits | None, clock: Callable[[], float]
    ) -> None:
        self.backend = backend
        #: The calls that are being answered now.
        self.in_flight = 0
        #: Seconds until the first chunk, recent calls counting most; None: never measured.
        self.latency: float | None = None
        #: When it was measured, in seconds of the monotonic clock.
        self.measured_at = 0.0
        #: Grows with every call of the whole fleet: the smallest was asked longest ago.
        self.asked = 0
        #: Which calls its provider has; to ask a protocol is dear, and the answer stays the same.
        self.chats = isinstance(backend.provider, ChatProvider)
        self.embeds = isinstance(backend.provider, EmbeddingProvider)
        self.breaker = Breaker(limits, clock=clock, changed=self._turned)

    def measure(self, seconds: float, now: float) -> None:
        """Take in how long a call waited for its first chunk."""
        old = self.latency
        self.latency = seconds if old is None else old + _WEIGHT * (seconds - old)
        self.measured_at = now

    def _turned(self) -> None:
        breaker, name = self.breaker, self.backend.config.name
        self.backend.breaker = breaker.state
        if breaker.state == "open":
            why = breaker.reason.message if breaker.reason is not None else "it failed"
            _log.warning("backend %s rests for %.1f s: %s", name, breaker.remaining, why)
        elif breaker.state == "closed":
            _log.info("backend %s answers again", name)


class Registry:
    """The records of all backends; one that is configured anew begins a new record.

    :param clock: seconds, never going back.
    """

    def __init__(
        self, limits: BreakerLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._clock = clock
        #: The records by the backends' ids.
        self.stats: dict[str, Stats] = {}

    def of(self, backend: Backend) -> Stats:
        """Return a backend's record."""
        known = self.stats.get(backend.id)
        if known is None or known.backend is not backend:
            known = self.stats[backend.id] = Stats(backend, self._limits, self._clock)
        return known

    def clear(self) -> None:
        """Begin all records anew."""
        for known in self.stats.values():
            known.backend.breaker = "closed"
        self.stats.clear()

    def keep(self, backends: Collection[Backend]) -> None:
        """Forget all backends but these."""
        ids = {backend.id for backend in backends}
        for backend_id in self.stats.keys() - ids:
            del self.stats[backend_id]
