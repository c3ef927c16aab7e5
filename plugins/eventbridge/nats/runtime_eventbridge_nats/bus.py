"""The doorbell between processes: heard here at once, and over NATS by everybody else."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING

from runtime_core.bus import MemoryBus
from runtime_eventbridge_nats.address import parse
from runtime_eventbridge_nats.link import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from runtime_core.bus import MemorySubscription

__all__ = ("NatsBus", "NatsSubscription")

_log = logging.getLogger("runtime.bus")


class NatsBus:
    """Implements `runtime_core.protocols.Bus` over core NATS.

    Everything under the prefix is heard with one subscription and handed out in this process; what
    this process publishes reaches its own listeners without a server.  When a connection was lost
    and is back, every listener gets `SubscriptionLost`.

    :param url: servers, credentials and prefix, see the README.
    :param environ: ``NATS_USER`` and ``NATS_PASSWORD`` are read from it.
    :raises SettingsError: *url* makes no sense.
    """

    def __init__(self, url: str, *, environ: Mapping[str, str] = MappingProxyType({})) -> None:
        self._near = MemoryBus()
        self._link = Link(parse(url, environ), self._hear, self._near.lose)

    async def publish(self, subject: str, payload: bytes) -> None:
        """Ring here, and have it carried to the others; never waits for them."""
        await self._near.publish(subject, payload)
        await self._link.send(subject, payload)

    def subscribe(self, subject: str) -> NatsSubscription:
        """Return a subscription that listens from the moment it is entered."""
        return NatsSubscription(self._link, self._near.subscribe(subject))

    async def ping(self) -> None:
        """Return when the server answers.

        :raises UpstreamUnavailable: it does not; the message says why.
        """
        await self._link.ping()

    async def aclose(self) -> None:
        """Send what is on its way, disconnect, and end every subscription; may be called twice."""
        await self._link.aclose()
        await self._near.aclose()

    def _hear(self, subject: str, payload: bytes) -> None:
        try:
            self._near.hand_out(subject, payload)
        except ValueError as exc:
            _log.debug("somebody else publishes among our subjects: %s", exc)


class NatsSubscription:
    """A local subscription that, when it is entered first, lets the connection come up."""

    def __init__(self, link: Link, near: MemorySubscription) -> None:
        self._link = link
        self._near = near

    async def __aenter__(self) -> NatsSubscription:
        await self._link.tried()
        await self._near.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._near.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._near)
