"""Downloads are carried out: limits, cancellation, failures, restarts."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.bus import MemoryBus
from runtime_core.errors import (
    DatabaseUnavailable,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from runtime_core.fleet.downloads import Downloads
from runtime_core.fleet.worker import DownloadWorker
from runtime_core.types import DownloadEvent, PullProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

#: Longer than any test: what happens then happens for another reason.
NEVER = 3600.0


class Place:
    """A queue, the worker's surroundings, and everything watchers were told."""

    def __init__(self, queue: Any, hub: Any, looks: Any) -> None:
        self.queue = queue
        self.looks = looks
        self.bus = MemoryBus()
        self.hubs: dict[str, Any] = {"b1": hub}
        self.in_use: list[str] = []
        self.told: list[DownloadEvent] = []
        self.downloads = Downloads(queue, self.bus, looks, self.using)
        self._news = asyncio.Condition()

    @contextmanager
    def using(self, tenant_id: str, backend_id: str) -> Iterator[Any]:
        self.in_use.append(backend_id)
        yield self.hubs.get(backend_id)
        self.in_use.remove(backend_id)

    def worker(self, **options: Any) -> DownloadWorker:
        given = {"poll": NEVER, "beat": NEVER, "retry_after": lambda _: 0.0} | options
        return DownloadWorker(self.queue, self.bus, self.looks, self.using, **given)

    async def listen(self) -> None:
        async for event in self.downloads.watch("t"):
            self.told.append(event)
            async with self._news:
                self._news.notify_all()

    async def until(self, status: str) -> DownloadEvent:
        """Return the first news of a status."""

        def found() -> DownloadEvent | None:
            return next((event for event in self.told if event.status == status), None)

        async with asyncio.timeout(5), self._news:
            event = await self._news.wait_for(found)
        assert event is not None
        return event


@pytest.fixture
async def place(queue: Any, hub: Any, looks: Any) -> AsyncIterator[Place]:
    place = Place(queue, hub, looks)
    listener = asyncio.create_task(place.listen(), name="listener")
    await queue.until(lambda: True)
    yield place
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    leftovers = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in leftovers if name.startswith(("download", "pull"))]


async def test_a_model_is_fetched(place: Place, queue: Any, hub: Any) -> None:
    hub.will(
        PullProgress("pulling manifest"),
        PullProgress("pulling 1", 5, 10, "sha256:1"),
        PullProgress("pulling 1", 10, 10, "sha256:1"),
    )
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        await place.until("success")
    assert queue.jobs == {}
    assert hub.models_ == {"m"}
    assert place.looks.looks == ["t"]
    assert [(e.status, e.completed, e.total, e.digest) for e in place.told] == [
        ("pulling manifest", 0, 0, ""),
        ("pulling 1", 5, 10, "sha256:1"),
        ("pulling 1", 10, 10, "sha256:1"),
        ("success", 10, 10, ""),
    ]
    assert {(e.base_url, e.model) for e in place.told} == {("http://b1", "m")}


async def test_a_backend_is_in_use_for_as_long_as_it_fetches(place: Place, hub: Any) -> None:
    hub.will("PAUSE", PullProgress("pulling 1", 10, 10))
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        await hub.paused.wait()
        assert place.in_use == ["b1"]
        hub.go_on.set()
        await place.until("success")
        assert place.in_use == []


async def test_what_was_queued_before_the_start_is_fetched(place: Place, queue: Any) -> None:
    await queue.enqueue("t", "b1", "m")
    async with place.worker():
        await place.until("success")


async def test_the_queue_is_looked_at_even_when_nobody_rings(place: Place, queue: Any) -> None:
    async with place.worker(poll=0.01):
        await queue.until(lambda: queue.claims > 1)
        await queue.enqueue("t", "b1", "m")
        await place.until("success")


async def test_one_backend_fetches_one_model_at_a_time(
    place: Place, queue: Any, hub: Any, new_hub: Any
) -> None:
    place.hubs["b2"] = new_hub()
    for model in ("m1", "m2"):
        hub.will("PAUSE", model=model)
        await queue.enqueue("t", "b1", model)
    place.hubs["b2"].will("PAUSE", model="m3")
    await queue.enqueue("t", "b2", "m3")
    async with place.worker():
        await asyncio.wait_for(hub.paused.wait(), 5)
        await asyncio.wait_for(place.hubs["b2"].paused.wait(), 5)
        assert queue.of("m2").status == "queued"
        hub.go_on.set()
        await queue.until(lambda: queue.of("m2") is None)
        place.hubs["b2"].go_on.set()
        await queue.until(lambda: not queue.jobs)
    assert hub.most_open == 1
    assert hub.pulled == ["m1", "m2"]


