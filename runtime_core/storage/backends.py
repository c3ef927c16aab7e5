"""Registered backends."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from runtime_core.storage.tables import BackendRow
from runtime_core.tables.names import require_value
from runtime_core.tables.rows import Rows
from runtime_core.types import StoredBackend

if TYPE_CHECKING:
    from runtime_core.storage.database import Database
    from runtime_core.types import Page

__all__ = ("Backends",)


class Backends:
    """Implements `runtime_core.protocols.BackendStore`."""

    def __init__(self, database: Database) -> None:
        self.rows = Rows(
            database,
            BackendRow,
            StoredBackend,
            what="backend",
            once={"name": "name", "base_url": "baseUrl"},
        )

    async def create(
        self, tenant_id: str, *, name: str, base_url: str, type: str, id: str | None = None
    ) -> StoredBackend:
        """Store a new backend; its id is a UUID unless given."""
        backend_id = str(uuid.uuid4()) if id is None else id
        require_value(backend_id, "backend", param="id")
        values = _values(name, base_url, type)
        return await self.rows.create(tenant_id, {**values, "id": backend_id})

    async def get(self, tenant_id: str, backend_id: str) -> StoredBackend:
        """Return a backend or raise `NotFound`."""
        return await self.rows.get(tenant_id, backend_id)

    async def update(
        self, tenant_id: str, backend_id: str, *, name: str, base_url: str, type: str
    ) -> StoredBackend:
        """Replace, or raise `NotFound`."""
        return await self.rows.update(tenant_id, backend_id, _values(name, base_url, type))

    async def delete(self, tenant_id: str, backend_id: str) -> None:
        """Delete with its assignments and downloads, or raise `NotFound`."""
        await self.rows.delete(tenant_id, backend_id)

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[StoredBackend]:
        """List newest first."""
        return await self.rows.list(tenant_id, limit=limit, cursor=cursor)


def _values(name: str, base_url: str, type_: str) -> dict[str, object]:
    require_value(name, "backend", param="name")
    require_value(base_url, "backend", param="baseUrl")
    require_value(type_, "backend", param="type")
    return {"name": name, "base_url": base_url, "type": type_}
