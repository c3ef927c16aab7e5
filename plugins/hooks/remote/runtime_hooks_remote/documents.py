"""The documents of all hooks: loaded once, kept, and renewed behind the scenes."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from runtime_core.errors import (
    AddressRefused,
    RuntimeCoreError,
    TaskFailed,
    TimedOut,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamUnavailable,
)
from runtime_core.types import HookInfo
from runtime_hooks_remote.calls import Deadline
from runtime_hooks_remote.errors import UnreadableDocument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from runtime_hooks_remote.hook import Draft, RemoteHook
    from runtime_hooks_remote.loading import Loaded, Loader, Validators
    from runtime_hooks_remote.revealing import Revealer

__all__ = ("Documents",)

logger = logging.getLogger(__name__)

_KEPT = 1024

#: Seconds until a document that could not be had is asked for again by listings.
_BACKOFF = 5.0
_LONGEST_BACKOFF = 60.0

#: Calls need it now: they ask again after so many seconds.
_IMPATIENCE = 1.0

#: What a failure is told as, the first that fits.
_KINDS: tuple[type[RuntimeCoreError], ...] = (
    AddressRefused,
    TaskFailed,
    TimedOut,
    UpstreamProtocolError,
    UpstreamUnavailable,
    UpstreamError,
    RuntimeCoreError,
)


class Documents:
    """Keeps one document a hook; use `running` first.

    One that was loaded once is used until a newer one is there, however its renewal fares.
    """

    def __init__(
        self,
        loader: Loader,
        revealer: Revealer,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loader = loader
        self._revealer = revealer
        self._clock = clock
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._tasks: set[asyncio.Task[Loaded]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stop whatever is being loaded, at the end."""
        try:
            yield
        finally:
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._entries.clear()

    async def get(self, tenant_id: str, hook: RemoteHook) -> Loaded:
        """Return a hook's document, perhaps one that is being renewed.

        It takes as long as the hook's time-out at most.

        :raises RuntimeCoreError: there was never one; says why.
        """
        entry = self._entry(tenant_id, hook)
        if entry.loaded is not None:
            self._renew(entry)
            return entry.loaded
        if entry.task is None and entry.failure and self._clock() < entry.failed_at + _IMPATIENCE:
            raise entry.failure.error()
        return await asyncio.shield(entry.task or self._start(entry))

    async def fetch(self, tenant_id: str, hook: Draft) -> Loaded:
        """Return the document of a hook, registered or not, as it is now; keeps nothing.

        :raises UnreadableDocument: what is there is no OpenAPI document.
        """
        loaded, _ = await self._fetch(tenant_id, hook, None)
        assert loaded is not None  # nothing was known that it could be the same as
        return loaded

    def get_nowait(self, tenant_id: str, hook: RemoteHook) -> Loaded | None:
        """Return a hook's document when it is there and fresh."""
        entry = self._entries.get((tenant_id, hook.id))
        if entry is None or entry.hook is not hook or self._clock() >= entry.due:
            return None
        return entry.loaded

    def error_of(self, tenant_id: str, hook: RemoteHook) -> str:
        """Return what is known to be wrong with a hook's document, "" for nothing."""
        entry = self._entries.get((tenant_id, hook.id))
        if entry is None or entry.hook != hook or entry.failure is None:
            return ""
        return entry.failure.message

    async def list(
        self, tenant_id: str, hooks: Sequence[RemoteHook], *, seconds: float
    ) -> list[Loaded | HookInfo]:
        """Return the documents of *hooks*, or a listing's row with the reason there is none.

        :param seconds: how long to wait for those that were never asked for.
        """
        entries = [self._entry(tenant_id, hook) for hook in hooks]
        for entry in entries:
            self._renew(entry)
        new = {each.task: each for each in entries if each.task and each.is_new}
        if new:
            _, late = await asyncio.wait(new, timeout=seconds)
            for task in late:
                new[task].was_late = True
        return [entry.loaded or _row(entry) for entry in entries]

    def _entry(self, tenant_id: str, hook: RemoteHook) -> _Entry:
        """Return what is known of a hook; a hook that was changed is a new one."""
        key = tenant_id, hook.id
        entry = self._entries.pop(key, None)
        if entry is None or (entry.hook is not hook and entry.hook != hook):
            entry = _Entry(tenant_id, hook)
            if len(self._entries) >= _KEPT:
                del self._entries[next(iter(self._entries))]
        self._entries[key] = entry
        return entry

    def _renew(self, entry: _Entry) -> None:
        """Ask for a document that is due, without waiting."""
        if entry.task is None and self._clock() >= entry.due:
            self._start(entry)

    def _start(self, entry: _Entry) -> asyncio.Task[Loaded]:
        task = asyncio.create_task(self._load(entry), name=f"document of hook {entry.hook.name}")
        entry.task = task
        self._tasks.add(task)

        def ended(task: asyncio.Task[Loaded]) -> None:
            entry.task = None
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                known = isinstance(error, RuntimeCoreError)
                logger.log(
                    logging.INFO if known else logging.ERROR,
                    "hook %r: %s",
                    entry.hook.name,
                    error,
                    exc_info=None if known else error,
                )

        task.add_done_callback(ended)
        return task

    async def _load(self, entry: _Entry) -> Loaded:
        try:
            loaded, seconds = await self._ask(entry)
        except RuntimeCoreError as error:
            entry.failures += 1
            backoff = min(_BACKOFF * 2 ** (entry.failures - 1), _LONGEST_BACKOFF)
            entry.failed_at = self._clock()
            entry.due = entry.failed_at + backoff
            entry.failure = _failure(error)
            raise entry.failure.error() from error
        entry.failures = 0
        entry.failure = None
        entry.due = self._clock() + seconds
        entry.loaded = loaded
        return loaded

    async def _ask(self, entry: _Entry) -> tuple[Loaded, float]:
        known = entry.loaded
        loaded, seconds = await self._fetch(
            entry.tenant_id, entry.hook, known.validators if known is not None else None
        )
        found = loaded or known
        assert found is not None  # "not modified" answers a question that needs a known one
        return found, seconds

    async def _fetch(
        self, tenant_id: str, hook: Draft, validators: Validators | None
    ) -> tuple[Loaded | None, float]:
        injection, mask = await self._revealer.reveal(tenant_id, hook)
        work = self._loader.load(hook, injection, seconds=hook.timeout, validators=validators)
        try:
            return await Deadline(hook.timeout, "loading it").wait(work)
        except UnreadableDocument as error:
            problem = error.problem
            raise UnreadableDocument(mask.error(problem.what), problem.where) from error
        except RuntimeCoreError as error:
            raise _kind(error)(mask.error(error.message)) from error


