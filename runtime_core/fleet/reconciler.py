"""Keeps the backends there are equal to what is declared, here and in the other replicas."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from runtime_core.errors import RuntimeCoreError
from runtime_core.fleet.backend import Backend, Listing
from runtime_core.fleet.declared import desired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from types import TracebackType

    from runtime_core.fleet.catalog import Catalog
    from runtime_core.fleet.connecting import Connector
    from runtime_core.fleet.declared import Desired
    from runtime_core.protocols import Bus, DeclarationReader
    from runtime_core.types import BackendConfig, Declarations

__all__ = ("REREAD_AFTER", "Reconciler", "Want")

_log = logging.getLogger("runtime.fleet")

#: Seconds after which declarations are read again: what a lost message may cost at most.
REREAD_AFTER = 10.0

#: Seconds after which a model that is still missing is asked for again.
ASK_AGAIN_AFTER = 3600.0

#: Seconds until a broken subscription is tried again.
RETRY_AFTER = 1.0


class Want(Protocol):
    """Asks for models that backends lack: pairs of backend id and model."""

    def __call__(self, tenant_id: str, missing: Iterable[tuple[str, str]]) -> Awaitable[object]:
        """Return when they are queued for download."""
        ...


class _Heard(Struct, frozen=True):
    """What goes over the bus about a backend that was just listed."""

    backend_id: str
    fingerprint: str
    listing: Listing


class Reconciler:
    """Reads what a tenant declared and gives it to the catalog; an async context manager.

    Enter it before the catalog, so that the catalog starts with all backends.  Declarations are
    read on `changed`, when another replica rings ``fleet.changed.<tenant>``, and every *reread*
    seconds.  What a listing found goes to the other replicas as ``fleet.state.<tenant>``; they
    put off their own listing by a period.  A message that is lost costs a listing, or a delay.

    :param static: the backends that the settings name; they are in all built-in groups.
    """

    def __init__(
        self,
        tenant_id: str,
        catalog: Catalog,
        connector: Connector,
        reader: DeclarationReader,
        bus: Bus,
        *,
        static: Iterable[BackendConfig] = (),
        reread: float = REREAD_AFTER,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self.tenant_id = tenant_id
        self._catalog = catalog
        self._connector = connector
        self._reader = reader
        self._bus = bus
        self._static = tuple(connector.configured(config) for config in static)
        #: Told once of each model that a backend lacks and could fetch, and again every hour
        #: for as long as it is not there.
        self.want: Want | None = None
        #: Told of each listing of a backend that can delete models, and of what is declared.
        self.prune: Callable[[Backend, Declarations], Awaitable[None]] | None = None
        self._reread = reread
        self._retry_after = retry_after
        self._origin = secrets.token_hex(8).encode()
        self._decoder = msgspec.json.Decoder(_Heard)
        self._reading = asyncio.Lock()
        self._declared: Declarations | None = None
        self._asked = 0
        self._answered = 0
        self._asked_for: dict[str, dict[str, float]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        part = _subject_part(tenant_id)
        self._changed_subject, self._state_subject = f"fleet.changed.{part}", f"fleet.state.{part}"

    async def __aenter__(self) -> Reconciler:
        self._catalog.after_listing = self._after_listing
        listening = [asyncio.Event(), asyncio.Event()]
        self._start(self._listen(self._changed_subject, self._hear_change, listening[0]))
        self._start(self._listen(self._state_subject, self._hear_state, listening[1]))
        for event in listening:
            await event.wait()
        await self._read_or_warn()
        self._start(self._read_again_and_again())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def load(self) -> None:
        """Read the declarations once, for who wants no more than a look at the backends.

        :raises DatabaseUnavailable: they cannot be read.
        """
        await self._read()

    async def changed(self) -> None:
        """Read the declarations now, look at what is new, and let the other replicas know.

        Where nothing new is declared, the backends that can fetch models are listed again.
        Goes on to its end when the caller is gone: what changed is stored already.
        """
        await asyncio.shield(self._start(self._spread_change()))

    def look(self, backend_id: str) -> None:
        """List a backend now."""
        self._catalog.look(backend_id)

    async def _spread_change(self) -> None:
        before = self._declared
        await self._read_or_warn()
        if self._declared == before:
            # then it is the backends that changed: models were fetched, or deleted
            for backend in self._catalog.backends:
                if backend.pulls:
                    self._catalog.look(backend.id)
        await self._publish(self._changed_subject, self._origin)

    # -- declarations ----------------------------------------------------------

    async def _read_or_warn(self) -> None:
        try:
            await self._read()
        except RuntimeCoreError as exc:
            _log.warning(
                "the declared backends cannot be read now, and stay as they were; "
                "next try within %g s: %s",
                self._reread,
                exc.message,
            )

    async def _read(self) -> None:
        """Read and apply; who asks while others read is answered by one more reading for all."""
        self._asked += 1
        mine = self._asked
        async with self._reading:
            if self._answered >= mine:
                return
            answers = self._asked
            declarations = await self._reader.read(self.tenant_id)
            if declarations != self._declared:
                self._apply(declarations)
            self._answered = answers

    def _apply(self, declarations: Declarations) -> None:
        wanted = desired(self._static, declarations, self._connector.type_of)
        before = set(self._catalog.backends)
        self._catalog.apply([self._backend(one) for one in wanted], declarations.models)
        self._declared = declarations
        # one that was configured anew may be another place, which was never asked
        known = {backend.id for backend in self._catalog.backends if backend in before}
        self._asked_for = {id: names for id, names in self._asked_for.items() if id in known}

    def _backend(self, one: Desired) -> Backend:
        """Return the backend as it is, unless its configuration changed."""
        fresh = Backend.id_of(one.config)
        known = self._catalog.get(fresh)
        if known is not None and known.config == one.config:
            known.regroup(one.groups, one.wanted, one.stored)
            return known
        provider = self._connector.provider_or_reason(one.config)
        return Backend(
            one.config, provider, groups=one.groups, wanted=one.wanted, stored=one.stored
        )

    async def _read_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._reread)
            await self._read_whatever_happens()

    async def _read_whatever_happens(self) -> None:
        """Read in a task of its own: a fault of ours is logged, and does not stop who waits."""
        await asyncio.wait([self._start(self._read_or_warn())])

    # -- listings --------------------------------------------------------------

    async def _after_listing(self, backend: Backend, ours: bool) -> None:
        if ours:
            await self._tell_state(backend)
        if self.want is not None and backend.pulls and not backend.error:
            await self._ask_for_missing(backend, self.want)
        if ours and self.prune is not None and backend.pulls and self._declared is not None:
            await self.prune(backend, self._declared)

    async def _tell_state(self, backend: Backend) -> None:
        listing = Listing(
            models=backend.listed,
            loaded=backend.loaded,
            latency=backend.latency,
            error=backend.error,
            checked_at=backend.checked_at,
        )
        heard = _Heard(backend.id, backend.fingerprint, listing)
        await self._publish(self._state_subject, self._origin + msgspec.json.encode(heard))

    async def _ask_for_missing(self, backend: Backend, want: Want) -> None:
        """Ask once: who takes a model from the queue does not find it there again at once."""
        missing, now = backend.missing, time.monotonic()
        asked = self._asked_for.get(backend.id, {})
        asked = {model: then for model, then in asked.items() if model in missing}
        new = [m for m in missing if m not in asked or now - asked[m] >= ASK_AGAIN_AFTER]
        self._asked_for[backend.id] = asked | dict.fromkeys(new, now)
        if not new:
            return
        try:
            await want(self.tenant_id, [(backend.id, model) for model in new])
        except RuntimeCoreError as exc:
            self._asked_for.pop(backend.id, None)
            _log.warning(
                "%s cannot be queued for download to backend %s now: %s",
                ", ".join(new),
                backend.config.name,
                exc.message,
            )

    # -- other replicas --------------------------------------------------------

    async def _publish(self, subject: str, payload: bytes) -> None:
        try:
            await self._bus.publish(subject, payload)
        except (RuntimeCoreError, OSError) as exc:
            _log.debug("other replicas will find out for themselves (%s): %s", subject, exc)

    async def _hear_change(self, payload: bytes) -> None:
        if payload != self._origin:
            await self._read_whatever_happens()

    async def _hear_state(self, payload: bytes) -> None:
        if payload.startswith(self._origin):
            return
        try:
            heard = self._decoder.decode(payload[len(self._origin) :])
        except msgspec.MsgspecError:
            _log.warning("a message about a backend makes no sense: %r", payload[:200])
            return
        self._catalog.hear(heard.backend_id, heard.fingerprint, heard.listing)

    async def _listen(
        self,
        subject: str,
        hear: Callable[[bytes], Awaitable[None]],
        listening: asyncio.Event,
    ) -> None:
        while True:
            try:
                async with self._bus.subscribe(subject) as messages:
                    if listening.is_set() and subject == self._changed_subject:
                        # what was told while nobody listened was missed
                        await self._read_whatever_happens()
                    listening.set()
                    async for payload in messages:
                        await hear(payload)
                return
            except (RuntimeCoreError, OSError) as exc:
                _log.warning("not hearing from other replicas for a moment (%s): %s", subject, exc)
                listening.set()
            await asyncio.sleep(self._retry_after)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="fleet-reconciler")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("keeping up with what is declared broke", exc_info=fault)


def _subject_part(tenant_id: str) -> str:
    """Return *tenant_id* as one part of a subject, whatever it is made of."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", tenant_id):
        return tenant_id
    return f"x{tenant_id.encode('utf-8', 'surrogatepass').hex()}"
