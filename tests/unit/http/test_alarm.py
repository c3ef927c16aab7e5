from __future__ import annotations

import asyncio

from runtime_core.http.alarm import Alarm


async def test_it_rings_once_when_nobody_moves_it() -> None:
    rung = asyncio.Event()
    count = 0

    def ring() -> None:
        nonlocal count
        count += 1
        rung.set()

    alarm = Alarm(0.005, ring)
    loop = asyncio.get_running_loop()
    started = loop.time()
    alarm.set()
    await asyncio.wait_for(rung.wait(), 5)
    assert loop.time() - started >= 0.003
    rung.clear()
    alarm.set()
    await asyncio.wait_for(rung.wait(), 5)
    assert count == 2


async def test_setting_it_again_postpones_it() -> None:
    loop = asyncio.get_running_loop()
    rung: asyncio.Future[float] = loop.create_future()
    alarm = Alarm(0.5, lambda: rung.set_result(loop.time()))
    alarm.set()
    await asyncio.sleep(0.2)
    last = loop.time()
    alarm.set()
    assert await asyncio.wait_for(rung, 10) - last > 0.45


async def test_a_cleared_alarm_does_not_ring_and_can_be_set_again() -> None:
    rung = asyncio.Event()
    alarm = Alarm(0.005, rung.set)
    alarm.set()
    alarm.clear()
    await asyncio.sleep(0.02)
    assert not rung.is_set()
    alarm.set()
    await asyncio.wait_for(rung.wait(), 5)


async def test_a_closed_alarm_does_not_ring() -> None:
    rung = asyncio.Event()
    alarm = Alarm(0.005, rung.set)
    alarm.set()
    alarm.close()
    alarm.close()
    await asyncio.sleep(0.02)
    assert not rung.is_set()
