"""The live state of the backends, for those who look and those who watch."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from runtime_core.errors import SubscriptionLost
from runtime_core.fleet.declared import rfc3339
from runtime_core.types import BackendState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from runtime_core.fleet.backend import Backend
    from runtime_core.fleet.catalog import Catalog
    from runtime_core.fleet.reconciler import Reconciler
    from runtime_core.protocols import Provider

__all__ = ("LiveState", "state_of")

#: Changes that a watcher may be behind before it is ended.
QUEUE_SIZE = 1024


class LiveState:
    """Implements `runtime_core.protocols.FleetState`.

    :param queue_size: changes a watcher may be behind.
    """

    def __init__(
        self, catalog: Catalog, reconciler: Reconciler, *, queue_size: int = QUEUE_SIZE
    ) -> None:
        self._catalog = catalog
        self._reconciler = reconciler
        self._queue_size = queue_size
        self._watchers: set[_Watcher] = set()
        catalog.observers.append(self._observe)

    def states(self, tenant_id: str) -> Sequence[BackendState]:
        """Return every backend of the tenant, as last seen."""
        if tenant_id != self._reconciler.tenant_id:
            return ()
        return [state_of(backend) for backend in self._catalog.backends]

    async def watch(self, tenant_id: str) -> AsyncGenerator[BackendState | str, None]:
        """Yield every state now, then changes as they come; the id of a backend that is gone.

        A change of latency, of the time of the last look, or of calls in flight alone is none.

        :raises SubscriptionLost: the consumer is too far behind: watch again.
        """
        watcher = _Watcher(self._queue_size)
        if tenant_id == self._reconciler.tenant_id:
            self._watchers.add(watcher)
        try:
            for state in self.states(tenant_id):
                yield state
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)

    async def changed(self, tenant_id: str) -> None:
        """Declarations changed: read them again now, and look at what is new."""
        if tenant_id == self._reconciler.tenant_id:
            await self._reconciler.changed()

    def look(self, tenant_id: str, backend_id: str) -> None:
        """Something happened to a backend's models: list them now."""
        if tenant_id == self._reconciler.tenant_id:
            self._reconciler.look(backend_id)

    @contextmanager
    def using(self, tenant_id: str, backend_id: str) -> Iterator[Provider | None]:
        """Give the provider of a backend that serves, None when there is no such backend.

        It stays open for as long as the block lasts, whatever becomes of the backend.
        """
        backend = self._find(tenant_id, backend_id)
        with backend.holding() if backend else nullcontext() as provider:
            yield provider

    def place_of(self, tenant_id: str, backend_id: str) -> str | None:
        """Return the address of a backend that serves, None when there is no such backend."""
        backend = self._find(tenant_id, backend_id)
        return backend.config.base_url if backend else None

    def _find(self, tenant_id: str, backend_id: str) -> Backend | None:
        return self._catalog.get(backend_id) if tenant_id == self._reconciler.tenant_id else None

    def _observe(self, backend_id: str, backend: Backend | None) -> None:
        if self._watchers:
            change = backend_id if backend is None else state_of(backend)
            for watcher in self._watchers:
                watcher.offer(change)


class _Watcher:
    """The changes that one consumer has not taken yet."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._changes: deque[BackendState | str] = deque()
        self._lost = False
        self._wake = asyncio.Event()

    def offer(self, change: BackendState | str) -> None:
        """Queue a change; a full queue is the end, after what is in it."""
        if self._lost:
            return
        if len(self._changes) < self._size:
            self._changes.append(change)
        else:
            self._lost = True
        self._wake.set()

    async def next(self) -> BackendState | str:
        """Return the next change, waiting for it."""
        while not self._changes:
            if self._lost:
                raise SubscriptionLost(
                    f"more than {self._size} changes of backends were waiting to be read: "
                    "watch again, from what they are now"
                )
            self._wake.clear()
            await self._wake.wait()
        return self._changes.popleft()


def state_of(backend: Backend) -> BackendState:
    """Return what a backend is like now."""
    stored, config = backend.stored, backend.config
    return BackendState(
        id=backend.id,
        name=config.name,
        type=stored.type if stored else config.type,
        base_url=config.base_url,
        reachable=backend.listed_at is not None and not backend.error,
        wanted=backend.wanted,
        models=backend.models,
        loaded=backend.loaded,
        latency=backend.latency,
        error=backend.error,
        error_at=backend.error_at,
        checked_at=backend.checked_at,
        breaker=backend.breaker,
        in_flight=backend.in_flight,
        created_at=rfc3339(stored.created_at) if stored else "",
        updated_at=rfc3339(stored.updated_at) if stored else "",
    )