async def test_a_backend_may_be_given_more(place: Place, queue: Any, hub: Any) -> None:
    for model in ("m1", "m2", "m3"):
        hub.will("PAUSE", model=model)
        await queue.enqueue("t", "b1", model)
    async with place.worker(per_backend=2):
        await queue.until(lambda: len(hub.open) == 2)
        hub.go_on.set()
        await queue.until(lambda: not queue.jobs)
    assert hub.most_open == 2


async def test_a_server_fetches_only_so_many_at_a_time(
    place: Place, queue: Any, new_hub: Any
) -> None:
    place.hubs = {name: new_hub() for name in ("b1", "b2", "b3")}
    for name, hub in place.hubs.items():
        hub.will("PAUSE")
        await queue.enqueue("t", name, "m")
    async with place.worker(parallelism=2):
        await asyncio.wait_for(place.hubs["b2"].paused.wait(), 5)
        assert not place.hubs["b3"].pulled
        for hub in place.hubs.values():
            hub.go_on.set()
        await queue.until(lambda: not queue.jobs)


async def test_a_cancelled_download_stops_at_once(place: Place, queue: Any, hub: Any) -> None:
    hub.will(PullProgress("pulling", 1, 9), "PAUSE")
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        await asyncio.wait_for(hub.paused.wait(), 5)
        (removed,) = await place.downloads.cancel("t", model="m")
        assert removed.model == "m"
        await asyncio.wait_for(hub.closed.wait(), 5)
        assert (await place.until("cancelled")).base_url == "http://b1"
    assert hub.models_ == set()
    assert hub.pulled == ["m"]
    assert "success" not in [event.status for event in place.told]


async def test_a_backend_that_is_configured_anew_fetches_where_it_is_now(
    place: Place, queue: Any, hub: Any, new_hub: Any
) -> None:
    hub.will(PullProgress("pulling", 1, 9), "PAUSE")
    async with place.worker(poll=0.01, beat=0.01):
        await place.downloads.enqueue("t", "b1", "m")
        await asyncio.wait_for(hub.paused.wait(), 5)
        place.hubs["b1"] = there = new_hub()
        await asyncio.wait_for(hub.closed.wait(), 5)
        assert "configured anew" in (await place.until("queued")).error
        await place.until("success")
    assert (hub.models_, there.models_) == (set(), {"m"})
    assert queue.jobs == {}


async def test_a_model_that_arrives_where_the_backend_was_is_fetched_once_more(
    place: Place, hub: Any, new_hub: Any
) -> None:
    hub.will(PullProgress("pulling", 1, 9), "PAUSE")
    async with place.worker(poll=0.01):
        await place.downloads.enqueue("t", "b1", "m")
        await asyncio.wait_for(hub.paused.wait(), 5)
        place.hubs["b1"] = there = new_hub()
        hub.go_on.set()
        await place.until("success")
    assert (hub.models_, there.models_) == ({"m"}, {"m"})


async def test_a_download_to_a_backend_that_is_taken_out_of_use_comes_to_its_end(
    place: Place, hub: Any
) -> None:
    hub.will(PullProgress("pulling", 1, 9), "PAUSE")
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        await asyncio.wait_for(hub.paused.wait(), 5)
        del place.hubs["b1"]
        hub.go_on.set()
        await place.until("success")
    assert hub.models_ == {"m"}


async def test_a_service_that_asks_for_years_of_patience_is_asked_again_in_an_hour(
    queue: Any, place: Place, hub: Any
) -> None:
    hub.will(UpstreamRateLimited("slow down", retry_after=1e20))
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        await place.until("queued")
    assert queue.retries == [3600.0]


async def test_only_what_was_cancelled_stops(
    place: Place, queue: Any, hub: Any, new_hub: Any
) -> None:
    place.hubs["b2"] = other = new_hub()
    for hub_, backend in ((hub, "b1"), (other, "b2")):
        hub_.will("PAUSE")
        await queue.enqueue("t", backend, "m")
    async with place.worker():
        await asyncio.wait_for(hub.paused.wait(), 5)
        await asyncio.wait_for(other.paused.wait(), 5)
        await place.downloads.cancel("t", base_url="http://b1")
        await asyncio.wait_for(hub.closed.wait(), 5)
        assert other.open == ["m"]
        other.go_on.set()
        await place.until("success")
    assert other.models_ == {"m"}