class _Failure(NamedTuple):
    kind: type[RuntimeCoreError]
    message: str

    def error(self) -> RuntimeCoreError:
        return self.kind(self.message)


class _Entry:
    """What is known of one hook's document; ``due`` is when to ask for it, on the clock."""

    def __init__(self, tenant_id: str, hook: RemoteHook) -> None:
        self.tenant_id = tenant_id
        self.hook = hook
        self.loaded: Loaded | None = None
        self.failure: _Failure | None = None
        self.failures = 0
        self.failed_at = 0.0
        self.due = float("-inf")
        self.task: asyncio.Task[Loaded] | None = None
        #: Whether a listing has waited for it in vain: no other one shall.
        self.was_late = False

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of the document, not even that it is slow."""
        return not (self.loaded or self.failure or self.was_late)


def _failure(error: RuntimeCoreError) -> _Failure:
    if isinstance(error, UnreadableDocument):
        return _Failure(UpstreamError, error.message)
    return _Failure(_kind(error), f"its OpenAPI document cannot be used: {error.message}")


def _kind(error: RuntimeCoreError) -> type[RuntimeCoreError]:
    return next(kind for kind in _KINDS if isinstance(error, kind))


def _row(entry: _Entry) -> HookInfo:
    known = entry.failure.message if entry.failure else "its OpenAPI document is still being loaded"
    return HookInfo(name=entry.hook.name, type="remote", error=known)
