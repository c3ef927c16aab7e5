"""What repositories of declared things have in common: an id, fields used once, times, pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from sqlalchemy import bindparam, case, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from runtime_core.errors import Conflict, NotFound
from runtime_core.tables.columns import table_of
from runtime_core.tables.names import MAX_VALUE_LENGTH, can_be_stored, shortened
from runtime_core.tables.pagination import newest_first, page_of, page_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Select
    from sqlmodel import SQLModel

    from runtime_core.protocols import PluginDatabase
    from runtime_core.tables.pagination import AnyRow
    from runtime_core.types import Page

__all__ = ("Rows", "can_be_key")

T = TypeVar("T", bound=msgspec.Struct)


class Rows(Generic[T]):
    """The rows of a table as structs whose fields are named like its columns.

    :param what: the word for one of them in messages.
    :param once: columns whose values are used once in a tenant, with their names in requests.
    """

    def __init__(
        self,
        database: PluginDatabase,
        row: type[SQLModel],
        struct: type[T],
        *,
        what: str,
        once: Mapping[str, str],
    ) -> None:
        self._database = database
        self._struct = struct
        self._what = what
        self._once = {**once, "id": "id"}
        self.table = table_of(row)
        self.columns: tuple[ColumnElement[Any], ...] = tuple(
            self.table.c[name] for name in struct.__struct_fields__
        )
        self._prepare_reads()
        self._prepare_writes()

    async def create(self, tenant_id: str, values: Mapping[str, object]) -> T:
        """Insert a row of *values*, which have its id.

        :raises Conflict: a value that is used once is taken; names the field and the value.
        """
        now = datetime.now(UTC)
        parameters = {**values, "tenant_id": tenant_id, "created_at": now, "updated_at": now}
        try:
            rows = await self._database.write(self._insert, parameters)
        except IntegrityError as error:
            raise await self._conflict(tenant_id, values, own=None) from error
        return self.struct(rows[0])

    async def update(self, tenant_id: str, row_id: str, values: Mapping[str, object]) -> T:
        """Replace *values*; the creation time is kept.

        :raises NotFound: there is no such row.
        :raises Conflict: a value that is used once is taken; names the field and the value.
        """
        self._require_possible(row_id)
        parameters = {f"new_{name}": value for name, value in values.items()}
        parameters |= {"tenant": tenant_id, "key": row_id, "now": datetime.now(UTC)}
        try:
            rows = await self._database.write(self._update, parameters)
        except IntegrityError as error:
            raise await self._conflict(tenant_id, values, own=row_id) from error
        if not rows:
            raise self.not_found(row_id)
        return self.struct(rows[0])

    async def get(self, tenant_id: str, value: str, *, column: str = "id") -> T:
        """Return the row that has *value* in a column that holds each value once.

        :raises NotFound: there is none.
        """
        self._require_possible(value)
        key = {"tenant": tenant_id, "key": value}
        rows = await self._database.read(self._select[column], key)
        if not rows:
            raise self.not_found(value)
        return self.struct(rows[0])

    async def exists(self, tenant_id: str, row_id: str) -> bool:
        """Tell whether there is a row with the id."""
        if not can_be_key(row_id):
            return False
        key = {"tenant": tenant_id, "key": row_id}
        return bool(await self._database.read(self._select["id"], key))

    async def delete(self, tenant_id: str, value: str, *, column: str = "id") -> None:
        """Delete the row that has *value* in a column that holds each value once.

        :raises NotFound: there is none.
        """
        self._require_possible(value)
        key = {"tenant": tenant_id, "key": value}
        if not await self._database.write(self._delete[column], key):
            raise self.not_found(value)

    async def list(
        self,
        tenant_id: str,
        *,
        limit: int = 100,
        cursor: str | None = None,
        statement: Select[Any] | None = None,
        **more: object,
    ) -> Page[T]:
        """List newest first.

        :param statement: a narrower `newest_first`; *more* are its parameters.
        """
        parameters = page_parameters(tenant_id, limit, cursor) | more
        rows = await self._database.read(
            self.newest_first if statement is None else statement, parameters
        )
        return page_of(rows, limit, self.struct)

    def struct(self, row: AnyRow) -> T:
        """Return the struct of a row that has `columns`."""
        return self._struct(**row._mapping)

    def not_found(self, value: str) -> NotFound:
        """Return what to raise where *value* names no row."""
        return NotFound(f"{self._what} {shortened(value)!r} not found")

    def _prepare_reads(self) -> None:
        """Build the statements once: SQLAlchemy then compiles each once."""
        table = self.table
        self._select = {
            name: select(*self.columns).where(
                table.c.tenant_id == bindparam("tenant"), table.c[name] == bindparam("key")
            )
            for name in self._once
        }
        self.newest_first = newest_first(table, *self.columns)
        self._rivals = select(*(table.c[name] for name in self._once)).where(
            table.c.tenant_id == bindparam("tenant"),
            or_(*(table.c[name] == bindparam(name) for name in self._once)),
        )

    def _prepare_writes(self) -> None:
        table = self.table
        now = bindparam("now", type_=table.c.created_at.type)
        fixed = {"tenant_id", "id", "created_at", "updated_at"}
        self._insert = insert(table).returning(*self.columns)
        self._update = (
            update(table)
            .where(table.c.tenant_id == bindparam("tenant"), table.c.id == bindparam("key"))
            .values({name: bindparam(f"new_{name}") for name in set(table.c.keys()) - fixed})
            # a clock that was set back must not make a row older than its creation
            .values(updated_at=case((now > table.c.created_at, now), else_=table.c.created_at))
            .returning(*self.columns)
        )
        self._delete = {
            name: delete(table)
            .where(table.c.tenant_id == bindparam("tenant"), table.c[name] == bindparam("key"))
            .returning(table.c.id)
            for name in self._once
        }

    async def _conflict(
        self, tenant_id: str, values: Mapping[str, object], *, own: str | None
    ) -> Conflict:
        """Return which of *values* another row has; that row may be gone by now."""
        wanted = {"id": own, **values}
        parameters = {name: wanted[name] for name in self._once} | {"tenant": tenant_id}
        rivals = await self._database.read(self._rivals, parameters)
        for name, param in self._once.items():
            if any(rival.id != own and getattr(rival, name) == wanted[name] for rival in rivals):
                return Conflict(
                    f"{param} {shortened(str(wanted[name]))!r} is taken by another {self._what}: "
                    f"choose another {param}, or change or delete that {self._what}",
                    param=param,
                )
        return Conflict(f"another {self._what} like this came and went just now: try again")

    def _require_possible(self, value: str) -> None:
        """Raise `NotFound` at once for a value that nothing can be stored under."""
        if not can_be_key(value):
            raise self.not_found(value)


def can_be_key(value: str) -> bool:
    """Tell whether something can be stored under *value*."""
    return len(value) <= MAX_VALUE_LENGTH and can_be_stored(value)
