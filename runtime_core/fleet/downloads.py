"""Models on their way to the backends: what is asked for, given up, and watched."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from runtime_core.errors import (
    InvalidRequest,
    ModelNotFound,
    NotFound,
    RuntimeCoreError,
    SubscriptionLost,
    UpstreamModelNotFound,
)
from runtime_core.protocols import PullingProvider
from runtime_core.types import DownloadEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from runtime_core.protocols import Bus, DownloadStore, FleetState, Provider
    from runtime_core.types import Download

    #: Given a tenant and a backend's id, gives the provider of a backend that is in use.
    UseProvider = Callable[[str, str], AbstractContextManager[Provider | None]]
    #: Given the same, returns its address.
    FindPlace = Callable[[str, str], str | None]

__all__ = ("CANCELLED", "QUEUED", "Downloads", "News")

#: Somebody put a job into a tenant's queue, or took one out: ``<subject>.<tenant>``.
QUEUED, CANCELLED = "downloads.queued", "downloads.cancel"
_PROGRESS = "downloads.progress"

#: A download that failed for good is tried once more after this time, as long as it is wanted.
_SECOND_WIND = timedelta(hours=1)

_log = logging.getLogger("runtime.fleet")


class News:
    """Word of downloads between replicas; a lost one costs seconds, never a download."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(DownloadEvent).decode

    async def tell(self, tenant_id: str, event: DownloadEvent) -> None:
        """Tell everybody who watches."""
        await self._publish(_subject(_PROGRESS, tenant_id), self._encode(event))

    async def ring(self, subject: str, tenant_id: str) -> None:
        """Let the workers of all replicas look at the queue."""
        await self._publish(_subject(subject, tenant_id), b"{}")

    async def watch(
        self, tenant_id: str, running: Callable[[str], AsyncGenerator[DownloadEvent, None]]
    ) -> AsyncGenerator[DownloadEvent, None]:
        """Yield what *running* gives, then what is told; a reader that fell behind starts anew."""
        while True:
            try:
                async with self._bus.subscribe(_subject(_PROGRESS, tenant_id)) as told:
                    async for event in running(tenant_id):
                        yield event
                    async for payload in told:
                        if (news := self._event(payload)) is not None:
                            yield news
                return
            except SubscriptionLost:
                continue

    def _event(self, payload: bytes) -> DownloadEvent | None:
        try:
            return self._decode(payload)
        except msgspec.MsgspecError:
            _log.warning("a message about a download makes no sense: %r", payload[:200])
            return None

    async def _publish(self, subject: str, payload: bytes) -> None:
        try:
            await self._bus.publish(subject, payload)
        except RuntimeCoreError as exc:
            _log.warning("the bus does not take %s: %s", subject, exc.message)


class Downloads:
    """The queue of downloads; implements `runtime_core.protocols.DownloadQueue`.

    :param using: gives the provider of a backend in use: tenant and backend id → provider.
    :param place_of: finds the address of a backend in use, likewise: those from the settings are
        not stored.
    """

    def __init__(
        self,
        store: DownloadStore,
        bus: Bus,
        fleet: FleetState,
        using: UseProvider,
        place_of: FindPlace = lambda tenant_id, backend_id: None,
    ) -> None:
        self._store = store
        self._news = News(bus)
        self._fleet = fleet
        self._using = using
        self._place_of = place_of

    async def list(self, tenant_id: str) -> Sequence[Download]:
        """Return what waits, runs, or has failed for good, oldest first."""
        return await self._store.list(tenant_id)

    async def enqueue(
        self, tenant_id: str, backend_id: str, model: str, *, priority: int = 0
    ) -> Download:
        """Ask for a model, or return the job there is; a failed one is queued again."""
        place = self._place_of(tenant_id, backend_id)
        download = await self._store.enqueue(
            tenant_id, backend_id, model, priority=priority, base_url=place
        )
        await self._news.ring(QUEUED, tenant_id)
        return download

    async def want(self, tenant_id: str, missing: Iterable[tuple[str, str]]) -> None:
        """Ask for the models that backends lack: pairs of backend id and model.

        What is in the queue stays as it is, and what failed for good rests for an hour, so this
        may be called whenever somebody looks.
        """
        wanted = list(missing)
        if not wanted:
            return
        rested = datetime.now(UTC) - _SECOND_WIND
        known = {
            (download.backend_id, download.model)
            for download in await self._store.list(tenant_id)
            if download.status != "failed" or download.updated_at > rested
        }
        new = [pair for pair in wanted if pair not in known]
        for backend_id, model in new:
            place = self._place_of(tenant_id, backend_id)
            await self._store.enqueue(tenant_id, backend_id, model, base_url=place)
        if new:
            await self._news.ring(QUEUED, tenant_id)

    async def cancel(
        self, tenant_id: str, *, model: str | None = None, base_url: str | None = None
    ) -> Sequence[Download]:
        """Remove the jobs of a model, of a backend, or of both; running ones stop at once.

        :raises InvalidRequest: neither is named.
        """
        if not model and not base_url:
            raise InvalidRequest("name the url of a backend, or a model", param="model")
        removed = await self._store.remove(tenant_id, model=model, base_url=base_url)
        if removed:
            await self._news.ring(CANCELLED, tenant_id)
        for download in removed:
            await self._news.tell(tenant_id, event_of(download, "cancelled"))
        return removed

    def watch(self, tenant_id: str) -> AsyncGenerator[DownloadEvent, None]:
        """Yield where every running download is, then news of all of them, without an end."""
        return self._news.watch(tenant_id, self._running)

    async def delete_model(self, tenant_id: str, backend_id: str, model: str) -> None:
        """Have a backend delete one of its models."""
        with self._using(tenant_id, backend_id) as provider:
            if provider is None:
                raise NotFound(
                    f"backend {backend_id!r} is not in use: there is none of this id, or it is in "
                    "no group; GET /state lists those in use"
                )
            if not isinstance(provider, PullingProvider):
                raise InvalidRequest(
                    f"backend {backend_id!r} is of a type whose models are not managed from here"
                )
            try:
                await provider.delete_model(model)
            except UpstreamModelNotFound as exc:
                raise ModelNotFound(exc.message) from exc
        await self._fleet.changed(tenant_id)

    async def _running(self, tenant_id: str) -> AsyncGenerator[DownloadEvent, None]:
        for download in await self._store.list(tenant_id):
            if download.status == "running":
                yield event_of(download, "downloading")


def event_of(download: Download, status: str) -> DownloadEvent:
    """Return the news that *download* is in *status*, with the bytes it was last seen with."""
    return DownloadEvent(
        base_url=download.base_url,
        model=download.model,
        status=status,
        completed=download.completed,
        total=download.total,
    )


def _subject(kind: str, tenant_id: str) -> str:
    """Return *kind* with the tenant as one more part, whatever its id is made of."""
    plain = re.fullmatch(r"[A-Za-z0-9_-]+", tenant_id)
    return f"{kind}.{tenant_id if plain else 'x' + tenant_id.encode().hex()}"
