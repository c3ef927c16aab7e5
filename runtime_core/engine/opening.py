"""Something opened and closed by a task of its own."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

__all__ = ("Opened",)

logger = logging.getLogger(__name__)


class Opened:
    """Enters an async context manager, and leaves it later, in one and the same task.

    Task groups and cancel scopes need that; and whatever a plugin's code raises stays in the task.

    :param make: returns the context manager.
    :param seconds: how long entering, and leaving, may each take.
    """

    def __init__(
        self, make: Callable[[], AbstractAsyncContextManager[object]], *, seconds: float
    ) -> None:
        self._make = make
        self._seconds = seconds
        self._open = asyncio.Event()
        self._end = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> BaseException | None:
        """Enter; return what kept it from being entered, None when it was."""
        self._task = asyncio.create_task(self._live())
        ready = asyncio.create_task(self._open.wait())
        try:
            await asyncio.wait(
                (self._task, ready), timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
        if self._open.is_set():
            return None
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=self._seconds)
            return TimeoutError()
        return _failure(self._task)

    async def close(self) -> None:
        """Leave; what does not end in time is cancelled."""
        self._end.set()
        if self._task is None or self._task.done():
            return
        _, pending = await asyncio.wait((self._task,), timeout=self._seconds)
        for task in pending:
            task.cancel()
            await asyncio.wait((task,), timeout=self._seconds)
        if error := _failure(self._task):
            logger.error("closing failed: %s", error, exc_info=error)

    async def _live(self) -> None:
        async with self._make():
            self._open.set()
            await self._end.wait()


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    if not task.done():
        return TimeoutError()
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()
