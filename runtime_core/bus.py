"""The doorbell inside one process: the ``memory`` driver."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from runtime_core.errors import SubscriptionLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

__all__ = ("MemoryBus", "MemorySubscription")

QUEUE_SIZE = 1024

Key = TypeVar("Key")


class MemoryBus:
    """Implements `runtime_core.protocols.Bus` for everybody in this process and event loop.

    :param url: ``memory://``; there is nothing to configure in it.
    :param queue_size: messages a subscriber may be behind before it is dropped.
    """

    def __init__(self, url: str = "memory://", *, queue_size: int = QUEUE_SIZE) -> None:
        if queue_size < 1:
            raise ValueError(f"queue_size must be at least 1, not {queue_size}")
        self.url = url
        self._queue_size = queue_size
        self._exact: dict[str, set[MemorySubscription]] = {}
        self._patterns: dict[tuple[str, ...], set[MemorySubscription]] = {}
        self._closed = False

    async def publish(self, subject: str, payload: bytes) -> None:
        """Hand *payload* to everyone listening now; never waits for them."""
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

    async def aclose(self) -> None:
        """End every subscription; what is published afterwards reaches nobody."""
        self._closed = True
        for group in (*self._exact.values(), *self._patterns.values()):
            for subscription in tuple(group):
                subscription.end()
        self._exact.clear()
        self._patterns.clear()

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


class MemorySubscription:
    """Messages of one subject, in the order they were published; for one consumer.

    A subscriber that falls behind by the whole queue is dropped: it still gets what was queued,
    then `SubscriptionLost`.  Closing the bus ends the iteration after what was queued.
    """

    def __init__(self, bus: MemoryBus, subject: str, parts: tuple[str, ...], size: int) -> None:
        self.subject = subject
        self.parts = parts
        self.is_pattern = "*" in parts or parts[-1] == ">"
        self._bus = bus
        self._size = size
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._entered = self._ended = self._lost = False

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
                    f"the subscriber to {self.subject!r} fell more than {self._size} messages "
                    "behind and was dropped: subscribe again and read what was missed"
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
        else:
            self._lost = True
            self._bus.discard(self)
        self._wake.set()

    def end(self) -> None:
        """Let the iteration end after what is queued."""
        self._ended = True
        self._wake.set()


def _parts(subject: str) -> tuple[str, ...]:
    parts = tuple(subject.split("."))
    if not all(parts) or any(part.isspace() for part in parts):
        raise ValueError(f"{subject!r} is not a subject: dotted parts, none of them empty")
    return parts


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
