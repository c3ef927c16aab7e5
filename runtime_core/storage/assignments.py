"""Who belongs to which group."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from sqlalchemy import and_, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from runtime_core.errors import Conflict, NotFound
from runtime_core.tables import table_of
from runtime_core.tables.names import shortened
from runtime_core.tables.rows import can_be_key

if TYPE_CHECKING:
    from sqlalchemy import Select

    from runtime_core.storage.database import Database
    from runtime_core.storage.tables import Row
    from runtime_core.tables.rows import Rows
    from runtime_core.types import Group

__all__ = ("Assignments",)

T = TypeVar("T", bound=msgspec.Struct)


class Assignments(Generic[T]):
    """The assignments of one kind of members to groups.

    :param row: has ``group_id``, *what* + ``_id`` and ``assigned_at``.
    :param what: the word for a member.
    """

    def __init__(
        self,
        database: Database,
        row: type[Row],
        groups: Rows[Group],
        members: Rows[T],
        *,
        what: str,
    ) -> None:
        self._database = database
        self._groups = groups
        self._members = members
        self._what = what
        self.table = table_of(row)
        self._prepare()

    async def add(self, tenant_id: str, group_id: str, member_id: str) -> None:
        """Add; already there, or an unknown group or member, is `Conflict`."""
        if not (can_be_key(group_id) and can_be_key(member_id)):
            raise await self._conflict(tenant_id, group_id, member_id)
        parameters = {
            "tenant_id": tenant_id,
            "group_id": group_id,
            f"{self._what}_id": member_id,
            "assigned_at": datetime.now(UTC),
        }
        try:
            await self._database.write(self._insert, parameters)
        except IntegrityError as error:
            raise await self._conflict(tenant_id, group_id, member_id) from error

    async def remove(self, tenant_id: str, group_id: str, member_id: str) -> None:
        """Remove, or raise `NotFound`."""
        key = {"tenant": tenant_id, "group": group_id, "member": member_id}
        possible = can_be_key(group_id) and can_be_key(member_id)
        if not possible or not await self._database.write(self._delete, key):
            raise NotFound(
                f"{self._what} {shortened(member_id)!r} is not in the group {shortened(group_id)!r}"
            )

    async def members(self, tenant_id: str, group_id: str) -> list[T]:
        """Return a group's members, latest assignment first; none for an unknown group."""
        if not can_be_key(group_id):
            return []
        key = {"tenant": tenant_id, "key": group_id}
        rows = await self._database.read(self._select_members, key)
        return [self._members.struct(row) for row in rows]

    async def groups(self, tenant_id: str, member_id: str) -> list[Group]:
        """Return a member's groups, latest assignment first; none for an unknown member."""
        if not can_be_key(member_id):
            return []
        key = {"tenant": tenant_id, "key": member_id}
        rows = await self._database.read(self._select_groups, key)
        return [self._groups.struct(row) for row in rows]

    def _prepare(self) -> None:
        """Build the statements once: SQLAlchemy then compiles each once."""
        table, member = self.table, f"{self._what}_id"
        self._insert = insert(table)
        self._delete = (
            delete(table)
            .where(
                table.c.tenant_id == bindparam("tenant"),
                table.c.group_id == bindparam("group"),
                table.c[member] == bindparam("member"),
            )
            .returning(table.c[member])
        )
        self._select_members = self._joined(self._members, member, "group_id")
        self._select_groups = self._joined(self._groups, "group_id", member)

    def _joined(self, shown: Rows[Any], reference: str, key: str) -> Select[Any]:
        """Select the rows that *reference* leads to from the assignments that have *key*."""
        table = self.table
        same = and_(
            shown.table.c.tenant_id == table.c.tenant_id, shown.table.c.id == table.c[reference]
        )
        return (
            select(*shown.columns)
            .select_from(table.join(shown.table, same))
            .where(table.c.tenant_id == bindparam("tenant"), table.c[key] == bindparam("key"))
            .order_by(table.c.assigned_at.desc(), shown.table.c.id.desc())
        )

    async def _conflict(self, tenant_id: str, group_id: str, member_id: str) -> Conflict:
        if not await self._groups.exists(tenant_id, group_id):
            return Conflict(f"there is no group {shortened(group_id)!r}", param="groupID")
        if not await self._members.exists(tenant_id, member_id):
            return Conflict(
                f"there is no {self._what} {shortened(member_id)!r}", param=f"{self._what}ID"
            )
        return Conflict(f"{self._what} {member_id!r} is in the group {group_id!r} already")
