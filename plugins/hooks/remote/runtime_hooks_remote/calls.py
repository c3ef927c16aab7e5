"""Calls of services: sent, sent again where that can do no harm, and answered in time."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

from runtime_core.errors import RuntimeCoreError, TimedOut, UpstreamUnavailable
from runtime_hooks_remote.results import refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runtime_core.protocols import EgressAnswer, EgressClient
    from runtime_hooks_remote.masks import Mask
    from runtime_hooks_remote.request import OutgoingRequest

__all__ = ("Caller", "Deadline")

T = TypeVar("T")

_REPEATABLE = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PUT"))
_PASSING = frozenset((429, 502, 503, 504))

#: Seconds before the first repetition, doubled for each further one.
_PAUSE = 0.2


class Deadline:
    """The end of the time for a call.

    :param seconds: from now.
    :param what: what is called, for the error.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._what = what

    @property
    def left(self) -> float:
        """Seconds left.

        :raises TimedOut: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.missed()
        return left

    async def wait(self, work: Awaitable[T]) -> T:
        """Return what *work* comes to.

        :raises TimedOut: it took too long.
        """
        try:
            async with asyncio.timeout(max(self._end - time.monotonic(), 0)) as timer:
                return await work
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise self.missed() from error

    def missed(self) -> TimedOut:
        """Return the error for a call that took longer."""
        limit = f"{self._seconds * 1000:g} ms (its timeoutMs)"
        return TimedOut(f"{self._what} took longer than {limit}")


class Caller:
    """Calls services through the egress for addresses that operators chose.

    :param retries: how often a call that may be repeated is.
    :param chance: a number from 0 to 1, for the length of pauses.
    """

    def __init__(
        self, client: EgressClient, *, retries: int, chance: Callable[[], float] = random.random
    ) -> None:
        self._client = client
        self._retries = retries
        self._chance = chance

    async def call(
        self,
        request: OutgoingRequest,
        deadline: Deadline,
        mask: Mask,
        *,
        max_bytes: int,
        tool: str,
    ) -> EgressAnswer:
        """Return the answer of success.

        :param tool: what errors call it.
        :raises TaskFailed: the service does not want it so.
        :raises UpstreamError: it cannot be reached, broke, or answered too much.
        :raises TimedOut: it took longer than *deadline*.
        """
        left = self._retries if request.method in _REPEATABLE else 0
        pause = _PAUSE
        while True:
            try:
                answer = await self._send(request, deadline, mask, max_bytes, tool)
            except UpstreamUnavailable as error:
                failure: RuntimeCoreError = error
            else:
                if 200 <= answer.status < 300:
                    return answer
                failure = refusal(answer, mask, tool=tool)
                if answer.status not in _PASSING:
                    raise failure
            wait = failure.retry_after
            if wait is None:
                wait = pause * (0.5 + self._chance())
            if not left or wait >= deadline.left:
                raise failure
            left -= 1
            pause *= 2
            await asyncio.sleep(wait)

    async def _send(
        self,
        request: OutgoingRequest,
        deadline: Deadline,
        mask: Mask,
        max_bytes: int,
        tool: str,
    ) -> EgressAnswer:
        try:
            return await self._client.request(
                request.method,
                request.url,
                headers=request.headers,
                body=request.body,
                timeout=deadline.left,
                max_bytes=max_bytes,
                confidential=request.confidential,
            )
        except TimedOut as error:
            raise deadline.missed() from error
        except RuntimeCoreError as error:
            raise type(error)(f"{tool}: {mask.error(error.message)}") from error
