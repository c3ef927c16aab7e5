"""Many calls at once, calls that are cancelled, and calls that never end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime_core.testing.hook_source_suite.base import opened_source
from runtime_core.testing.hook_source_suite.outcomes import (
    FAILURES,
    PATIENCE,
    SOON,
    outcome_of,
)

if TYPE_CHECKING:
    from runtime_core.protocols import HookSource, Services
    from runtime_core.types import ToolRequest, Value

__all__ = ("HangingTests", "TogetherTests")

_CALLS = 50
_CANCELLED = 40
#: Connections that are kept for the next call are no leak.
_ALLOWED = 4
_DESCRIPTORS = Path("/proc/self/fd")


class TogetherTests:
    """Calls know nothing of one another, and leave nothing behind."""

    async def test_fifty_calls_at_once(
        self, opened: HookSource, works: ToolRequest, fails: ToolRequest, result: Value
    ) -> None:
        requests = [works, fails] * (_CALLS // 2)
        async with asyncio.timeout(PATIENCE):
            outcomes = await asyncio.gather(*(outcome_of(opened, one) for one in requests))
        assert outcomes[::2] == [result] * (_CALLS // 2), (
            "calls made at once must give what each alone gives: keep no state between them"
        )
        assert all(isinstance(outcome, FAILURES) for outcome in outcomes[1::2])

    async def test_listings_at_once(self, opened: HookSource) -> None:
        first = list(await opened.hooks("default"))
        for listed in await asyncio.gather(*(opened.hooks("default") for _ in range(_CALLS))):
            assert list(listed) == first, "listings made at once must be the same"

    async def test_cancelled_calls_leave_nothing(
        self, opened: HookSource, works: ToolRequest
    ) -> None:
        await opened.call(works)
        await _cancel_many(opened, works)

    async def test_runs_again_after_it_was_closed(
        self, source: HookSource, services: Services | None, works: ToolRequest, result: Value
    ) -> None:
        for _ in range(2):
            before = asyncio.all_tasks()
            async with opened_source(source, services):
                assert await source.call(works) == result, (
                    "running() must be fit to be entered again after it was left"
                )
            await _no_tasks_beside(before, "running() must end the tasks it has started")

    async def test_closes_while_calls_are_cancelled(
        self, source: HookSource, services: Services | None, works: ToolRequest
    ) -> None:
        before = asyncio.all_tasks()
        async with opened_source(source, services):
            calls = [asyncio.create_task(source.call(works)) for _ in range(5)]
            await asyncio.sleep(0)
            for call in calls:
                call.cancel()
        await asyncio.wait(calls, timeout=PATIENCE)
        assert all(call.done() for call in calls), "a cancelled call must end"
        await _no_tasks_beside(before, "a source that was closed must leave no task")


class HangingTests:
    """What waits for another service can be cancelled, and keeps nobody else waiting."""

    async def test_a_hanging_call_can_be_cancelled(
        self, opened: HookSource, hangs: ToolRequest
    ) -> None:
        await _cancel_many(opened, hangs, head_start=0.02)

    async def test_listing_does_not_wait_for_a_call(
        self, opened: HookSource, hangs: ToolRequest
    ) -> None:
        expected = list(await opened.hooks("default"))
        call = await _started(opened, hangs)
        try:
            async with asyncio.timeout(SOON):
                listed = list(await opened.hooks("default"))
        except TimeoutError:
            pytest.fail("hooks() must answer while a call hangs: do not hold a lock in call()")
        finally:
            await _cancelled(call)
        assert listed == expected

    async def test_calls_do_not_wait_for_another(
        self, opened: HookSource, hangs: ToolRequest, works: ToolRequest, result: Value
    ) -> None:
        await opened.call(works)
        hanging = [await _started(opened, hangs) for _ in range(3)]
        try:
            async with asyncio.timeout(PATIENCE / 2):
                assert await opened.call(works) == result
        except TimeoutError:
            pytest.fail("a call must go on while another hangs: do not hold a lock in call()")
        finally:
            for call in hanging:
                await _cancelled(call)


async def _cancel_many(source: HookSource, request: ToolRequest, head_start: float = 0) -> None:
    before, open_before = asyncio.all_tasks(), _descriptors()
    for turns in range(_CANCELLED):
        call = asyncio.create_task(source.call(request))
        # cut wherever it is by then: in one of its first steps, or some way into its waiting
        for _ in range(turns % 8 + 1):
            await asyncio.sleep(0)
        if head_start and not call.done():
            await asyncio.wait((call,), timeout=head_start)
        await _cancelled(call)
    await _no_tasks_beside(before, "a cancelled call must end the tasks it has started")
    await _descriptors_are_back(open_before + _ALLOWED)


async def _started(source: HookSource, request: ToolRequest) -> asyncio.Task[Value]:
    call = asyncio.create_task(source.call(request))
    done, _ = await asyncio.wait((call,), timeout=0.1)
    assert not done, "the call of the fixture 'hangs' must not end by itself"
    return call


async def _cancelled(call: asyncio.Task[Value]) -> None:
    if call.done():
        return
    call.cancel()
    await asyncio.wait((call,), timeout=SOON)
    assert call.done(), f"a cancelled call must end within {SOON:g} s: do not shield, nor swallow"
    assert call.cancelled(), "a cancelled call must raise CancelledError: do not swallow it"


async def _no_tasks_beside(before: set[asyncio.Task[object]], message: str) -> None:
    new = asyncio.all_tasks() - before
    if new:
        _, new = await asyncio.wait(new, timeout=SOON)
    assert not new, f"{message}: {sorted(task.get_name() for task in new)}"


async def _descriptors_are_back(limit: int) -> None:
    for _ in range(200):
        if _descriptors() <= limit:
            return
        # transports close in the next turns of the loop
        await asyncio.sleep(0)
    raise AssertionError(
        f"{_CANCELLED} cancelled calls must close what they have opened: there are "
        f"{_descriptors()} open files and sockets, at most {limit} expected"
    )


def _descriptors() -> int:
    return len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.exists() else 0
