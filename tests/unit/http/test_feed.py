from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from runtime_core.errors import UpstreamUnavailable
from runtime_core.http import Feed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Source:
    """A scripted source that counts what was read of it and whether it was closed."""

    def __init__(self, *items: object) -> None:
        self.items = items
        self.read = 0
        self.closed = 0
        self.go_on = asyncio.Event()
        self.paused = asyncio.Event()

    async def stream(self) -> AsyncIterator[object]:
        try:
            for item in self.items:
                if item == "pause":
                    self.paused.set()
                    await self.go_on.wait()
                elif isinstance(item, Exception):
                    raise item
                else:
                    self.read += 1
                    yield item
        finally:
            self.closed += 1


def others() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task.get_name() == "feed"}


async def test_what_is_ready_comes_as_one_batch() -> None:
    source = Source(1, 2, 3, "pause", 4, 5)
    async with Feed(source.stream()) as feed:
        assert await feed.take() == [1, 2, 3]
        source.go_on.set()
        assert await feed.take() == [4, 5]
        assert await feed.take() is None
        assert await feed.take() is None
    assert source.closed == 1


async def test_iterating_gives_every_item_once_and_in_order() -> None:
    items = list(range(10_000))
    async with Feed(Source(*items).stream(), size=7) as feed:
        batches = [batch async for batch in feed]
    assert [item for batch in batches for item in batch] == items
    assert max(map(len, batches)) <= 7


async def test_the_source_waits_for_the_consumer() -> None:
    source = Source(*range(100))
    async with Feed(source.stream(), size=10) as feed:
        for _ in range(5):
            await asyncio.sleep(0)
        assert source.read == 10
        assert await feed.take() == list(range(10))
        for _ in range(5):
            await asyncio.sleep(0)
        assert source.read == 20
    assert source.closed == 1


async def test_the_error_comes_after_the_last_batch() -> None:
    async with Feed(Source(1, 2, UpstreamUnavailable("gone")).stream()) as feed:
        assert await anext(feed) == [1, 2]
        with pytest.raises(UpstreamUnavailable, match="gone"):
            await anext(feed)
        assert await feed.take() is None
        assert isinstance(feed.failure, UpstreamUnavailable)


async def test_a_source_that_was_cancelled_inside_is_a_failure_not_a_cancelled_consumer() -> None:
    async def cancelled() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    async with Feed(cancelled()) as feed:
        assert await feed.take() == [1]
        assert await feed.take() is None
        assert "half-way" in str(feed.failure)


async def test_a_nudge_ends_the_waiting_without_an_item() -> None:
    source = Source("pause", 1)
    async with Feed(source.stream()) as feed:
        feed.nudge()  # nobody waits: nothing happens
        taking = asyncio.create_task(feed.take())
        await source.paused.wait()
        feed.nudge()
        assert await taking == []
        iterating = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        feed.nudge()
        source.go_on.set()
        assert await iterating == [1]
        assert await feed.take() is None


async def test_head_waits_for_the_first_wanted_item_and_takes_nothing() -> None:
    source = Source("a", "b", "pause", "wanted", "c")
    async with Feed(source.stream(), size=1) as feed:
        waiting = asyncio.create_task(feed.head(lambda item: item == "wanted"))
        await source.paused.wait()
        assert not waiting.done()
        source.go_on.set()
        await waiting
        assert list(feed.pending)[:3] == ["a", "b", "wanted"]
        batches = [batch async for batch in feed]
    assert [item for batch in batches for item in batch] == ["a", "b", "wanted", "c"]


async def test_head_returns_at_the_end_without_a_wanted_item() -> None:
    async with Feed(Source(1, 2).stream()) as feed:
        await feed.head(lambda item: False)
        assert [batch async for batch in feed] == [[1, 2]]


async def test_an_error_before_the_first_wanted_item_is_raised_by_head() -> None:
    source = Source(1, UpstreamUnavailable("refused"))
    feed = Feed(source.stream())
    with pytest.raises(UpstreamUnavailable, match="refused"):
        await feed.head(lambda item: item == 2)
    assert not others()
    assert source.closed == 1


async def test_an_error_after_the_wanted_item_waits_for_its_turn() -> None:
    async with Feed(Source(1, UpstreamUnavailable("broke")).stream()) as feed:
        await feed.head(lambda item: item == 1)
        assert await anext(feed) == [1]
        with pytest.raises(UpstreamUnavailable):
            await anext(feed)


async def test_cancelling_head_closes_the_source() -> None:
    source = Source(1, "pause")
    feed = Feed(source.stream())
    waiting = asyncio.create_task(feed.head(lambda item: item == 2))
    await source.paused.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert source.closed == 1
    assert not others()


@pytest.mark.parametrize("read_first", [0, 3], ids=["never-started", "suspended-in-yield"])
async def test_closing_closes_the_source_wherever_it_stands(read_first: int) -> None:
    source = Source(*range(10))
    feed = Feed(source.stream(), size=3)
    if read_first:
        await feed.take()
    await feed.aclose()
    await feed.aclose()
    assert source.closed == (1 if read_first else 0)
    assert await feed.take() is None
    assert feed.stopped
    assert not others()


async def test_closing_interrupts_a_source_that_waits() -> None:
    source = Source("pause")
    feed = Feed(source.stream())
    await source.paused.wait()
    await feed.aclose()
    assert source.closed == 1
    assert not others()


async def test_a_source_is_left_in_the_task_that_entered_it() -> None:
    """A cancel scope of the source would break when left by another task."""
    tasks = []

    async def scoped() -> AsyncIterator[int]:
        tasks.append(asyncio.current_task())
        try:
            yield 1
            yield 2
        finally:
            tasks.append(asyncio.current_task())

    feed = Feed(scoped(), size=1)
    await feed.take()
    await feed.aclose()
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]


async def test_stopping_wakes_the_consumer() -> None:
    source = Source("pause")
    async with Feed(source.stream()) as feed:
        taking = asyncio.create_task(feed.take())
        await source.paused.wait()
        feed.stop()
        assert await taking is None
        assert feed.failure is None


@pytest.mark.parametrize("end", [(), (UpstreamUnavailable("gone"),)], ids=["good", "bad"])
async def test_an_end_without_an_item_wakes_the_consumer(end: tuple[Exception, ...]) -> None:
    source = Source(1, "pause", *end)
    async with Feed(source.stream()) as feed:
        assert await feed.take() == [1]
        taking = asyncio.create_task(feed.take())
        await asyncio.sleep(0)
        source.go_on.set()
        assert await asyncio.wait_for(taking, 5) is None
        assert (feed.failure is not None) == bool(end)


async def test_a_plain_async_iterator_needs_no_aclose() -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    async with Feed(Plain()) as feed:
        assert [batch async for batch in feed] == [[2, 1, 0]]


async def test_a_failure_nobody_asks_for_is_not_reported_as_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = Feed(Source(UpstreamUnavailable("ignored")).stream())
    await asyncio.sleep(0)
    await feed.aclose()
    del feed
    assert not caplog.records
