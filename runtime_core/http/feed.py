"""An async iterator, read ahead by a task of its own and handed out in batches."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from runtime_core.errors import RuntimeCoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

__all__ = ("Feed",)

T = TypeVar("T")


class Feed(Generic[T]):
    """Everything *source* has ready, as a list, whenever the consumer asks.

    Chunks that arrived in one read leave in one write.  The source is read ahead by at most
    *size* items, then it waits for the consumer.  Its exception surfaces after its last batch.
    Construct it in a running event loop, and always `aclose` it.
    """

    __slots__ = (
        "_bounded",
        "_pump",
        "_reader",
        "_ready",
        "_size",
        "_source",
        "_stopped",
        "_writer",
    )

    def __init__(self, source: AsyncIterator[T], *, size: int = 256) -> None:
        self._source = source
        self._size = size
        self._bounded = True
        self._stopped = False
        self._ready: list[T] = []
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._pump = asyncio.create_task(self._run(), name="feed")
        self._pump.add_done_callback(self._ended)

    async def head(self, wanted: Callable[[T], bool]) -> None:
        """Wait for the first item that is *wanted*, or the end; nothing is taken out.

        The source's error, when it comes first, is raised here: an answer that has not begun can
        still be an ordinary error.  The feed is then closed, as it is on cancellation.
        """
        self._bounded = False
        _wake(self._writer)
        try:
            await self._until(wanted)
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._bounded = True

    async def take(self) -> list[T] | None:
        """Return what is ready, waiting for the first item; None is the end.

        An empty list says that `nudge` was called meanwhile.  Does not raise the source's error:
        after the end, it is in `failure`.
        """
        if not self._ready and not self._over:
            await self._wait()
        if self._ready:
            batch, self._ready = self._ready, []
            _wake(self._writer)
            return batch
        return None if self._over else []

    def nudge(self) -> None:
        """Let a waiting `take` return without an item."""
        _wake(self._reader)

    @property
    def failure(self) -> BaseException | None:
        """The error the source ended with; None while it goes on, and after a good end."""
        if not self._pump.done() or self._stopped:
            return None
        if self._pump.cancelled():
            return RuntimeCoreError("the answer was given up half-way")
        return self._pump.exception()

    @property
    def stopped(self) -> bool:
        """Whether the consumer ended the iteration, before or after the source did."""
        return self._stopped

    @property
    def pending(self) -> Sequence[T]:
        """The items read and not yet taken."""
        return self._ready

    def stop(self) -> None:
        """End the iteration now; `aclose` still has to follow."""
        self._stopped = True
        self._ready = []
        _wake(self._reader)

    async def aclose(self) -> None:
        """Cancel what is going on, and return when the source is closed; may be called twice."""
        self.stop()
        if not self._pump.done():
            self._pump.cancel()
            await asyncio.wait((self._pump,))
        await _close(self._source)
        if not self._pump.cancelled():
            self._pump.exception()

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> list[T]:
        while (batch := await self.take()) is not None:
            if batch:
                return batch
        if self.failure is not None:
            raise self.failure
        raise StopAsyncIteration

    async def __aenter__(self) -> Feed[T]:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def _over(self) -> bool:
        return self._stopped or self._pump.done()

    async def _until(self, wanted: Callable[[T], bool]) -> None:
        seen = 0
        while True:
            if any(wanted(item) for item in islice(self._ready, seen, None)):
                return
            seen = len(self._ready)
            if self.failure is not None:
                raise self.failure
            if self._over:
                return
            await self._wait()

    async def _wait(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    async def _run(self) -> None:
        try:
            async for item in self._source:
                self._ready.append(item)
                if self._reader is not None:
                    _wake(self._reader)
                if self._bounded and len(self._ready) >= self._size:
                    await self._room()
        finally:
            # here and not in aclose: a scope opened by the source's task has to be left in it
            await _close(self._source)

    async def _room(self) -> None:
        self._writer = asyncio.get_running_loop().create_future()
        try:
            await self._writer
        finally:
            self._writer = None

    def _ended(self, pump: asyncio.Task[None]) -> None:
        _wake(self._reader)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def _close(source: object) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
