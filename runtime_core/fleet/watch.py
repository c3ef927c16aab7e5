"""Time limits for waits that nearly always end in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtime_core.errors import TimedOut

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("Watch",)


class Watch:
    """Ends a wait that takes too long, at next to no cost for one that does not.

    Use as a context manager around waits; inside, `wait` says that a wait begins and `pause` that
    what was awaited is there.  One timer serves them all: it looks, when it fires, how long the
    present wait has lasted.

    :param limit: seconds a wait may take.
    :param subject: begins the message of the error; "within N s" follows.
    :raises TimedOut: a wait took longer.
    """

    __slots__ = (
        "_cancelling",
        "_expired",
        "_limit",
        "_loop",
        "_since",
        "_subject",
        "_task",
        "_timer",
    )

    def __init__(self, limit: float, subject: str) -> None:
        self._limit = limit
        self._subject = subject
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._expired: asyncio.Task[object] | None = None
        self._cancelling = 0

    def expect(self, limit: float, subject: str) -> None:
        """A wait of another kind begins."""
        self._subject = subject
        if limit < self._limit and self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.call_later(limit, self._look)
        self._limit = limit
        self.wait()

    def wait(self) -> None:
        """A wait of the current task begins."""
        self._since = self._loop.time()
        self._task = asyncio.current_task()

    def pause(self) -> None:
        """The wait is over."""
        self._task = None

    def __enter__(self) -> Watch:
        self.wait()
        self._timer = self._loop.call_at(self._since + self._limit, self._look)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
        if self._expired is None:
            return
        ours = self._expired.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise TimedOut(f"{self._subject} within {self._limit:g} s") from error

    def _look(self) -> None:
        now, task = self._loop.time(), self._task
        if task is None:
            self._timer = self._loop.call_at(now + self._limit, self._look)
        elif now < self._since + self._limit:
            self._timer = self._loop.call_at(self._since + self._limit, self._look)
        else:
            self._task = None
            self._expired = task
            self._cancelling = task.cancelling()
            task.cancel()
