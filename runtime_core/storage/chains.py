"""Stored task chains."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import bindparam, case, delete, select, update

from runtime_core.errors import InvalidRequest, NotFound, RuntimeCoreError, Unprocessable
from runtime_core.storage.tables import TaskChainRow
from runtime_core.tables import table_of
from runtime_core.tables.names import can_be_stored, require_name
from runtime_core.tables.pagination import newest_first, page_of, page_parameters
from runtime_core.types import Chain, Page, StoredChain

if TYPE_CHECKING:
    from runtime_core.storage.database import Database
    from runtime_core.tables.pagination import AnyRow

__all__ = ("Chains",)

#: With the prefix that clients' tools know them by, ids fit 255 characters.
MAX_ID_LENGTH = 255 - len("taskchain:")

logger = logging.getLogger(__name__)


class Chains:
    """Implements `runtime_core.protocols.ChainStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Chain)
        self._prepare()

    async def get(self, tenant_id: str, chain_id: str) -> StoredChain:
        """Return a chain or raise `NotFound`."""
        _require_possible(chain_id)
        key = {"tenant": tenant_id, "chain": chain_id}
        rows = await self._database.read(self._select, key)
        if not rows:
            raise _not_found(chain_id)
        try:
            return self._stored(rows[0])
        except msgspec.MsgspecError as error:
            raise RuntimeCoreError(
                f"the stored task chain {chain_id!r} cannot be read: replace or delete it"
            ) from error

    async def put(self, tenant_id: str, chain: Chain) -> StoredChain:
        """Create or replace; the creation time of a replaced chain is kept."""
        _require_id(chain.id)
        rows = await self._database.write(self._upsert, self._parameters(tenant_id, chain))
        return self._stored(rows[0])

    async def update(self, tenant_id: str, chain: Chain) -> StoredChain:
        """Replace, or raise `NotFound`."""
        _require_id(chain.id)
        rows = await self._database.write(self._update, self._parameters(tenant_id, chain))
        if not rows:
            raise _not_found(chain.id)
        return self._stored(rows[0])

    async def delete(self, tenant_id: str, chain_id: str) -> None:
        """Delete, or raise `NotFound`."""
        _require_possible(chain_id)
        key = {"tenant": tenant_id, "chain": chain_id}
        if not await self._database.write(self._delete, key):
            raise _not_found(chain_id)

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[StoredChain]:
        """List newest first; chains that cannot be read are left out, and logged."""
        parameters = page_parameters(tenant_id, limit, cursor)
        rows = await self._database.read(self._list, parameters)
        return page_of(rows, limit, self._readable)

    def _prepare(self) -> None:
        """Build the statements once: SQLAlchemy then compiles each once."""
        chains = table_of(TaskChainRow).c
        now = bindparam("now", type_=chains.created_at.type)
        key = (chains.tenant_id == bindparam("tenant"), chains.id == bindparam("chain"))
        # a clock that was set back must not make a chain older than its creation
        updated_at = case((now > chains.created_at, now), else_=chains.created_at)
        stored = (chains.id, chains.body, chains.created_at, chains.updated_at)
        insert = self._database.insert(table_of(TaskChainRow)).values(
            tenant_id=bindparam("tenant"),
            id=bindparam("chain"),
            body=bindparam("text"),
            created_at=now,
            updated_at=now,
        )
        self._upsert = insert.on_conflict_do_update(
            index_elements=[chains.tenant_id, chains.id],
            set_={"body": insert.excluded.body, "updated_at": updated_at},
        ).returning(*stored)
        self._update = (
            update(table_of(TaskChainRow))
            .where(*key)
            .values(body=bindparam("text"), updated_at=updated_at)
            .returning(*stored)
        )
        self._select = select(*stored).where(*key)
        self._delete = delete(table_of(TaskChainRow)).where(*key).returning(chains.id)
        self._list = newest_first(table_of(TaskChainRow), *stored)

    def _parameters(self, tenant_id: str, chain: Chain) -> dict[str, object]:
        try:
            body = self._encoder.encode(chain).decode()
        except (TypeError, UnicodeEncodeError) as error:
            raise Unprocessable(
                f"the task chain {chain.id!r} holds something that is not JSON: {error}"
            ) from error
        return {"tenant": tenant_id, "chain": chain.id, "text": body, "now": datetime.now(UTC)}

    def _stored(self, row: AnyRow) -> StoredChain:
        return StoredChain(
            chain=self._decoder.decode(row.body),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    def _readable(self, row: AnyRow) -> StoredChain | None:
        try:
            return self._stored(row)
        except msgspec.MsgspecError as error:
            logger.warning("left out of a listing: task chain %r cannot be read: %s", row.id, error)
            return None


def _require_id(chain_id: str) -> None:
    if len(chain_id) > MAX_ID_LENGTH:
        raise InvalidRequest(
            f"id of the task chain has {len(chain_id)} characters, "
            f"at most {MAX_ID_LENGTH} are allowed",
            param="id",
        )
    require_name(chain_id, "task chain", param="id")


def _require_possible(chain_id: str) -> None:
    """Raise `NotFound` at once for an id that nothing can be stored under."""
    if len(chain_id) > MAX_ID_LENGTH or not can_be_stored(chain_id):
        raise _not_found(chain_id)


def _not_found(chain_id: str) -> NotFound:
    shown = chain_id if len(chain_id) <= MAX_ID_LENGTH else f"{chain_id[:MAX_ID_LENGTH]}…"
    return NotFound(f"task chain {shown!r} not found")
