"""The doorbell inside one process: the ``memory`` driver, and the near end of every other."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from runtime_core.errors import SubscriptionLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

__all__ = ("MemoryBus", "MemorySubscription")

QUEUE_SIZE = 1024

#: A subject: dotted parts of anything but spaces and control characters.
_SUBJECT = re.compile(r"[^\s.\x00-\x1f\x7f]+(\.[^\s.\x00-\x1f\x7f]+)*")

Key = TypeVar("Key")


class MemoryBus:
    """Implements `runtime_core.protocols.Bus` for everybody in this process and event loop.

    A driver that carries messages between processes has one of these for its own process.

    :param url: ``memory://``; there is nothing to configure in it.
    :param environ: the environment; there is nothing to configure in it either.
    :param queue_size: messages a subscriber may be behind before it is dropped.
    """

    def __init__(
        self,
        url: str = "memory://",
        *,
        environ: Mapping[str, str] | None = None,
        queue_size: int = QUEUE_SIZE,
    ) -> None:
        if queue_size < 1:
            raise ValueError(f"queue_size must be at least 1, not {queue_size}")
        self.url = url
        self._queue_size = queue_size
        self._exact: dict[str, set[MemorySubscription]] = {}
        self._patterns: dict[tuple[str, ...], set[MemorySubscription]] = {}
        self._closed = False

    async def publish(self, subject: str, payload: bytes) -> None:
        """Hand *payload* to everyone listening now; never waits for them."""
        self.hand_out(subject, payload)

    def hand_out(self, subject: str, payload: bytes) -> None:
        """Do what `publish` does, for who is not in a coroutine."""
        parts = _parts(subject)
        if "*" in parts or ">" in parts:
            raise ValueError(f"cannot publish to {subject!r}: wildcards are for subscribers")
        for subscription in tuple(self._exact.get(subject, ())):
            subscription.offer(payload)
        for pattern, subscriptions in tuple(self._patterns.items()):
            if _matches(pattern, parts):
                for subscription in tuple(subscriptions):
                    subscription.offer(payload)

    def subscribe(self, subject: str) -> MemorySubscription:
        """Return a subscription that listens from the moment it is entered."""
        parts = _parts(subject)
        if ">" in parts[:-1]:
            raise ValueError(f"cannot subscribe to {subject!r}: '>' can only be the last part")
        return MemorySubscription(self, subject, parts, self._queue_size)

    async def ping(self) -> None:
        """Return: there is nobody else to reach."""

    def lose(self, reason: str) -> None:
        """Let everybody who listens know that messages were missed: `SubscriptionLost`.

        :param reason: what happened to the subscriber, as ``missed messages while ...``.
        """
        for subscription in self._take_all():
            subscription.lose(reason)

    async def aclose(self) -> None:
        """End every subscription; what is published afterwards reaches nobody."""
        self._closed = True
        for subscription in self._take_all():
            subscription.end()

    def add(self, subscription: MemorySubscription) -> None:
        """Start listening; on a closed bus the subscription ends at once."""
        if self._closed:
            subscription.end()
        elif subscription.is_pattern:
            self._patterns.setdefault(subscription.parts, set()).add(subscription)
        else:
            self._exact.setdefault(subscription.subject, set()).add(subscription)

    def discard(self, subscription: MemorySubscription) -> None:
        """Stop listening; may be called twice."""
        if subscription.is_pattern:
            _discard(self._patterns, subscription.parts, subscription)
        else:
            _discard(self._exact, subscription.subject, subscription)

    def _take_all(self) -> list[MemorySubscription]:
        groups = (*self._exact.values(), *self._patterns.values())
        found = [subscription for group in groups for subscription in group]
        self._exact.clear()
        self._patterns.clear()
        return found


class MemorySubscription:
    """Messages of one subject, in the order they were published; for one consumer.

    A subscriber that falls behind by the whole queue is dropped, and so is everybody when the bus
    lost messages: who was dropped still gets what was queued, then `SubscriptionLost`.  Closing
    the bus ends the iteration after what was queued.
    """

    def __init__(self, bus: MemoryBus, subject: str, parts: tuple[str, ...], size: int) -> None:
        self.subject = subject
        self.parts = parts
        self.is_pattern = "*" in parts or parts[-1] == ">"
        self._bus = bus
        self._size = size
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._entered = self._ended = False
        self._lost = ""

    async def __aenter__(self) -> MemorySubscription:
        self._entered = True
        self._bus.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._bus.discard(self)
        self._queue.clear()
        self.end()

    def __aiter__(self) -> AsyncIterator[bytes]:
        if not self._entered:
            raise RuntimeError(
                f"the subscription to {self.subject!r} is not listening yet: "
                "enter it with 'async with' before iterating"
            )
        return self

    async def __anext__(self) -> bytes:
        while not self._queue:
            if self._lost:
                raise SubscriptionLost(
                    f"the subscriber to {self.subject!r} {self._lost}: "
                    "subscribe again and read what was missed"
                )
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    def offer(self, payload: bytes) -> None:
        """Queue a message, or drop the subscription when its queue is full."""
        if len(self._queue) < self._size:
            self._queue.append(payload)
            self._wake.set()
        else:
            self._bus.discard(self)
            self.lose(f"fell more than {self._size} messages behind and was dropped")

    def lose(self, reason: str) -> None:
        """Let the iteration fail after what is queued."""
        self._lost = reason
        self._wake.set()

    def end(self) -> None:
        """Let the iteration end after what is queued."""
        self._ended = True
        self._wake.set()


def _parts(subject: str) -> tuple[str, ...]:
    if not _SUBJECT.fullmatch(subject):
        raise ValueError(
            f"{subject!r} is not a subject: dotted parts, none of them empty or with spaces"
        )
    return tuple(subject.split("."))


def _matches(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if pattern[-1] == ">":
        if len(parts) < len(pattern):
            return False
        pattern = pattern[:-1]
    elif len(pattern) != len(parts):
        return False
    return all(wanted in ("*", part) for wanted, part in zip(pattern, parts, strict=False))


def _discard(
    groups: dict[Key, set[MemorySubscription]], key: Key, subscription: MemorySubscription
) -> None:
    group = groups.get(key)
    if group is not None:
        group.discard(subscription)
        if not group:
            del groups[key]