async def test_a_removed_download_stops_when_the_bus_lost_the_word(
    place: Place, queue: Any, hub: Any
) -> None:
    hub.will("PAUSE")
    await queue.enqueue("t", "b1", "m")
    async with place.worker(beat=0.01):
        await asyncio.wait_for(hub.paused.wait(), 5)
        await queue.remove("t")
        await asyncio.wait_for(hub.closed.wait(), 5)
        await place.until("cancelled")


async def test_a_download_that_another_server_took_over_stops(
    place: Place, queue: Any, hub: Any
) -> None:
    hub.will("PAUSE")
    await queue.enqueue("t", "b1", "m")
    async with place.worker(beat=0.01):
        await asyncio.wait_for(hub.paused.wait(), 5)
        queue.now = NEVER
        assert await queue.claim("another", lease=NEVER, per_backend=9) is not None
        await asyncio.wait_for(hub.closed.wait(), 5)
    assert queue.of("m").status == "running"


async def test_progress_is_on_record(place: Place, queue: Any, hub: Any) -> None:
    hub.will(PullProgress("pulling", 3, 9), "PAUSE")
    await queue.enqueue("t", "b1", "m")
    async with place.worker(beat=0.01):
        await queue.until(lambda: queue.of("m").completed)
        assert (queue.of("m").completed, queue.of("m").total) == (3, 9)
        hub.go_on.set()
        await place.until("success")


async def test_a_failure_that_may_pass_is_repeated(place: Place, queue: Any, hub: Any) -> None:
    hub.will(PullProgress("pulling", 1, 9), UpstreamUnavailable("b1 cannot be reached"))
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        event = await place.until("queued")
        assert event.error == "b1 cannot be reached"
        hub.will()
        await place.until("success")
    assert queue.retries[0] == 0.0


async def test_attempts_are_bounded_and_the_reason_is_kept(
    place: Place, queue: Any, hub: Any
) -> None:
    hub.will(UpstreamUnavailable("b1 cannot be reached"))
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        await place.until("failed")
    assert len(hub.pulled) == 8
    assert (queue.of("m").status, queue.of("m").error) == ("failed", "b1 cannot be reached")


async def test_pauses_grow_and_heed_the_service(queue: Any, place: Place, hub: Any) -> None:
    await queue.enqueue("t", "b1", "m")
    hub.will(UpstreamUnavailable("no"))
    worker = place.worker(retry_after=None, poll=0.01)
    async with worker:
        for attempt in range(1, 7):
            await queue.until(lambda n=attempt: len(queue.retries) == n)
            queue.now += NEVER
        hub.will(UpstreamRateLimited("patience", retry_after=1000.0))
        await queue.until(lambda: 1000.0 in queue.retries)
    for attempt, pause in enumerate(queue.retries[:6]):
        assert 0.8 * 5 * 2**attempt <= pause <= 1.2 * 5 * 2**attempt


