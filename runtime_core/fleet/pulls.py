"""One download while it runs."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from runtime_core.errors import RuntimeCoreError, TimedOut
from runtime_core.types import DownloadEvent, PullProgress

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from runtime_core.protocols import DownloadStore, PullingProvider
    from runtime_core.types import Download

__all__ = ("Pull",)

#: Watchers hear of a change of status, of each percent, and at least this often (seconds).
_PERCENT = 0.01
_AT_LEAST_EVERY_S = 1.0


class Pull:
    """A job that this process has claimed: what its provider reports, and whose it is.

    :param lease: seconds for which the job is this owner's after each renewal.
    :param beat: seconds between renewals.
    :param stalled_after: seconds without any progress until it counts as timed out.
    """

    def __init__(
        self,
        tenant_id: str,
        download: Download,
        *,
        owner: str,
        lease: float,
        beat: float,
        stalled_after: float,
    ) -> None:
        self.tenant_id = tenant_id
        self.download = download
        self.progress = PullProgress("", download.completed, download.total)
        self._owner = owner
        self._lease = lease
        self._beat = beat
        self._stalled_after = stalled_after
        self._wake = asyncio.Event()
        self._renewed_at = self._moved_at = time.monotonic()
        self._told = self.progress
        self._told_at = 0.0

    def look(self) -> None:
        """Have the queue asked now whether this job is still wanted."""
        self._wake.set()

    async def run(
        self,
        provider: PullingProvider,
        store: DownloadStore,
        tell: Callable[[Pull], Awaitable[None]],
        *,
        check: Callable[[], None] = lambda: None,
    ) -> bool:
        """Fetch the model; False when the job was taken out of the queue meanwhile.

        :param tell: called when there is something to tell the watchers.
        :param check: called again and again, and at the end; raises when the model arrives where
            it is not wanted any more.
        :raises RuntimeCoreError: it cannot be fetched now, or stands still.
        """
        pulling = asyncio.create_task(
            self._read(provider, tell), name=f"pull-{self.download.model}"
        )
        pulling.add_done_callback(lambda _: self._wake.set())
        try:
            return await self._keep(pulling, store, check)
        finally:
            pulling.cancel()
            await asyncio.gather(pulling, return_exceptions=True)

    def event(self, status: str = "", error: str = "") -> DownloadEvent:
        """Return where the download is as news for its watchers."""
        return DownloadEvent(
            base_url=self.download.base_url,
            model=self.download.model,
            status=status or self.progress.status,
            completed=self.progress.completed,
            total=self.progress.total,
            digest="" if status else self.progress.digest,
            error=error,
        )

    async def _read(
        self, provider: PullingProvider, tell: Callable[[Pull], Awaitable[None]]
    ) -> None:
        reports = cast("AsyncGenerator[PullProgress, None]", provider.pull(self.download.model))
        async with aclosing(reports):
            async for progress in reports:
                if progress != self.progress:
                    self._moved_at = time.monotonic()
                self.progress = progress
                if self._is_news(progress):
                    self._told, self._told_at = progress, time.monotonic()
                    await tell(self)

    def _is_news(self, progress: PullProgress) -> bool:
        told = self._told
        if (progress.status, progress.digest, progress.total) != (
            told.status,
            told.digest,
            told.total,
        ):
            return True
        if progress.completed - told.completed >= max(1.0, progress.total * _PERCENT):
            return True
        return time.monotonic() - self._told_at >= _AT_LEAST_EVERY_S

    async def _keep(
        self, pulling: asyncio.Task[None], store: DownloadStore, check: Callable[[], None]
    ) -> bool:
        while not pulling.done():
            self._wake.clear()
            try:
                async with asyncio.timeout(self._beat):
                    await self._wake.wait()
            except TimeoutError:
                self._check_moving()
            if not pulling.done() and not await self._renew(store):
                return False
            check()
        await pulling
        return True

    def _check_moving(self) -> None:
        still = time.monotonic() - self._moved_at
        if still > self._stalled_after:
            raise TimedOut(f"no progress for {still:.0f} s at {self.progress.status!r}")

    async def _renew(self, store: DownloadStore) -> bool:
        """Say how far it is, and learn whether it is still ours; raises when nobody knows."""
        try:
            is_ours = await store.progress(
                self._owner,
                self.download,
                completed=self.progress.completed,
                total=self.progress.total,
                lease=self._lease,
            )
        except RuntimeCoreError:
            # others may take the job from now on, and one model must not be fetched twice
            if time.monotonic() - self._renewed_at > self._lease:
                raise
            return True
        self._renewed_at = time.monotonic()
        return is_ours
