"""Stored hooks: found by name without reading the database for each call."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from datetime import datetime  # noqa: TC003 - SQLModel and msgspec resolve annotations at run time
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from runtime_core.errors import NotFound, RuntimeCoreError
from runtime_core.tables import Name, Rows, SharedCache, new_metadata
from runtime_core.types import Page, TableSet
from runtime_hooks_remote.hook import Options, RemoteHook
from runtime_hooks_remote.injection import Injection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
    from typing import Any

    from runtime_core.protocols import Services
    from runtime_hooks_remote.hook import Draft

__all__ = ("TABLES", "HookStore")

logger = logging.getLogger(__name__)

_LARGEST_PAGE = 1000
#: Hooks whose credentials are kept open, so that listings do not decrypt them each time.
_OPENED = 4096

_encode = msgspec.json.Encoder().encode
_injections = msgspec.json.Decoder(Injection)
_options = msgspec.json.Decoder(Options)


class _Row(SQLModel):
    metadata = new_metadata()


class HookRow(_Row, table=True):
    """A hook.  ``injection`` is sealed: it holds credentials; ``options`` is JSON."""

    __tablename__ = "remote_hooks"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        Index(None, "tenant_id", "created_at", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    name: str = Field(sa_type=Name)
    endpoint_url: str = Field(sa_type=Text)
    timeout_ms: int
    injection: str = Field(sa_type=Text)
    options: str = Field(sa_type=Text)
    created_at: datetime
    updated_at: datetime


TABLES = TableSet(metadata=_Row.metadata, migrations="runtime_hooks_remote.migrations", head="0001")


class _Stored(Struct, frozen=True):
    """A row."""

    id: str
    name: str
    endpoint_url: str
    timeout_ms: int
    injection: str
    options: str
    created_at: datetime
    updated_at: datetime


class HookStore:
    """The hooks of all tenants; use `running` first."""

    def __init__(self, services: Services) -> None:
        self._sealer = services.sealer
        self._rows = Rows(
            services.database, HookRow, _Stored, what="remote hook", once={"name": "name"}
        )
        self._cache: SharedCache[RemoteHook | None] = SharedCache(
            self._read, services.bus, "remote_hooks.changed", what="remote hook"
        )
        self._opened: dict[tuple[str, str], tuple[_Stored, RemoteHook]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to what other replicas change."""
        async with self._cache:
            yield

    async def find(self, tenant_id: str, name: str) -> RemoteHook | None:
        """Return the hook of a name, or None; seldom reads the database."""
        return await self._cache.get(tenant_id, name)

    async def get(self, tenant_id: str, hook_id: str) -> RemoteHook:
        """Return a hook or raise `NotFound`."""
        return self._open(tenant_id, await self._rows.get(tenant_id, hook_id))

    async def named(self, tenant_id: str, name: str) -> RemoteHook:
        """Return the hook of a name, straight from the database, or raise `NotFound`."""
        return self._open(tenant_id, await self._rows.get(tenant_id, name, column="name"))

    async def create(self, tenant_id: str, draft: Draft) -> RemoteHook:
        """Store a new hook.

        :raises Conflict: its id or its name is taken.
        """
        values = {"id": draft.id, **self._values(tenant_id, draft)}
        work = self._rows.create(tenant_id, values)
        return self._open(tenant_id, await self._cache.write(tenant_id, draft.name, work))

    async def update(self, tenant_id: str, draft: Draft, *, old_name: str) -> RemoteHook:
        """Replace the hook of the draft's id.

        :raises NotFound: there is none.
        :raises Conflict: its new name is taken.
        """
        work: Coroutine[Any, Any, _Stored] = self._rows.update(
            tenant_id, draft.id, self._values(tenant_id, draft)
        )
        if draft.name != old_name:
            work = self._cache.write(tenant_id, draft.name, work)
        return self._open(tenant_id, await self._cache.write(tenant_id, old_name, work))

    async def delete(self, tenant_id: str, hook_id: str) -> None:
        """Delete, or raise `NotFound`."""
        stored = await self._rows.get(tenant_id, hook_id)
        work = self._rows.delete(tenant_id, hook_id)
        await self._cache.write(tenant_id, stored.name, work)
        self._opened.pop((tenant_id, hook_id), None)

    async def all(self, tenant_id: str) -> tuple[Sequence[RemoteHook], Mapping[str, str]]:
        """Return every hook of a tenant, newest first, and why those of a name cannot be read."""
        hooks: list[RemoteHook] = []
        unreadable: dict[str, str] = {}
        cursor = None
        while True:
            page = await self._rows.list(tenant_id, limit=_LARGEST_PAGE, cursor=cursor)
            for row in page.items:
                try:
                    hooks.append(self._open(tenant_id, row))
                except RuntimeCoreError as error:
                    unreadable[row.name] = error.message
            if not (cursor := page.next_cursor):
                return hooks, unreadable

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[RemoteHook]:
        """List newest first; hooks whose credentials cannot be read are left out, and logged."""
        page = await self._rows.list(tenant_id, limit=limit, cursor=cursor)
        items = [hook for row in page.items if (hook := self._readable(tenant_id, row))]
        return Page(items, page.next_cursor)

    async def _read(self, tenant_id: str, name: str) -> RemoteHook | None:
        try:
            return await self.named(tenant_id, name)
        except NotFound:
            return None

    def _values(self, tenant_id: str, draft: Draft) -> dict[str, object]:
        plain = _encode(draft.injection).decode()
        return {
            "name": draft.name,
            "endpoint_url": draft.endpoint_url,
            "timeout_ms": draft.timeout_ms,
            "injection": self._sealer.seal(plain, *_place(tenant_id, draft.id)),
            "options": _encode(draft.options).decode(),
        }

    def _readable(self, tenant_id: str, row: _Stored) -> RemoteHook | None:
        try:
            return self._open(tenant_id, row)
        except RuntimeCoreError as error:
            logger.error("left out: %s", error)
            return None

    def _open(self, tenant_id: str, row: _Stored) -> RemoteHook:
        """Return the hook in a row, the identical one until the row changes."""
        key = tenant_id, row.id
        known = self._opened.pop(key, None)
        if known is None or known[0] != row:
            known = row, self._hook(tenant_id, row)
        if len(self._opened) >= _OPENED:
            del self._opened[next(iter(self._opened))]
        self._opened[key] = known
        return known[1]

    def _hook(self, tenant_id: str, row: _Stored) -> RemoteHook:
        try:
            plain = self._sealer.open(row.injection, *_place(tenant_id, row.id))
        except RuntimeCoreError as error:
            raise RuntimeCoreError(
                f"the headers and properties of remote hook {row.name!r} cannot be read: {error}; "
                "or delete the hook and register it again"
            ) from error
        return RemoteHook(
            id=row.id,
            name=row.name,
            endpoint_url=row.endpoint_url,
            timeout_ms=row.timeout_ms,
            injection=_injections.decode(plain),
            options=_options.decode(row.options),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


def _place(tenant_id: str, hook_id: str) -> tuple[str, ...]:
    return "remote_hooks", tenant_id, hook_id, "injection"