async def test_a_full_disk_is_reported_and_ends_it(
    place: Place, queue: Any, hub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hub.will(PullProgress("pulling", 4, 9), UpstreamRejected("b1: no space left on device"))
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        event = await place.until("failed")
    assert event.error == "b1: no space left on device"
    assert hub.pulled == ["m"]
    assert (queue.of("m").status, queue.of("m").error) == ("failed", "b1: no space left on device")
    assert "no space left on device" in caplog.text


async def test_a_provider_that_breaks_fails_its_job_alone(
    place: Place, queue: Any, hub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hub.will(ZeroDivisionError("oops"), model="bad")
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "bad")
        event = await place.until("failed")
        await place.downloads.enqueue("t", "b1", "good")
        await place.until("success")
    assert "the server's log has the details" in event.error
    assert "ZeroDivisionError" in caplog.text
    assert queue.of("bad").status == "failed"


async def test_backends_that_fetch_nothing(place: Place, queue: Any) -> None:
    class Plain:
        async def models(self) -> list[Any]:
            return []

        async def aclose(self) -> None: ...

    place.hubs["b1"] = Plain()
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        assert "fetches no models" in (await place.until("failed")).error


async def test_a_backend_that_is_not_there_yet(place: Place, queue: Any, hub: Any) -> None:
    place.hubs.clear()
    async with place.worker(poll=0.01, retry_after=lambda _: 9.0):
        await place.downloads.enqueue("t", "b1", "m")
        assert "not in use" in (await place.until("queued")).error
        place.hubs["b1"] = hub
        queue.now = 9.0
        await place.until("success")


async def test_a_backend_that_stays_away_is_given_up(place: Place, queue: Any) -> None:
    place.hubs.clear()
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        assert "not in use" in (await place.until("cancelled")).error
    assert queue.jobs == {}
    assert len(queue.retries) == 7


async def test_a_stopped_server_gives_its_jobs_back(place: Place, queue: Any, hub: Any) -> None:
    hub.will(PullProgress("pulling", 3, 9), "PAUSE")
    await queue.enqueue("t", "b1", "m")
    async with place.worker():
        await asyncio.wait_for(hub.paused.wait(), 5)
    assert hub.open == []
    assert queue.of("m").status == "queued"
    assert "stopped" in queue.of("m").error
    hub.go_on.set()
    async with place.worker():
        await place.until("success")


async def test_a_dead_servers_jobs_are_taken_over_after_their_lease(
    place: Place, queue: Any, hub: Any
) -> None:
    await queue.enqueue("t", "b1", "m")
    assert await queue.claim("dead", lease=30.0, per_backend=9) is not None
    async with place.worker(poll=0.01):
        claims = queue.claims
        await queue.until(lambda: queue.claims > claims + 2)
        assert hub.pulled == []
        queue.now = 30.0
        await place.until("success")


async def test_a_database_that_is_away_for_a_moment(place: Place, queue: Any, hub: Any) -> None:
    hub.will("PAUSE")
    async with place.worker(beat=0.01, poll=0.01):
        queue.broken = DatabaseUnavailable("the database is busy")
        renewals = await _count_until(queue, "claims", 2)
        queue.broken = None
        await place.downloads.enqueue("t", "b1", "m")
        await asyncio.wait_for(hub.paused.wait(), 5)
        queue.broken = DatabaseUnavailable("the database is busy")
        renewals = await _count_until(queue, "renewals", 2)
        queue.broken = None
        assert hub.open == ["m"]
        await queue.until(lambda: queue.renewals > renewals)
        hub.go_on.set()
        await place.until("success")


async def test_without_a_lease_nothing_is_fetched(place: Place, queue: Any, hub: Any) -> None:
    hub.will("PAUSE")
    await queue.enqueue("t", "b1", "m")
    async with place.worker(beat=0.01, lease=0.05):
        await asyncio.wait_for(hub.paused.wait(), 5)
        queue.broken = DatabaseUnavailable("the database is busy")
        await asyncio.wait_for(hub.closed.wait(), 5)
    assert queue.of("m").status == "running"


async def test_a_download_that_stands_still_is_given_up(
    place: Place, queue: Any, hub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    hub.will(PullProgress("verifying", 9, 9), "PAUSE")
    async with place.worker(beat=0.01, stalled_after=0.02, retry_after=lambda _: 60.0):
        await place.downloads.enqueue("t", "b1", "m")
        event = await place.until("queued")
    assert "no progress" in event.error
    assert "'verifying'" in event.error
    assert hub.open == []


async def test_a_slow_download_is_not_given_up(place: Place, queue: Any, hub: Any) -> None:
    async def a_beat() -> None:
        renewals = queue.renewals
        await queue.until(lambda: queue.renewals > renewals)

    script: list[Any] = []
    for done in range(40):
        script += [PullProgress("pulling", done, 40), a_beat]
    hub.will(*script)
    async with place.worker(beat=0.02, stalled_after=0.5):
        await place.downloads.enqueue("t", "b1", "m")
        await place.until("success")
    assert hub.pulled == ["m"]


async def test_a_million_reports_are_a_hundred_events(place: Place, hub: Any) -> None:
    total = 10**6
    hub.will(*(PullProgress("pulling", done, total, "d") for done in range(0, total, 100)))
    async with place.worker():
        await place.downloads.enqueue("t", "b1", "m")
        await place.until("success")
    assert 90 <= len(place.told) <= 110


async def _count_until(queue: Any, counter: str, more: int) -> int:
    """Wait for calls of a queue that is broken, and so tells nobody of them."""
    before = getattr(queue, counter)
    async with asyncio.timeout(5):
        while getattr(queue, counter) < before + more:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
    return int(getattr(queue, counter))
