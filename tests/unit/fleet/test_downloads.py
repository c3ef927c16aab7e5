"""What is asked of the queue of downloads: by people, by watchers, and by the live state."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from runtime_core.bus import MemoryBus
from runtime_core.errors import (
    DatabaseUnavailable,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    UpstreamModelNotFound,
    UpstreamUnavailable,
)
from runtime_core.fleet.downloads import Downloads, News
from runtime_core.types import DownloadEvent


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(queue_size=4)


@pytest.fixture
def downloads(queue: Any, bus: MemoryBus, looks: Any, hub: Any) -> Downloads:
    return Downloads(
        queue, bus, looks, lambda tenant_id, backend_id: nullcontext({"b1": hub}.get(backend_id))
    )


def news(model: str, status: str = "pulling") -> DownloadEvent:
    return DownloadEvent(base_url="http://b1", model=model, status=status, completed=1, total=2)


async def running(queue: Any, model: str) -> None:
    await queue.enqueue("t", "b1", model)
    _, job = await queue.claim("somebody", lease=60.0, per_backend=9)
    await queue.progress("somebody", job, completed=3, total=9, lease=60.0)


async def test_watchers_first_hear_where_things_are(
    downloads: Downloads, queue: Any, bus: MemoryBus
) -> None:
    await running(queue, "m1")
    await queue.enqueue("t", "b1", "m2")
    async with aclosing(downloads.watch("t")) as events:
        first = await anext(events)
        await News(bus).tell("t", news("m1"))
        await News(bus).tell("other", news("m9"))
        await News(bus).tell("t", news("m2"))
        rest = [await anext(events), await anext(events)]
    assert first == DownloadEvent(
        base_url="http://b1", model="m1", status="downloading", completed=3, total=9
    )
    assert rest == [news("m1"), news("m2")]


async def test_nothing_told_while_the_queue_is_read_is_lost(
    downloads: Downloads, queue: Any, bus: MemoryBus
) -> None:
    await running(queue, "m1")
    read = queue.list

    async def told_meanwhile(tenant_id: str) -> Any:
        jobs = await read(tenant_id)
        await News(bus).tell("t", news("m1", "success"))
        return jobs

    queue.list = told_meanwhile
    async with aclosing(downloads.watch("t")) as events:
        assert [(await anext(events)).status for _ in range(2)] == ["downloading", "success"]


async def test_a_watcher_that_fell_behind_starts_anew(
    downloads: Downloads, queue: Any, bus: MemoryBus
) -> None:
    await running(queue, "m1")
    async with aclosing(downloads.watch("t")) as events:
        await anext(events)
        for number in range(6):
            await News(bus).tell("t", news(f"m{number}"))
        assert (await anext(events)).model == "m0"
        async with asyncio.timeout(5):
            while (await anext(events)).status != "downloading":
                pass


async def test_a_message_that_makes_no_sense_ends_no_stream(
    downloads: Downloads, queue: Any, bus: MemoryBus, caplog: pytest.LogCaptureFixture
) -> None:
    await running(queue, "m1")
    async with aclosing(downloads.watch("t")) as events:
        await anext(events)
        await bus.publish("downloads.progress.t", b"{")
        await News(bus).tell("t", news("m2"))
        assert (await anext(events)).model == "m2"
    assert "makes no sense: b'{'" in caplog.text


async def test_tenants_of_any_name_hear_of_their_own(
    downloads: Downloads, queue: Any, bus: MemoryBus
) -> None:
    tenants = ("a.b", "a", "*", ">", "ü")
    for tenant in tenants:
        await queue.enqueue(tenant, "b1", f"of {tenant}")
    for _ in tenants:
        await queue.claim("somebody", lease=60.0, per_backend=9)
    for tenant in tenants:
        async with aclosing(downloads.watch(tenant)) as events:
            assert (await anext(events)).model == f"of {tenant}"
            for other in tenants[::-1]:
                await News(bus).tell(other, news(other))
            assert (await anext(events)).model == tenant


async def test_a_closed_bus_ends_watching(downloads: Downloads, bus: MemoryBus) -> None:
    await bus.aclose()
    assert [event async for event in downloads.watch("t")] == []


async def test_cancelling_names_what_it_removed(downloads: Downloads, queue: Any) -> None:
    await running(queue, "m0")
    for backend, model in (("b1", "m1"), ("b2", "m1"), ("b2", "m2")):
        await queue.enqueue("t", backend, model)
    async with aclosing(downloads.watch("t")) as events:
        await anext(events)
        removed = await downloads.cancel("t", model="m1", base_url="http://b2")
        assert [(job.backend_id, job.model) for job in removed] == [("b2", "m1")]
        event = await asyncio.wait_for(anext(events), 5)
    assert (event.base_url, event.model, event.status) == ("http://b2", "m1", "cancelled")
    assert len(await downloads.list("t")) == 3
    assert len(await downloads.cancel("t", model="m1")) == 1
    assert await downloads.cancel("t", model="m1") == []


@pytest.mark.parametrize("named", [{}, {"model": ""}, {"model": "", "base_url": ""}])
async def test_cancelling_everything_by_mistake(
    downloads: Downloads, queue: Any, named: dict[str, str]
) -> None:
    await queue.enqueue("t", "b1", "m1")
    with pytest.raises(InvalidRequest, match="name the url"):
        await downloads.cancel("t", **named)
    assert len(queue.jobs) == 1


async def test_what_is_wanted_is_queued_once(downloads: Downloads, queue: Any) -> None:
    await running(queue, "m1")
    await downloads.want("t", [("b1", "m1"), ("b1", "m2"), ("b2", "m1")])
    await downloads.want("t", [("b1", "m1"), ("b1", "m2"), ("b2", "m1")])
    assert queue.of("m1").status == "running"
    assert len(queue.jobs) == 3


async def test_workers_are_rung_once_there_is_something_new(
    downloads: Downloads, bus: MemoryBus
) -> None:
    async with bus.subscribe("downloads.queued.t") as rung:
        await downloads.want("t", [("b1", "m1"), ("b1", "m2")])
        await downloads.want("t", [("b1", "m1")])
        await downloads.enqueue("t", "b1", "m1")
        await bus.aclose()
        assert len([message async for message in rung]) == 2


async def test_what_failed_for_good_rests_for_an_hour(downloads: Downloads, queue: Any) -> None:
    job = await queue.enqueue("t", "b1", "m1")
    for age, status in ((timedelta(minutes=59), "failed"), (timedelta(minutes=61), "queued")):
        failed_at = datetime.now(UTC) - age
        queue.jobs[job.id] = replace(job, status="failed", error="full", updated_at=failed_at)
        await downloads.want("t", [("b1", "m1")])
        assert queue.of("m1").status == status


async def test_wanting_nothing_costs_nothing(downloads: Downloads, queue: Any) -> None:
    queue.broken = DatabaseUnavailable("away")
    await downloads.want("t", [])


async def test_a_bus_that_is_away_keeps_nobody_from_queueing(
    queue: Any, looks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(MemoryBus):
        async def publish(self, subject: str, payload: bytes) -> None:
            raise UpstreamUnavailable("the bus cannot be reached")

    downloads = Downloads(queue, Away(), looks, lambda tenant_id, backend_id: nullcontext())
    await downloads.enqueue("t", "b1", "m1", priority=7)
    assert queue.of("m1").priority == 7
    assert len(await downloads.cancel("t", model="m1")) == 1
    assert "the bus" in caplog.text


async def test_a_model_is_taken_off_a_backend(downloads: Downloads, hub: Any, looks: Any) -> None:
    hub.models_.add("m1")
    await downloads.delete_model("t", "b1", "m1")
    assert hub.models_ == set()
    assert looks.looks == ["t"]


async def test_models_and_backends_that_are_not_there(downloads: Downloads, hub: Any) -> None:
    with pytest.raises(NotFound, match="'b9' is not in use"):
        await downloads.delete_model("t", "b9", "m1")

    async def missing(model: str) -> None:
        raise UpstreamModelNotFound("b1: model 'm1' not found")

    hub.delete_model = missing
    with pytest.raises(ModelNotFound, match="model 'm1' not found"):
        await downloads.delete_model("t", "b1", "m1")


async def test_a_type_whose_models_are_not_managed(queue: Any, bus: Any, looks: Any) -> None:
    class Plain:
        async def models(self) -> list[Any]:
            return []

        async def aclose(self) -> None: ...

    downloads = Downloads(queue, bus, looks, lambda tenant_id, backend_id: nullcontext(Plain()))
    with pytest.raises(InvalidRequest, match="not managed from here"):
        await downloads.delete_model("t", "b1", "m1")
    assert looks.looks == []
