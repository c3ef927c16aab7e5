"""Affinity groups, and the backends and models in them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam

from runtime_core.errors import Forbidden
from runtime_core.storage.assignments import Assignments
from runtime_core.storage.tables import GroupBackendRow, GroupModelRow, GroupRow
from runtime_core.tables.names import require_value
from runtime_core.tables.pagination import MAX_LIMIT
from runtime_core.tables.rows import Rows, can_be_key
from runtime_core.types import BUILTIN_GROUPS, Group, Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime_core.storage.database import Database
    from runtime_core.types import DeclaredModel, StoredBackend

__all__ = ("Groups",)


class Groups:
    """Implements `runtime_core.protocols.GroupStore`."""

    def __init__(
        self, database: Database, backends: Rows[StoredBackend], models: Rows[DeclaredModel]
    ) -> None:
        self._database = database
        self.rows = Rows(database, GroupRow, Group, what="group", once={"name": "name"})
        self.backends = Assignments(database, GroupBackendRow, self.rows, backends, what="backend")
        self.models = Assignments(database, GroupModelRow, self.rows, models, what="model")
        self._ensure = database.insert(self.rows.table).on_conflict_do_nothing()
        self._with_purpose = self.rows.newest_first.where(
            self.rows.table.c.purpose_type == bindparam("purpose")
        )

    async def ensure_builtin(self, tenant_id: str) -> None:
        """Create the built-in groups that are missing; one whose name is taken goes by its id."""
        now = datetime.now(UTC)
        rows = [
            {
                "tenant_id": tenant_id,
                "id": group_id,
                "name": name,
                "purpose_type": purpose,
                "created_at": now,
                "updated_at": now,
            }
            for group_id, (name, purpose) in BUILTIN_GROUPS.items()
        ]

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(self._ensure, rows)
            await connection.execute(self._ensure, [{**row, "name": row["id"]} for row in rows])

        await self._database.transaction(work)

    async def create(self, tenant_id: str, *, name: str, purpose_type: str) -> Group:
        """Store a new group; its id is a UUID."""
        values = {**_values(name, purpose_type), "id": str(uuid.uuid4())}
        return await self.rows.create(tenant_id, values)

    async def get(self, tenant_id: str, group_id: str) -> Group:
        """Return the group of an id or raise `NotFound`."""
        return await self.rows.get(tenant_id, group_id)

    async def get_by_name(self, tenant_id: str, name: str) -> Group:
        """Return the group of a name or raise `NotFound`."""
        return await self.rows.get(tenant_id, name, column="name")

    async def update(self, tenant_id: str, group_id: str, *, name: str, purpose_type: str) -> Group:
        """Replace, or raise `NotFound`."""
        return await self.rows.update(tenant_id, group_id, _values(name, purpose_type))

    async def delete(self, tenant_id: str, group_id: str) -> None:
        """Delete with its assignments, or raise `NotFound`; a built-in one is `Forbidden`."""
        if group_id in BUILTIN_GROUPS:
            raise Forbidden(
                f"the group {group_id!r} is built in and cannot be deleted: "
                "remove its backends and models from it instead"
            )
        await self.rows.delete(tenant_id, group_id)

    async def list(
        self,
        tenant_id: str,
        *,
        purpose_type: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Group]:
        """List newest first; all of them without a limit."""
        if limit is not None:
            return await self._page(tenant_id, purpose_type, limit, cursor)
        items: list[Group] = []
        while True:
            page = await self._page(tenant_id, purpose_type, MAX_LIMIT, cursor)
            items += page.items
            cursor = page.next_cursor
            if cursor is None:
                return Page(items)

    async def assign_backend(self, tenant_id: str, group_id: str, backend_id: str) -> None:
        """Add; already there, or an unknown group or backend, is `Conflict`."""
        await self.backends.add(tenant_id, group_id, backend_id)

    async def unassign_backend(self, tenant_id: str, group_id: str, backend_id: str) -> None:
        """Remove, or raise `NotFound`."""
        await self.backends.remove(tenant_id, group_id, backend_id)

    async def backends_of(self, tenant_id: str, group_id: str) -> Sequence[StoredBackend]:
        """Return the group's backends, latest assignment first; none for an unknown group."""
        return await self.backends.members(tenant_id, group_id)

    async def groups_of_backend(self, tenant_id: str, backend_id: str) -> Sequence[Group]:
        """Return the backend's groups, latest assignment first."""
        return await self.backends.groups(tenant_id, backend_id)

    async def assign_model(self, tenant_id: str, group_id: str, model_id: str) -> None:
        """Add; already there, or an unknown group or model, is `Conflict`."""
        await self.models.add(tenant_id, group_id, model_id)

    async def unassign_model(self, tenant_id: str, group_id: str, model_id: str) -> None:
        """Remove, or raise `NotFound`."""
        await self.models.remove(tenant_id, group_id, model_id)

    async def models_of(self, tenant_id: str, group_id: str) -> Sequence[DeclaredModel]:
        """Return the group's models, latest assignment first; none for an unknown group."""
        return await self.models.members(tenant_id, group_id)

    async def groups_of_model(self, tenant_id: str, model_id: str) -> Sequence[Group]:
        """Return the model's groups, latest assignment first."""
        return await self.models.groups(tenant_id, model_id)

    async def _page(
        self, tenant_id: str, purpose_type: str | None, limit: int, cursor: str | None
    ) -> Page[Group]:
        if purpose_type is None:
            return await self.rows.list(tenant_id, limit=limit, cursor=cursor)
        if not can_be_key(purpose_type):
            return Page([])
        return await self.rows.list(
            tenant_id,
            limit=limit,
            cursor=cursor,
            statement=self._with_purpose,
            purpose=purpose_type,
        )


def _values(name: str, purpose_type: str) -> dict[str, object]:
    require_value(name, "group", param="name", empty=True)
    require_value(purpose_type, "group", param="purposeType", empty=True)
    return {"name": name, "purpose_type": purpose_type}
