"""A queue of downloads in memory, and a service that models are fetched by."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from runtime_core.types import Download, PullProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

URLS = {name: f"http://{name}" for name in ("b1", "b2", "b3")}


class Queue:
    """Keeps the promises of `DownloadStore` for one process; ``now`` is its clock in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jobs: dict[str, Download] = {}
        self.owners: dict[str, tuple[str, float]] = {}
        self.due: dict[str, float] = {}
        self.retries: list[float | None] = []
        self.broken: Exception | None = None
        self.claims = 0
        self.renewals = 0
        self._news = asyncio.Condition()

    async def until(self, true: Callable[[], Any]) -> None:
        """Return when something is true after a call."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(true)

    def of(self, model: str) -> Download | None:
        return next((job for job in self.jobs.values() if job.model == model), None)

    async def enqueue(
        self,
        tenant_id: str,
        backend_id: str,
        model: str,
        *,
        priority: int = 0,
        base_url: str | None = None,
    ) -> Download:
        id = f"{tenant_id} {backend_id} {model}"
        now = datetime.now(UTC)
        job = self.jobs.get(id) or Download(
            id=id,
            backend_id=backend_id,
            base_url=URLS[backend_id],
            model=model,
            priority=priority,
            created_at=now,
            updated_at=now,
        )
        if job.status == "failed":
            job = replace(job, status="queued", attempts=0)
        self.jobs[id] = job
        await self._called()
        return job

    async def claim(
        self, owner: str, *, lease: float, per_backend: int, busy: Collection[str] = ()
    ) -> tuple[str, Download] | None:
        self.claims += 1
        await self._called()
        at_work = Counter(
            job.backend_id
            for job in self.jobs.values()
            if job.status == "running" and not self._free(job)
        )
        full = {*busy, *(backend for backend, jobs in at_work.items() if jobs >= per_backend)}
        free = [job for job in self.jobs.values() if job.backend_id not in full and self._free(job)]
        if not free:
            return None
        job = max(free, key=lambda job: job.priority)
        job = replace(job, status="running", attempts=job.attempts + 1)
        self.jobs[job.id] = job
        self.owners[job.id] = owner, self.now + lease
        await self._called()
        return job.id.split(" ")[0], job

    def _free(self, job: Download) -> bool:
        if job.status == "running":
            return self.owners[job.id][1] <= self.now
        return job.status == "queued" and self.due.get(job.id, 0.0) <= self.now

    async def progress(
        self, owner: str, download: Download, *, completed: int, total: int, lease: float
    ) -> bool:
        self.renewals += 1
        await self._called()
        if not self._owns(owner, download):
            return False
        self.owners[download.id] = owner, self.now + lease
        job = self.jobs[download.id]
        self.jobs[download.id] = replace(job, completed=completed, total=total)
        return True

    async def finish(self, owner: str, download: Download) -> None:
        await self._called()
        if self._owns(owner, download):
            del self.jobs[download.id]
        await self._called()

    async def fail(
        self, owner: str, download: Download, error: str, *, retry_in: float | None
    ) -> None:
        await self._called()
        if self._owns(owner, download):
            status = "failed" if retry_in is None else "queued"
            self.retries.append(retry_in)
            self.due[download.id] = self.now + (retry_in or 0.0)
            job = self.jobs[download.id]
            self.jobs[download.id] = replace(job, status=status, error=error)
        await self._called()

    async def remove(
        self, tenant_id: str, *, model: str | None = None, base_url: str | None = None
    ) -> list[Download]:
        removed = [
            job
            for job in self.jobs.values()
            if model in (None, job.model) and base_url in (None, job.base_url)
        ]
        for job in removed:
            del self.jobs[job.id]
        await self._called()
        return removed

    async def list(self, tenant_id: str) -> list[Download]:
        await self._called()
        return [job for job in self.jobs.values() if job.id.startswith(f"{tenant_id} ")]

    def _owns(self, owner: str, download: Download) -> bool:
        return download.id in self.jobs and self.owners.get(download.id, ("", 0))[0] == owner

    async def _called(self) -> None:
        if self.broken is not None:
            raise self.broken
        async with self._news:
            self._news.notify_all()


class Hub:
    """Fetches models as its script says: reports, exceptions to raise, functions to await.

    "PAUSE" waits to be told to ``go_on``.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, list[Any]] = {}
        self.models_: set[str] = set()
        self.pulled: list[str] = []
        self.open: list[str] = []
        self.most_open = 0
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()
        self.closed = asyncio.Event()

    def will(self, *script: Any, model: str = "m") -> None:
        self.scripts[model] = list(script)

    async def models(self) -> list[Any]:
        return []

    async def aclose(self) -> None:
        """Nothing is held."""

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        self.pulled.append(model)
        self.open.append(model)
        self.most_open = max(self.most_open, len(self.open))
        try:
            for piece in self.scripts.get(model, [PullProgress("pulling", 1, 2)]):
                if isinstance(piece, Exception):
                    raise piece
                if callable(piece):
                    await piece()
                elif piece == "PAUSE":
                    self.paused.set()
                    await self.go_on.wait()
                else:
                    yield piece
            self.models_.add(model)
        finally:
            self.open.remove(model)
            self.closed.set()

    async def delete_model(self, model: str) -> None:
        self.models_.remove(model)


class Fleet:
    """Counts how often it was told to look again."""

    def __init__(self) -> None:
        self.looks: list[str] = []

    async def changed(self, tenant_id: str) -> None:
        self.looks.append(tenant_id)


@pytest.fixture
def queue() -> Queue:
    """An empty queue for backends b1, b2 and b3."""
    return Queue()


@pytest.fixture
def hub() -> Hub:
    """The service at b1."""
    return Hub()


@pytest.fixture
def new_hub() -> type[Hub]:
    """What makes further services."""
    return Hub


@pytest.fixture
def looks() -> Fleet:
    """The live state, as far as downloads know it."""
    return Fleet()
