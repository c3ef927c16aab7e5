"""Downloads on real databases: servers that stop, servers that die, and several of them."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.bus import MemoryBus
from runtime_core.errors import UpstreamRejected, UpstreamUnavailable
from runtime_core.fleet.downloads import Downloads
from runtime_core.fleet.worker import DownloadWorker
from runtime_core.types import PullProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime_core.storage.database import Database
    from runtime_core.types import DownloadEvent

TENANT = "default"


class Service:
    """Has models fetched, all at once or when it is told to go on."""

    def __init__(self, *, waits: bool = False) -> None:
        self.models_: list[str] = []
        self.pulled: list[str] = []
        self.failures: list[Exception] = []
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()
        if not waits:
            self.go_on.set()

    async def models(self) -> list[Any]:
        return []

    async def aclose(self) -> None: ...

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        self.pulled.append(model)
        try:
            yield PullProgress("pulling", 3, 9, "sha256:1")
            self.began.set()
            if self.failures:
                raise self.failures.pop(0)
            await self.go_on.wait()
            self.models_.append(model)
        finally:
            self.left.set()

    async def delete_model(self, model: str) -> None:
        self.models_.remove(model)


class Fleet:
    async def changed(self, tenant_id: str) -> None: ...


class Site:
    """One database and one bus, under as many servers as a test wants."""

    def __init__(self, database: Database) -> None:
        self.store = database.downloads
        self.backends = database.backends
        self.bus = MemoryBus()
        self.services: dict[str, Service] = {}
        self.downloads = Downloads(self.store, self.bus, Fleet(), self.using)  # type: ignore[arg-type]
        self.told: list[DownloadEvent] = []
        self._news = asyncio.Condition()

    def using(self, tenant_id: str, backend_id: str) -> Any:
        return nullcontext(self.services.get(backend_id))

    async def backend(self, name: str, service: Service) -> str:
        stored = await self.backends.create(
            TENANT, name=name, base_url=f"http://{name}", type="ollama"
        )
        self.services[stored.id] = service
        return stored.id

    def server(self, **options: Any) -> DownloadWorker:
        given = {"poll": 0.02, "beat": 0.02, "retry_after": lambda _: 0.0} | options
        return DownloadWorker(self.store, self.bus, Fleet(), self.using, **given)  # type: ignore[arg-type]

    async def listen(self) -> None:
        async for event in self.downloads.watch(TENANT):
            self.told.append(event)
            async with self._news:
                self._news.notify_all()

    async def until(self, *statuses: str) -> None:
        """Return when these were told, in any order, of whatever model."""

        def all_told() -> bool:
            told = [event.status for event in self.told]
            return all(told.count(one) >= statuses.count(one) for one in statuses)

        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(all_told)


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    site = Site(database)
    listener = asyncio.create_task(site.listen())
    yield site
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)


async def test_a_download_from_begin_to_end(site: Site) -> None:
    service = Service(waits=True)
    backend = await site.backend("gpu", service)
    async with site.server():
        await site.downloads.enqueue(TENANT, backend, "phi3")
        await asyncio.wait_for(service.began.wait(), 10)
        async with asyncio.timeout(10):
            while not (await site.downloads.list(TENANT))[0].completed:  # noqa: ASYNC110 - a table
                await asyncio.sleep(0.01)
        (job,) = await site.downloads.list(TENANT)
        assert (job.status, job.completed, job.total, job.base_url) == (
            "running",
            3,
            9,
            "http://gpu",
        )
        service.go_on.set()
        await site.until("success")
    assert service.models_ == ["phi3"]
    assert list(await site.downloads.list(TENANT)) == []


async def test_a_running_download_is_cancelled(site: Site) -> None:
    service = Service(waits=True)
    backend = await site.backend("gpu", service)
    async with site.server(beat=3600.0):
        await site.downloads.enqueue(TENANT, backend, "phi3")
        await asyncio.wait_for(service.began.wait(), 10)
        assert len(await site.downloads.cancel(TENANT, base_url="http://gpu")) == 1
        await asyncio.wait_for(service.left.wait(), 10)
    assert service.models_ == []
    assert list(await site.downloads.list(TENANT)) == []


async def test_a_deleted_backend_stops_its_downloads(site: Site) -> None:
    service = Service(waits=True)
    backend = await site.backend("gpu", service)
    async with site.server():
        await site.downloads.enqueue(TENANT, backend, "phi3")
        await asyncio.wait_for(service.began.wait(), 10)
        await site.backends.delete(TENANT, backend)
        await asyncio.wait_for(service.left.wait(), 10)
        await site.until("cancelled")


async def test_a_stopped_servers_download_goes_on_after_the_restart(site: Site) -> None:
    service = Service(waits=True)
    backend = await site.backend("gpu", service)
    async with site.server():
        await site.downloads.enqueue(TENANT, backend, "phi3")
        await asyncio.wait_for(service.began.wait(), 10)
    (job,) = await site.downloads.list(TENANT)
    assert job.status == "queued"
    service.go_on.set()
    async with site.server():
        await site.until("success")
    assert service.pulled == ["phi3", "phi3"]


async def test_a_dead_servers_download_is_taken_over(site: Site) -> None:
    service = Service()
    backend = await site.backend("gpu", service)
    await site.downloads.enqueue(TENANT, backend, "phi3")
    assert await site.store.claim("dead", lease=0.5, per_backend=9) is not None
    async with site.server():
        (job,) = await site.downloads.list(TENANT)
        assert (job.status, service.pulled) == ("running", [])
        await site.until("success")
    assert service.models_ == ["phi3"]


async def test_two_servers_fetch_nothing_twice(site: Site) -> None:
    service = Service()
    backends = [await site.backend(f"gpu{number}", service) for number in range(3)]
    names = [f"m{number}" for number in range(6)]
    missing = [(backend, name) for backend in backends for name in names]
    await asyncio.gather(*(site.downloads.want(TENANT, missing) for _ in range(2)))
    async with site.server(), site.server():
        await site.until(*["success"] * 18)
    assert sorted(service.pulled) == sorted(names * 3)


async def test_a_failure_is_repeated_and_a_full_disk_is_not(site: Site) -> None:
    service = Service()
    backend = await site.backend("gpu", service)
    service.failures = [
        UpstreamUnavailable("gpu cannot be reached"),
        UpstreamRejected("gpu: no space left on device"),
    ]
    async with site.server():
        await site.downloads.enqueue(TENANT, backend, "phi3")
        await site.until("queued", "failed")
        (job,) = await site.downloads.list(TENANT)
        assert (job.status, job.error, job.attempts) == (
            "failed",
            "gpu: no space left on device",
            2,
        )
        await site.downloads.want(TENANT, [(backend, "phi3")])
        assert (await site.downloads.list(TENANT))[0].status == "failed"
        await site.downloads.enqueue(TENANT, backend, "phi3")
        await site.until("success")


async def test_what_matters_more_goes_first(site: Site) -> None:
    service = Service()
    backend = await site.backend("gpu", service)
    for model, priority in (("a", 0), ("b", 0), ("c", 9)):
        await site.downloads.enqueue(TENANT, backend, model, priority=priority)
    async with site.server():
        await site.until("success", "success", "success")
    assert service.pulled == ["c", "a", "b"]
