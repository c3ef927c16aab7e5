"""Stored chains at the price of a dictionary look-up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from runtime_core.errors import RuntimeCoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from runtime_core.protocols import Bus, ChainStore
    from runtime_core.types import Chain, Page, StoredChain

__all__ = ("ChainCache",)

SIZE = 1024

#: Seconds after which a chain is read again: what a lost doorbell may cost at most.
MAX_AGE = 5.0

#: Seconds until a broken subscription is tried again.
RETRY_AFTER = 1.0

logger = logging.getLogger(__name__)

Key = tuple[str, str]
T = TypeVar("T")


class ChainCache:
    """A `runtime_core.protocols.ChainStore` in front of another one; use as a context manager.

    `get` returns the identical object until the chain changes.  A write is seen at once in this
    process, in others as soon as they hear of it over the bus, at the latest after *max_age*
    seconds.  Only the newest *size* chains are kept.
    """

    def __init__(
        self,
        store: ChainStore,
        bus: Bus,
        *,
        size: int = SIZE,
        max_age: float = MAX_AGE,
        retry_after: float = RETRY_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._bus = bus
        self._size = size
        self._max_age = max_age
        self._retry_after = retry_after
        self._clock = clock
        self._origin = secrets.token_hex(8)
        self._entries: dict[Key, _Entry] = {}
        self._loading: dict[Key, asyncio.Task[StoredChain]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._decoder = msgspec.json.Decoder(_Change)

    async def __aenter__(self) -> ChainCache:
        listening = asyncio.Event()
        self._start(self._listen(listening))
        await listening.wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._forget_all()

    async def get(self, tenant_id: str, chain_id: str) -> StoredChain:
        """Return a chain or raise `NotFound`."""
        entry = self._entries.get((tenant_id, chain_id))
        if entry is not None and self._clock() < entry.fresh_until:
            return entry.stored
        return await self._load((tenant_id, chain_id))

    async def put(self, tenant_id: str, chain: Chain) -> StoredChain:
        """Create or replace; the creation time of a replaced chain is kept."""
        return await self._write((tenant_id, chain.id), self._store.put(tenant_id, chain))

    async def update(self, tenant_id: str, chain: Chain) -> StoredChain:
        """Replace, or raise `NotFound`."""
        return await self._write((tenant_id, chain.id), self._store.update(tenant_id, chain))

    async def delete(self, tenant_id: str, chain_id: str) -> None:
        """Delete, or raise `NotFound`."""
        await self._write((tenant_id, chain_id), self._store.delete(tenant_id, chain_id))

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[StoredChain]:
        """List newest first, straight from the store."""
        return await self._store.list(tenant_id, limit=limit, cursor=cursor)

    async def _load(self, key: Key) -> StoredChain:
        """Read a chain once for everyone who asks for it now."""
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = self._start(self._fetch(key))
        # a client that gives up must not take the answer from the others
        return await asyncio.shield(task)

    async def _fetch(self, key: Key) -> StoredChain:
        this = asyncio.current_task()
        try:
            stored = await self._store.get(*key)
            return self._keep(key, stored) if self._loading.get(key) is this else stored
        except RuntimeCoreError:
            if self._loading.get(key) is this:
                self._entries.pop(key, None)
            raise
        finally:
            if self._loading.get(key) is this:
                del self._loading[key]

    def _keep(self, key: Key, stored: StoredChain) -> StoredChain:
        known = self._entries.pop(key, None)
        if known is not None and known.stored == stored:
            stored = known.stored
        elif len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = _Entry(stored, self._clock() + self._max_age)
        return stored

    async def _write(self, key: Key, work: Coroutine[Any, Any, T]) -> T:
        """Write, and forget the chain when that is over, also when the client is gone by then."""
        return await asyncio.shield(self._start(self._forgetting(key, work)))

    async def _forgetting(self, key: Key, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        finally:
            # also after a failure: it may have struck after the commit
            self._forget(key)
            await self._ring(*key)

    async def _ring(self, tenant_id: str, chain_id: str) -> None:
        change = _Change(self._origin, tenant_id, chain_id)
        try:
            await self._bus.publish(
                f"chains.changed.{_subject_part(tenant_id)}", msgspec.json.encode(change)
            )
        except (RuntimeCoreError, OSError, UnicodeEncodeError) as error:
            logger.warning(
                "other replicas notice a change of task chain %r only after %g s: %s",
                chain_id,
                self._max_age,
                error,
            )

    def _forget(self, key: Key) -> None:
        """Forget a chain; a read that is under way may have seen the old one and is not kept."""
        self._entries.pop(key, None)
        self._loading.pop(key, None)

    def _forget_all(self) -> None:
        self._entries.clear()
        self._loading.clear()

    async def _listen(self, listening: asyncio.Event) -> None:
        while True:
            try:
                async with self._bus.subscribe("chains.changed.>") as messages:
                    # what changed while nobody listened was missed
                    self._forget_all()
                    listening.set()
                    async for payload in messages:
                        self._hear(payload)
                return
            except (RuntimeCoreError, OSError) as error:
                logger.warning("not hearing of changed task chains for a moment: %s", error)
                listening.set()
                self._forget_all()
            await asyncio.sleep(self._retry_after)

    def _hear(self, payload: bytes) -> None:
        try:
            change = self._decoder.decode(payload)
        except msgspec.MsgspecError:
            logger.warning("a message about a changed task chain makes no sense: %r", payload[:200])
            self._forget_all()
            return
        if change.origin != self._origin:
            self._forget((change.tenant_id, change.chain_id))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            # whoever waited got the exception; when nobody did any more, nobody misses it
            task.exception()


class _Entry:
    """A chain as it was read; a plain class, for attribute access is all that `get` does."""

    __slots__ = ("fresh_until", "stored")

    def __init__(self, stored: StoredChain, fresh_until: float) -> None:
        self.stored = stored
        self.fresh_until = fresh_until


class _Change(msgspec.Struct, frozen=True):
    """What goes over the bus; ``origin`` is the cache whose process wrote."""

    origin: str
    tenant_id: str
    chain_id: str


def _subject_part(tenant_id: str) -> str:
    """Return *tenant_id* as one part of a subject, whatever it is made of."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", tenant_id):
        return tenant_id
    return f"x{tenant_id.encode('utf-8', 'surrogatepass').hex()}"
