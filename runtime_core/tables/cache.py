"""Stored things at the price of a dictionary look-up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from runtime_core.errors import RuntimeCoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from runtime_core.protocols import Bus

__all__ = ("SharedCache",)

SIZE = 1024

#: Seconds after which a thing is read again: what a lost doorbell may cost at most.
MAX_AGE = 5.0

#: Seconds until a broken subscription is tried again.
RETRY_AFTER = 1.0

logger = logging.getLogger(__name__)

Key = tuple[str, str]
T = TypeVar("T")
V = TypeVar("V")


class SharedCache(Generic[V]):
    """What *read* returns for a tenant and a name, kept; use as a context manager.

    `get` returns the identical object until it changes.  A write is seen at once in this process,
    in others as soon as they hear of it over the bus, at the latest after *max_age* seconds.  Only
    the newest *size* things are kept.

    :param read: given tenant and name; what it raises is not kept.
    :param subject: dotted parts of a bus subject that nothing else uses, as ``chains.changed``.
    :param what: the word for one of the things in the log.
    """

    def __init__(
        self,
        read: Callable[[str, str], Coroutine[Any, Any, V]],
        bus: Bus,
        subject: str,
        *,
        what: str,
        size: int = SIZE,
        max_age: float = MAX_AGE,
        retry_after: float = RETRY_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._bus = bus
        self._subject = subject
        self._what = what
        self._size = size
        self._max_age = max_age
        self._retry_after = retry_after
        self._clock = clock
        self._origin = secrets.token_hex(8)
        self._entries: dict[Key, _Entry[V]] = {}
        self._loading: dict[Key, asyncio.Task[V]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._decoder = msgspec.json.Decoder(_Change)

    async def __aenter__(self) -> Self:
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

    async def get(self, tenant_id: str, name: str, /) -> V:
        """Return a thing; raises what reading it raises."""
        entry = self._entries.get((tenant_id, name))
        if entry is not None and self._clock() < entry.fresh_until:
            return entry.value
        return await self._load((tenant_id, name))

    async def write(self, tenant_id: str, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Do *work*, which changes a thing, and forget the thing everywhere when that is over.

        It goes on to its end also when the client is gone by then.
        """
        return await asyncio.shield(self._start(self._forgetting((tenant_id, name), work)))

    async def _load(self, key: Key) -> V:
        """Read a thing once for everyone who asks for it now."""
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = self._start(self._fetch(key))
        # a client that gives up must not take the answer from the others
        return await asyncio.shield(task)

    async def _fetch(self, key: Key) -> V:
        this = asyncio.current_task()
        try:
            value = await self._read(*key)
            return self._keep(key, value) if self._loading.get(key) is this else value
        except RuntimeCoreError:
            if self._loading.get(key) is this:
                self._entries.pop(key, None)
            raise
        finally:
            if self._loading.get(key) is this:
                del self._loading[key]

    def _keep(self, key: Key, value: V) -> V:
        known = self._entries.pop(key, None)
        if known is not None and known.value == value:
            value = known.value
        elif len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = _Entry(value, self._clock() + self._max_age)
        return value

    async def _forgetting(self, key: Key, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        finally:
            # also after a failure: it may have struck after the commit
            self._forget(key)
            await self._ring(*key)

    async def _ring(self, tenant_id: str, name: str) -> None:
        change = _Change(self._origin, tenant_id, name)
        try:
            await self._bus.publish(
                f"{self._subject}.{_subject_part(tenant_id)}", msgspec.json.encode(change)
            )
        except (RuntimeCoreError, OSError, UnicodeEncodeError) as error:
            logger.warning(
                "other replicas notice a change of %s %r only after %g s: %s",
                self._what,
                name,
                self._max_age,
                error,
            )

    def _forget(self, key: Key) -> None:
        """Forget a thing; a read that is under way may have seen the old one and is not kept."""
        self._entries.pop(key, None)
        self._loading.pop(key, None)

    def _forget_all(self) -> None:
        self._entries.clear()
        self._loading.clear()

    async def _listen(self, listening: asyncio.Event) -> None:
        while True:
            try:
                async with self._bus.subscribe(f"{self._subject}.>") as messages:
                    # what changed while nobody listened was missed
                    self._forget_all()
                    listening.set()
                    async for payload in messages:
                        self._hear(payload)
                return
            except (RuntimeCoreError, OSError) as error:
                logger.warning("not hearing of changed %ss for a moment: %s", self._what, error)
                listening.set()
                self._forget_all()
            await asyncio.sleep(self._retry_after)

    def _hear(self, payload: bytes) -> None:
        try:
            change = self._decoder.decode(payload)
        except msgspec.MsgspecError:
            logger.warning(
                "a message about a changed %s makes no sense: %r", self._what, payload[:200]
            )
            self._forget_all()
            return
        if change.origin != self._origin:
            self._forget((change.tenant_id, change.name))

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


class _Entry(Generic[V]):
    """A thing as it was read; a plain class, for attribute access is all that `get` does."""

    __slots__ = ("fresh_until", "value")

    def __init__(self, value: V, fresh_until: float) -> None:
        self.value = value
        self.fresh_until = fresh_until


class _Change(msgspec.Struct, frozen=True):
    """What goes over the bus; ``origin`` is the cache whose process wrote."""

    origin: str
    tenant_id: str
    name: str


def _subject_part(tenant_id: str) -> str:
    """Return *tenant_id* as one part of a subject, whatever it is made of."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", tenant_id):
        return tenant_id
    return f"x{tenant_id.encode('utf-8', 'surrogatepass').hex()}"
