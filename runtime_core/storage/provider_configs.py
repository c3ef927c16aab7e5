"""The keys of provider types."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, delete, select

from runtime_core.errors import Conflict, NotFound, RuntimeCoreError
from runtime_core.storage.tables import ProviderConfigRow
from runtime_core.tables import table_of
from runtime_core.tables.names import require_value, shortened
from runtime_core.tables.pagination import newest_first, page_of, page_parameters
from runtime_core.tables.rows import can_be_key
from runtime_core.types import ProviderConfig

if TYPE_CHECKING:
    from runtime_core.storage.cipher import Cipher
    from runtime_core.storage.database import Database
    from runtime_core.tables.pagination import AnyRow
    from runtime_core.types import Page

__all__ = ("ProviderConfigs",)

#: Characters of a key; some are signed documents.
MAX_KEY_LENGTH = 8192

logger = logging.getLogger(__name__)


class ProviderConfigs:
    """Implements `runtime_core.protocols.ProviderConfigStore`.

    Types are the same in any letter case, and kept in lower case.  Keys are sealed by *cipher*.
    """

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher
        self._prepare()

    async def put(
        self, tenant_id: str, provider_type: str, api_key: str, *, replace: bool
    ) -> ProviderConfig:
        """Store a key; one that is there already is a `Conflict` without *replace*."""
        name = provider_type.lower()
        require_value(name, "provider configuration", param="type")
        require_value(api_key, "provider configuration", param="apiKey", limit=MAX_KEY_LENGTH)
        parameters = {
            "tenant": tenant_id,
            "type": name,
            "sealed": self._cipher.seal(api_key, *_place(tenant_id, name)),
            "now": datetime.now(UTC),
        }
        rows = await self._database.write(self._upsert if replace else self._insert, parameters)
        if not rows:
            raise Conflict(
                f"provider {name!r} is configured already: ask for its replacement (upsert), or "
                "delete its configuration first",
                param="upsert",
            )
        return self._config(tenant_id, rows[0])

    async def get(self, tenant_id: str, provider_type: str) -> ProviderConfig:
        """Return the configuration of a type or raise `NotFound`."""
        rows = await self._database.read(self._select, _key(tenant_id, provider_type))
        if not rows:
            raise _not_found(provider_type)
        return self._config(tenant_id, rows[0])

    async def delete(self, tenant_id: str, provider_type: str) -> None:
        """Delete, or raise `NotFound`."""
        if not await self._database.write(self._delete, _key(tenant_id, provider_type)):
            raise _not_found(provider_type)

    async def list(
        self, tenant_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[ProviderConfig]:
        """List newest first; keys that cannot be read are left out, and logged."""
        parameters = page_parameters(tenant_id, limit, cursor)
        rows = await self._database.read(self._list, parameters)
        return page_of(rows, limit, lambda row: self.readable(tenant_id, row))

    def readable(self, tenant_id: str, row: AnyRow) -> ProviderConfig | None:
        """Return the configuration in a row, None when its key cannot be read; that is logged."""
        try:
            return self._config(tenant_id, row)
        except RuntimeCoreError as error:
            logger.error("left out: %s", error)
            return None

    def _prepare(self) -> None:
        """Build the statements once: SQLAlchemy then compiles each once."""
        table = table_of(ProviderConfigRow)
        configs = table.c
        now = bindparam("now", type_=configs.created_at.type)
        key = (configs.tenant_id == bindparam("tenant"), configs.id == bindparam("type"))
        shown = (configs.id, configs.api_key, configs.created_at, configs.updated_at)
        insert = self._database.insert(table).values(
            tenant_id=bindparam("tenant"),
            id=bindparam("type"),
            api_key=bindparam("sealed"),
            created_at=now,
            updated_at=now,
        )
        self._insert = insert.on_conflict_do_nothing().returning(*shown)
        self._upsert = insert.on_conflict_do_update(
            index_elements=[configs.tenant_id, configs.id],
            set_={
                "api_key": insert.excluded.api_key,
                # a clock that was set back must not make a row older than its creation
                "updated_at": case((now > configs.created_at, now), else_=configs.created_at),
            },
        ).returning(*shown)
        self._select = select(*shown).where(*key)
        self._delete = delete(table).where(*key).returning(configs.id)
        self._list = newest_first(table, *shown)

    def _config(self, tenant_id: str, row: AnyRow) -> ProviderConfig:
        try:
            api_key = self._cipher.open(row.api_key, *_place(tenant_id, row.id))
        except RuntimeCoreError as error:
            raise RuntimeCoreError(
                f"the key of provider {row.id!r} cannot be read: {error}; or configure the "
                "provider again"
            ) from error
        return ProviderConfig(
            type=row.id, api_key=api_key, created_at=row.created_at, updated_at=row.updated_at
        )


def _place(tenant_id: str, provider_type: str) -> tuple[str, ...]:
    return "provider_configs", tenant_id, provider_type


def _key(tenant_id: str, provider_type: str) -> dict[str, object]:
    if not can_be_key(provider_type):
        raise _not_found(provider_type)
    return {"tenant": tenant_id, "type": provider_type.lower()}


def _not_found(provider_type: str) -> NotFound:
    return NotFound(f"provider {shortened(provider_type)!r} is not configured")
