"""Stored chains at the price of a dictionary look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime_core.tables import SharedCache
from runtime_core.types import StoredChain

if TYPE_CHECKING:
    from runtime_core.protocols import Bus, ChainStore
    from runtime_core.types import Chain, Page

__all__ = ("ChainCache",)


class ChainCache(SharedCache[StoredChain]):
    """A `runtime_core.protocols.ChainStore` in front of another one."""

    def __init__(self, store: ChainStore, bus: Bus, **options: Any) -> None:
        super().__init__(store.get, bus, "chains.changed", what="task chain", **options)
        self._store = store

    async def get(self, tenant_id: str, chain_id: str) -> StoredChain:
        """Return a chain or raise `NotFound`."""
        return await super().get(tenant_id, chain_id)

    async def put(self, tenant_id: str, chain: Chain) -> StoredChain:
        """Create or replace; the creation time of a replaced chain is kept."""
        return await self.write(tenant_id, chain.id, self._store.put(tenant_id, chain))

    async def update(self, tenant_id: str, chain: Chain) -> StoredChain:
        """Replace, or raise `NotFound`."""
        return await self.write(tenant_id, chain.id, self._store.update(tenant_id, chain))

    async def delete(self, tenant_id: str, chain_id: str) -> None:
        """Delete, or raise `NotFound`."""
        await self.write(tenant_id, chain_id, self._store.delete(tenant_id, chain_id))

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[StoredChain]:
        """List newest first, straight from the store."""
        return await self._store.list(tenant_id, limit=limit, cursor=cursor)
