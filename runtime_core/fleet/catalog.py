"""The backends there are, and the models each of them holds now."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtime_core.errors import RuntimeCoreError
from runtime_core.fleet.backend import Backend, Listing
from runtime_core.fleet.declared import Descriptions, rfc3339, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from types import TracebackType

    from runtime_core.protocols import LoadingProvider
    from runtime_core.types import DeclaredModel, ModelInfo

__all__ = ("Backend", "Catalog", "Listing")

_log = logging.getLogger("runtime.fleet")

#: A listing that was asked for because a model was missing, or a call failed, is not repeated
#: within this time.
_MINIMUM_AGE_S = 1.0

#: After a failure the next listing comes sooner: after this time, then twice that, up to a period.
_FIRST_RETRY_S = 1.0

#: How far a period is stretched or cut, so that listings spread over time.
_JITTER = 0.1

_BROKE = "its provider broke while listing models; the server's log has the details"


class Catalog:
    """Keeps every backend's listing fresh; one slow backend never delays another.

    An async context manager: inside it each backend has a task that lists it again and again.

    :param declared: models that settings describe.
    :param period: seconds between listings of one backend.
    :param timeout: seconds a listing may take.
    """

    def __init__(
        self,
        backends: Iterable[Backend],
        *,
        declared: Mapping[str, ModelInfo] | None = None,
        period: float = 30.0,
        timeout: float = 5.0,
    ) -> None:
        self.backends: tuple[Backend, ...] = ()
        #: Grows with every change of a listing, so that what was derived from it can be dropped.
        self.version = 0
        #: Started in a task of its own after each listing: (backend, whether we did it).
        self.after_listing: Callable[[Backend, bool], Coroutine[Any, Any, None]] | None = None
        #: Told of every change that is worth telling: (backend's id, the backend or None: gone).
        self.observers: list[Callable[[str, Backend | None], None]] = []
        self._by_id: dict[str, Backend] = {}
        self._descriptions = Descriptions(declared or {})
        self._period = period
        self._timeout = timeout
        self._running = False
        self._news = asyncio.Event()
        self._schedules: dict[Backend, _Schedule] = {}
        self._listing: dict[Backend, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._retired: set[Backend] = set()
        self.apply(backends)

    async def __aenter__(self) -> Catalog:
        self._running = True
        for backend in self.backends:
            self._watch(backend)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running = False
        watchers = [schedule.task for schedule in self._schedules.values() if schedule.task]
        tasks = [*watchers, *self._listing.values(), *self._chores]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for backend in (*self.backends, *self._retired):
            await _close(backend)

    # -- what there is ---------------------------------------------------------

    def apply(
        self, backends: Iterable[Backend], models: Sequence[DeclaredModel] | None = None
    ) -> None:
        """Have exactly these backends from now on; those that are new are listed at once.

        Objects that stay keep what is known of them.  The provider of one that goes is closed
        when its last call is over.

        :param models: what is declared of models; as it was when None.
        """
        said_anew = models is not None and self._descriptions.learn(models)
        before = self.backends
        self.backends = tuple(sorted(backends, key=lambda backend: backend.config.priority))
        self._by_id = {backend.id: backend for backend in self.backends}
        for backend in before:
            if self._by_id.get(backend.id) is not backend:
                self._retire(backend)
        for backend in self.backends:
            self._take_in(backend, said_anew=said_anew)
        self.version += 1
        self._tell_news()

    def get(self, backend_id: str) -> Backend | None:
        """Return the backend of an id, None when there is no such backend."""
        return self._by_id.get(backend_id)

    @property
    def pending(self) -> list[Backend]:
        """The backends that nobody has heard of yet."""
        return [backend for backend in self.backends if backend.listed_at is None]

    # -- listings --------------------------------------------------------------

    async def refresh(self) -> None:
        """List every backend whose listing is not brand-new, and wait for all of them."""
        oldest = time.monotonic() - _MINIMUM_AGE_S
        stale = [b for b in self.backends if b.listed_at is None or b.listed_at < oldest]
        if stale:
            await asyncio.wait([self._start_listing(backend) for backend in stale])

    async def next_listing(self) -> None:
        """Wait until one more backend was listed, well or not."""
        await self._news.wait()

    def look(self, backend_id: str, *, within: float = 0.0) -> None:
        """List a backend soon: at most *within* seconds after it was last listed.

        A listing that is under way does not count, for it may have missed what happened.
        """
        backend = self._by_id.get(backend_id)
        schedule = self._schedules.get(backend) if backend else None
        if backend is not None and schedule is not None:
            schedule.by((backend.listed_at or 0.0) + within)

    def hear(self, backend_id: str, fingerprint: str, listing: Listing) -> None:
        """Take over what another replica found, unless that contradicts what we found.

        Who cannot reach a backend must not talk others out of using it, nor into it: when they
        disagree, this replica looks for itself, at most four times a period.
        """
        backend = self._by_id.get(backend_id)
        if backend is None or backend.fingerprint != fingerprint:
            return
        unheard = backend.listed_at is None
        if unheard and listing.error:
            return
        if unheard or bool(backend.error) == bool(listing.error):
            self._record(backend, listing, ours=False)
        else:
            self.look(backend_id, within=self._period / 4)

    def _watch(self, backend: Backend) -> None:
        schedule = self._schedules[backend] = _Schedule()
        schedule.task = asyncio.create_task(
            self._keep_fresh(backend, schedule), name=f"watch-{backend.config.name}"
        )

    async def _keep_fresh(self, backend: Backend, schedule: _Schedule) -> None:
        while True:
            schedule.begin()
            await asyncio.wait([self._start_listing(backend)])
            await schedule.wait()

    def _start_listing(self, backend: Backend) -> asyncio.Task[None]:
        task = self._listing.get(backend)
        if task is None or task.done():
            task = asyncio.create_task(self._list(backend), name=f"list-{backend.config.name}")
            task.add_done_callback(lambda task: self._listing_ended(backend, task))
            self._listing[backend] = task
        return task

    async def _list(self, backend: Backend) -> None:
        loaded: tuple[str, ...] = ()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                models = tuple(await backend.provider.models())
            latency = time.monotonic() - began
            if backend.knows_loaded:
                loaded = await self._loaded(backend)
            found = Listing(models=models, loaded=loaded, latency=latency, checked_at=_now())
        except TimeoutError:
            error = f"listing its models took more than {self._timeout:g} s"
            found = Listing(error=error, timed_out=True, checked_at=_now())
        except RuntimeCoreError as exc:
            found = Listing(error=exc.message, checked_at=_now())
        self._record(backend, found, ours=True)

    async def _loaded(self, backend: Backend) -> tuple[str, ...]:
        """Return what is in memory; not knowing it is no reason to call a backend unreachable."""
        provider: LoadingProvider = backend.provider  # type: ignore[assignment]
        try:
            async with asyncio.timeout(self._timeout):
                return tuple(await provider.loaded())
        except (TimeoutError, RuntimeCoreError) as exc:
            _log.debug("backend %s does not say what is loaded: %s", backend.config.name, exc)
            return ()

    def _listing_ended(self, backend: Backend, task: asyncio.Task[None]) -> None:
        if self._listing.get(backend) is task:
            del self._listing[backend]
        fault = None if task.cancelled() else task.exception()
        known = self._running and self._by_id.get(backend.id) is backend
        if fault is not None:
            _log.error("backend %s: %s", backend.config.name, _BROKE, exc_info=fault)
        if known and (fault is not None or task.cancelled()):
            self._record(backend, Listing(error=_BROKE, checked_at=_now()), ours=True)

    def _record(self, backend: Backend, found: Listing, *, ours: bool) -> None:
        if self._by_id.get(backend.id) is not backend:
            return
        self._report(backend, found.error)
        first, before, listed = backend.listed_at is None, _seen(backend), backend.listed
        _keep(backend, found)
        if backend.listed is not listed:
            backend.models = self._descriptions.follow(backend.listed, listed, backend.models)
        if (schedule := self._schedules.get(backend)) is not None:
            schedule.next(self._pause(backend))
        after = _seen(backend)
        if before[:2] != after[:2]:
            self.version += 1
        if first or before != after:
            self._changed(backend)
        self._follow_up(backend, ours=ours)
        self._tell_news()

    def _pause(self, backend: Backend) -> float:
        """Return the seconds until the next listing."""
        pause = self._period
        if backend.failures:
            pause = min(pause, _FIRST_RETRY_S * 2.0 ** min(backend.failures - 1, 30))
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)

    def _report(self, backend: Backend, error: str) -> None:
        if error == backend.error or backend.config.implicit:
            return
        if error:
            _log.warning("backend %s cannot be used now: %s", backend.config.name, error)
        else:
            _log.info("backend %s is back", backend.config.name)

    # -- coming and going ------------------------------------------------------

    def _take_in(self, backend: Backend, *, said_anew: bool) -> None:
        before = backend.models
        if said_anew:
            backend.models = self._descriptions.of_all(backend.listed, before)
        if backend.on_change is None:
            backend.on_change, backend.on_suspicion = self._changed, self._suspect
            self._changed(backend)
        elif before != backend.models or backend.regrouped:
            self._changed(backend)
        if backend.regrouped and backend.listed_at is not None:
            self._follow_up(backend, ours=False)
        backend.regrouped = False
        if self._running and backend not in self._schedules:
            self._watch(backend)

    def _retire(self, backend: Backend) -> None:
        schedule = self._schedules.pop(backend, None)
        for task in (schedule.task if schedule else None, self._listing.get(backend)):
            if task is not None:
                task.cancel()
        backend.on_change = backend.on_suspicion = None
        self._retired.add(backend)
        if self._running:
            self._start_chore(self._see_off(backend))
        if backend.id not in self._by_id:
            for observer in self.observers:
                observer(backend.id, None)

    async def _see_off(self, backend: Backend) -> None:
        await backend.idle()
        await _close(backend)
        self._retired.discard(backend)

    def _suspect(self, backend: Backend) -> None:
        """Look at a backend that a call could not reach, unless it is known to be out already."""
        if not backend.error:
            self.look(backend.id, within=_MINIMUM_AGE_S)

    def _changed(self, backend: Backend) -> None:
        for observer in self.observers:
            observer(backend.id, backend)

    def _tell_news(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _follow_up(self, backend: Backend, *, ours: bool) -> None:
        if self._running and self.after_listing is not None:
            self._start_chore(self.after_listing(backend, ours))

    def _start_chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="fleet-chore")
        self._chores.add(task)
        task.add_done_callback(self._chore_ended)

    def _chore_ended(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("what follows a listing failed", exc_info=fault)


class _Schedule:
    """When a backend is listed next; ``task`` is the one that waits for it."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self._due = 0.0
        self._asked = float("inf")
        self._wake = asyncio.Event()

    def begin(self) -> None:
        """Forget who asked: a listing begins now that answers them."""
        self._asked = float("inf")

    def next(self, pause: float) -> None:
        """List after *pause* seconds, or sooner when somebody asked meanwhile."""
        self._due = min(time.monotonic() + pause, self._asked)

    def by(self, moment: float) -> None:
        """List at *moment* at the latest, in seconds of the monotonic clock."""
        self._asked = min(self._asked, moment)
        self._due = min(self._due, moment)
        self._wake.set()

    async def wait(self) -> None:
        """Return when it is time."""
        while (pause := self._due - time.monotonic()) > 0:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()


def _keep(backend: Backend, found: Listing) -> None:
    """Record a listing.

    One that took too long leaves the models of a backend that was well before: it is busy, and
    those who call it notice soon enough when it is more than that.
    """
    if found.error:
        busy = found.timed_out and not backend.error and backend.listed_at is not None
        if not busy:
            backend.listed, backend.loaded = (), ()
        if not backend.error:
            backend.error_at = found.checked_at
        backend.failures += 1
    else:
        backend.listed = backend.held = settled(backend.listed, found.models)
        backend.loaded = found.loaded
        backend.error_at, backend.failures = "", 0
    backend.error, backend.latency = found.error, found.latency
    backend.checked_at, backend.listed_at = found.checked_at, time.monotonic()


def _seen(backend: Backend) -> tuple[object, ...]:
    return backend.models, backend.error, backend.loaded


def _now() -> str:
    return rfc3339(datetime.now(UTC))


async def _close(backend: Backend) -> None:
    try:
        await backend.provider.aclose()
    except RuntimeCoreError as exc:
        _log.debug("backend %s did not close well: %s", backend.config.name, exc.message)
