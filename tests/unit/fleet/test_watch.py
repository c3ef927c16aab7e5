"""Waits are ended when they take too long, and nothing else is."""

from __future__ import annotations

import asyncio

import pytest

from runtime_core.errors import TimedOut
from runtime_core.fleet.watch import Watch

FOREVER = 60


async def endure(limit, shorter=None):
    with Watch(limit, "b did nothing") as watch:
        if shorter is not None:
            watch.expect(shorter, "c said nothing")
        await asyncio.sleep(FOREVER)


async def test_a_wait_that_takes_too_long():
    with pytest.raises(TimedOut, match=r"b did nothing within 0\.01 s"):
        await endure(0.01)
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)


async def test_each_wait_has_the_whole_time():
    with Watch(0.05, "b") as watch:
        for _ in range(5):
            await asyncio.sleep(0.02)
            watch.pause()
            watch.wait()


async def test_what_happens_between_waits_is_not_limited():
    with Watch(0.01, "b") as watch:
        watch.pause()
        await asyncio.sleep(0.05)
        watch.wait()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(FOREVER)
        watch.pause()


async def test_a_shorter_limit_is_kept():
    async with asyncio.timeout(5):
        with pytest.raises(TimedOut, match=r"c said nothing within 0\.01 s"):
            await endure(30, shorter=0.01)


async def test_a_longer_limit_is_kept():
    with Watch(0.01, "b") as watch:
        watch.expect(30, "c")
        await asyncio.sleep(0.05)


async def test_another_ones_cancellation_is_passed_on():
    waiting = asyncio.Event()

    async def work():
        with Watch(30, "b"):
            waiting.set()
            await asyncio.sleep(FOREVER)

    task = asyncio.create_task(work())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_is_a_cancellation():
    async def work():
        with Watch(0.01, "b"):
            try:
                await asyncio.sleep(FOREVER)
            finally:
                asyncio.current_task().cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())


async def test_an_error_of_the_wait_is_not_hidden():
    async def work():
        with Watch(0.01, "b"):
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                raise KeyError from None

    with pytest.raises(KeyError):
        await work()
    assert asyncio.current_task().cancelling() == 0
