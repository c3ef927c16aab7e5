"""What a driver builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


__all__ = (
    "Bus",
    "Subscription",
)


class Subscription(Protocol):
    """Messages of one subject, as they come; use as an async context manager."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __aenter__(self) -> Subscription: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Bus(Protocol):
    """The doorbell between replicas: at-most-once, never the truth."""

    async def publish(self, subject: str, payload: bytes) -> None:
        """Ring; returns when the message is on its way."""
        ...

    def subscribe(self, subject: str) -> Subscription:
        """Listen; ``*`` stands for one dotted part, a final ``>`` for the rest."""
        ...

    async def aclose(self) -> None:
        """Disconnect; may be called twice."""
        ...
