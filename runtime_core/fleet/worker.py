"""The worker that carries out downloads, as many at once as is allowed."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Literal

from runtime_core.errors import (
    RuntimeCoreError,
    SubscriptionLost,
    UpstreamRejected,
    UpstreamUnavailable,
)
from runtime_core.fleet.downloads import CANCELLED, QUEUED, News
from runtime_core.fleet.pulls import Pull
from runtime_core.protocols import PullingProvider

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from runtime_core.fleet.downloads import UseProvider
    from runtime_core.protocols import Bus, DownloadStore, FleetState, Provider
    from runtime_core.types import Download

    #: How an attempt ended: the model is there, nobody wants it any more, this server stops, or
    #: why it failed.
    Outcome = Literal["there", "removed", "interrupted"] | RuntimeCoreError

__all__ = ("DownloadWorker",)

_log = logging.getLogger("runtime.fleet")

_MOST_ATTEMPTS = 8
_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 600.0

#: No ``Retry-After`` puts an attempt off for longer than this (seconds).
_LONGEST_PATIENCE_S = 3600.0

#: How long a stopping server tries to give a job back; others take it after its lease anyway.
_FAREWELL_S = 2.0


class DownloadWorker:
    """Takes jobs from the queue and has backends fetch the models.

    An async context manager: inside it a background task claims jobs while there is room.  Jobs
    of a process that died are taken over when their lease ends.

    :param using: gives the provider of a backend in use: tenant and backend id → provider.
    :param parallelism: downloads of this server at the same time.
    :param per_backend: how many all servers together may have for the same backend.
    :param lease: seconds after which a download without a sign of life is anybody's.
    :param beat: seconds between signs of life.
    :param poll: seconds between looks at the queue when nobody rings.
    :param stalled_after: seconds without progress until an attempt is given up.
    :param retry_after: given the number of attempts, the seconds until the next.
    """

    def __init__(
        self,
        store: DownloadStore,
        bus: Bus,
        fleet: FleetState,
        using: UseProvider,
        *,
        parallelism: int = 4,
        per_backend: int = 1,
        lease: float = 30.0,
        beat: float = 1.0,
        poll: float = 5.0,
        stalled_after: float = 1800.0,
        retry_after: Callable[[int], float] | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._news = News(bus)
        self._fleet = fleet
        self._using = using
        self._parallelism = parallelism
        self._per_backend = per_backend
        self._lease = lease
        self._beat = beat
        self._poll = poll
        self._stalled_after = stalled_after
        self._retry_after = retry_after or _backoff
        self._owner = str(uuid.uuid4())
        self._bell = asyncio.Event()
        self._pulls: dict[asyncio.Task[None], Pull] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> DownloadWorker:
        self._tasks = [
            asyncio.create_task(self._claim_jobs(), name="downloads"),
            asyncio.create_task(self._listen(QUEUED, self._bell.set), name="downloads-queued"),
            asyncio.create_task(self._listen(CANCELLED, self._look), name="downloads-cancelled"),
        ]
        for task in self._tasks:
            task.add_done_callback(_report)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for tasks in (self._tasks, list(self._pulls)):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- the queue -----------------------------------------------------------

    async def _claim_jobs(self) -> None:
        while True:
            self._bell.clear()
            while len(self._pulls) < self._parallelism and await self._claim():
                pass
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._bell.wait()

    async def _claim(self) -> bool:
        """Begin the next job; False when there is none that can begin now."""
        at_work = Counter(pull.download.backend_id for pull in self._pulls.values())
        busy = {backend for backend, count in at_work.items() if count >= self._per_backend}
        try:
            claimed = await self._store.claim(
                self._owner, lease=self._lease, per_backend=self._per_backend, busy=busy
            )
        except RuntimeCoreError as exc:
            _log.warning("the queue of downloads cannot be read now: %s", exc.message)
            return False
        if claimed is None:
            return False
        tenant_id, download = claimed
        pull = Pull(
            tenant_id,
            download,
            owner=self._owner,
            lease=self._lease,
            beat=self._beat,
            stalled_after=self._stalled_after,
        )
        task = asyncio.create_task(self._carry_out(pull), name=f"download-{download.model}")
        self._pulls[task] = pull
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        pull = self._pulls.pop(task)
        self._bell.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            model, url = pull.download.model, pull.download.base_url
            _log.error("the download of %s to %s broke", model, url, exc_info=error)

    async def _listen(self, subject: str, heard: Callable[[], None]) -> None:
        while True:
            with suppress(SubscriptionLost):
                async with self._bus.subscribe(f"{subject}.*") as messages:
                    heard()
                    async for _ in messages:
                        heard()
                return

    def _look(self) -> None:
        """Have every running job ask whether it is still wanted: the queue is the truth."""
        for pull in self._pulls.values():
            pull.look()

    # -- one job -------------------------------------------------------------

    async def _carry_out(self, pull: Pull) -> None:
        outcome: Outcome = RuntimeCoreError(
            "the backend's provider broke while fetching it; the server's log has the details"
        )
        try:
            outcome = await self._outcome(pull)
        except asyncio.CancelledError:
            outcome = "interrupted"
            raise
        finally:
            await self._settle(pull, outcome)

    async def _outcome(self, pull: Pull) -> Outcome:
        download = pull.download
        _log.info("fetching %s to %s", download.model, download.base_url)
        try:
            with self._using(pull.tenant_id, download.backend_id) as provider:
                fetching = _fetching(provider, download)
                check = partial(self._check_place, pull, fetching)
                if not await pull.run(fetching, self._store, self._tell, check=check):
                    return "removed"
        except RuntimeCoreError as exc:
            return exc
        return "there"

    def _check_place(self, pull: Pull, fetching: PullingProvider) -> None:
        """Raise when the backend is not where the model arrives any more."""
        with self._using(pull.tenant_id, pull.download.backend_id) as now:
            if now is not None and now is not fetching:
                raise UpstreamUnavailable(
                    "the backend was configured anew meanwhile, and is asked once more as it is now"
                )

    async def _tell(self, pull: Pull) -> None:
        await self._news.tell(pull.tenant_id, pull.event())

    async def _settle(self, pull: Pull, outcome: Outcome) -> None:
        try:
            if outcome == "there":
                await self._finished(pull)
            elif outcome == "interrupted":
                await self._give_back(pull)
            elif outcome == "removed":
                _log.info("%s is not wanted any more", pull.download.model)
                await self._news.tell(pull.tenant_id, pull.event("cancelled"))
            elif isinstance(outcome, RuntimeCoreError):
                await self._failed(pull, outcome)
        except RuntimeCoreError as exc:
            # the job is still there, and is done again when its lease is over
            model, url = pull.download.model, pull.download.base_url
            _log.warning("the download of %s to %s is not on record: %s", model, url, exc.message)

    async def _finished(self, pull: Pull) -> None:
        download = pull.download
        await self._store.finish(self._owner, download)
        _log.info("%s is on %s", download.model, download.base_url)
        with suppress(RuntimeCoreError):
            await self._fleet.changed(pull.tenant_id)
        await self._news.tell(pull.tenant_id, pull.event("success"))

    async def _failed(self, pull: Pull, error: RuntimeCoreError) -> None:
        download, attempts = pull.download, max(pull.download.attempts, 1)
        retry_in: float | None = None
        if error.retryable and attempts < _MOST_ATTEMPTS:
            patience = min(error.retry_after or 0.0, _LONGEST_PATIENCE_S)
            retry_in = max(patience, self._retry_after(attempts))
        elif isinstance(error, _NotInUse):
            # a failed job would be in the way of a backend that is put to use again
            await self._store.finish(self._owner, download)
            await self._news.tell(pull.tenant_id, pull.event("cancelled", error.message))
            return
        await self._store.fail(self._owner, download, error.message, retry_in=retry_in)
        again = "for good" if retry_in is None else f"for now, again in {retry_in:.0f} s"
        _log.warning(
            "fetching %s to %s failed %s: %s",
            download.model,
            download.base_url,
            again,
            error.message,
        )
        status = "failed" if retry_in is None else "queued"
        await self._news.tell(pull.tenant_id, pull.event(status, error.message))

    async def _give_back(self, pull: Pull) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                reason = "interrupted: the server that fetched it was stopped"
                await self._store.fail(self._owner, pull.download, reason, retry_in=0.0)


class _NotInUse(UpstreamUnavailable):
    """The backend is in no group, or there is none any more."""


def _fetching(provider: Provider | None, download: Download) -> PullingProvider:
    if provider is None:
        raise _NotInUse(f"the backend at {download.base_url} is not in use now")
    if not isinstance(provider, PullingProvider):
        raise UpstreamRejected(
            f"the backend at {download.base_url} is of a type that fetches no models; provide the "
            "model there"
        )
    return provider


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s has ended; models are fetched after a restart", task, exc_info=error)


def _backoff(attempts: int) -> float:
    """Return the seconds until the next attempt, about doubled each time."""
    doubled: float = _FIRST_RETRY_S * 2 ** (attempts - 1)
    return min(doubled, _LONGEST_RETRY_S) * random.uniform(0.8, 1.2)
