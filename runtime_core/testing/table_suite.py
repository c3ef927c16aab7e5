"""What the tables of every plugin must be like, as tests to inherit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime_core.storage import sqlite
from runtime_core.storage.schema import KERNEL_TABLES, Schema, config_of, schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime_core.types import TableSet

__all__ = ("TableSuite",)


class TableSuite:
    """Give the fixture ``tables``: what the plugin's hook `register_tables` returns."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def tables(self) -> TableSet:
        """Return what the plugin registers."""
        raise NotImplementedError("give a fixture 'tables'")

    def test_migrations_end_at_the_head(self, tables: TableSet) -> None:
        """``head`` is the last script, and the scripts are one line from ``0001``."""
        from alembic.script import ScriptDirectory

        scripts = ScriptDirectory.from_config(config_of(_schema(tables)))
        assert scripts.get_bases() == ["0001"], "the first migration must have revision 0001"
        assert scripts.get_heads() == [tables.head], "head must name the newest migration"
        numbers = sorted(script.revision for script in scripts.walk_revisions())
        assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]

    def test_every_row_belongs_to_a_tenant(self, tables: TableSet) -> None:
        """``tenant_id`` leads each key, index and unique constraint."""
        for table in tables.metadata.tables.values():
            for item in (*table.constraints, *table.indexes):
                names = [column.name for column in getattr(item, "columns", ())]
                assert names[:1] in ([], ["tenant_id"]), (
                    f"{item.name} of {table.name} must begin with tenant_id"
                )

    async def test_migrations_make_the_declared_tables(self, tables: TableSet) -> None:
        """A server that was upgraded has what a new one has."""
        found = await _differences(_schema(tables))
        assert not found, (
            f"write a migration for what the tables have and migrations do not: {found}"
        )

    async def test_tables_live_beside_the_kernels(self, tables: TableSet) -> None:
        """A start makes them, and a second one leaves them."""
        assert not set(tables.metadata.tables) & set(KERNEL_TABLES)
        database = sqlite.connect("sqlite:///:memory:")
        try:
            for _ in range(2):
                await database.migrate({"suite": tables})
        finally:
            await database.aclose()


def _schema(tables: TableSet) -> Schema:
    return schema_of("suite", tables)


async def _differences(schema: Schema) -> Sequence[Any]:
    """Return what the migrations, run from nothing, make otherwise than is declared."""

    async def on(connection: AsyncConnection) -> Sequence[Any]:
        return await connection.run_sync(_migrated_and_compared, schema)

    database = sqlite.connect("sqlite:///:memory:")
    try:
        return await database.transaction(on)
    finally:
        await database.aclose()


def _migrated_and_compared(connection: Connection, schema: Schema) -> Sequence[Any]:
    from alembic import command
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    command.upgrade(config_of(schema, connection), "head")
    options = {"version_table": schema.version_table, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    differences: Sequence[Any] = compare_metadata(context, schema.metadata)
    return differences
