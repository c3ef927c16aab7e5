from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime_core.http import ClientDisconnected, until_disconnected


class Work:
    """Something long that notices when it is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.finish = asyncio.Event()
        self.cancelled = False

    async def run(self) -> str:
        self.begun.set()
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "done"


@pytest.fixture
def work() -> Work:
    return Work()


async def test_the_result_is_returned(client: Any, work: Work, own_tasks: Any) -> None:
    work.finish.set()
    assert await until_disconnected(client, work.run()) == "done"
    assert not own_tasks()


async def test_an_error_of_the_work_comes_through(client: Any, own_tasks: Any) -> None:
    async def broken() -> None:
        await asyncio.sleep(0)
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        await until_disconnected(client, broken())
    assert not own_tasks()


async def test_work_is_cancelled_when_the_client_leaves(
    client: Any, work: Work, own_tasks: Any
) -> None:
    answering = asyncio.create_task(until_disconnected(client, work.run()))
    await work.begun.wait()
    client.gone.set()
    async with asyncio.timeout(1):
        with pytest.raises(ClientDisconnected):
            await answering
    assert work.cancelled
    assert not own_tasks()


async def test_the_task_goes_on_uncancelled_after_the_client_left(client: Any, work: Work) -> None:
    async def answer() -> int:
        with pytest.raises(ClientDisconnected):
            await until_disconnected(client, work.run())
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    client.gone.set()
    assert await asyncio.create_task(answer()) == 0


async def test_a_cancellation_from_outside_stays_one(
    client: Any, work: Work, own_tasks: Any
) -> None:
    answering = asyncio.create_task(until_disconnected(client, work.run()))
    await work.begun.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert work.cancelled
    assert not own_tasks()


async def test_a_timeout_around_it_still_is_a_timeout(client: Any, work: Work) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await until_disconnected(client, work.run())


async def test_a_watched_answer_leaves_nothing_behind(
    client: Any, work: Work, own_tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the grace period is how long answers are not watched at all; without one, each is
    monkeypatch.setattr("runtime_core.http.disconnect._GRACE", 0.0)
    answering = asyncio.create_task(until_disconnected(client, work.run()))
    await work.begun.wait()
    await client.asked.wait()
    assert own_tasks() == ["watch"]
    work.finish.set()
    assert await answering == "done"
    assert not own_tasks()
    client.gone.set()
    await asyncio.sleep(0)


async def test_leaving_when_the_work_is_just_done_does_not_cancel_what_follows(
    client: Any, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    # without a grace period, so that the client is being watched when both things happen
    monkeypatch.setattr("runtime_core.http.disconnect._GRACE", 0.0)

    async def answer() -> str:
        result = await until_disconnected(client, work.run())
        for _ in range(3):
            await asyncio.sleep(0)
        return result

    answering = asyncio.create_task(answer())
    await client.asked.wait()
    client.gone.set()
    work.finish.set()
    assert await answering == "done"
