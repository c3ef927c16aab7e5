"""Noticing that a client has gone away, which no ASGI server does for an ordinary answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from litestar import Request
    from litestar.types import Receive

__all__ = ("ClientDisconnected", "disconnected", "until_disconnected")

T = TypeVar("T")

#: Seconds of work before the client is watched at all: most answers never pay for a task.
_GRACE = 0.05


class ClientDisconnected(Exception):
    """The client went away before its answer was ready; nobody is left to be told."""


async def disconnected(receive: Receive) -> None:
    """Return when the client is gone; the request's body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_disconnected(request: Request[Any, Any, Any], work: Coroutine[Any, Any, T]) -> T:
    """Return what *work* returns, and cancel it as soon as the client goes away.

    The request's body must have been read before.

    :raises ClientDisconnected: after *work* was cancelled.
    """
    watch = _Watch(request)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.answer_for_cancel():
            raise ClientDisconnected from None
        raise
    finally:
        watch.end()


class _Watch:
    """Cancels the current task when the client leaves, as `asyncio.timeout` does in time."""

    __slots__ = ("_alarm", "_cancelled", "_ended", "_request", "_task", "_watcher")

    def __init__(self, request: Request[Any, Any, Any]) -> None:
        self._request = request
        self._task = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._cancelled = False
        self._ended = False
        self._alarm = asyncio.get_running_loop().call_later(_GRACE, self._begin)

    def answer_for_cancel(self) -> bool:
        """Whether the cancellation is this watch's own, and nobody else's too."""
        if not self._cancelled or self._task is None:
            return False
        self._cancelled = False
        return self._task.uncancel() == 0

    def end(self) -> None:
        self._ended = True
        self._alarm.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._cancelled and self._task is not None:
            self._task.uncancel()

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(disconnected(self._request.receive), name="watch")
        self._watcher.add_done_callback(self._left)

    def _left(self, watcher: asyncio.Task[None]) -> None:
        if watcher.cancelled() or self._ended or self._task is None:
            return
        watcher.exception()  # a receive that fails is a client that is gone
        self._cancelled = True
        self._task.cancel()
