"""The suite of plugins' tables passes for what is right, and fails for what is not."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import Column, Index, MetaData, Text

from runtime_core.testing import TableSuite
from runtime_core.types import TableSet

TABLES = Path(__file__).parents[2] / "fixtures" / "tables"


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> TableSet:
    monkeypatch.syspath_prepend(str(TABLES))
    return import_module("acme_notes").register_tables()


class TestNotes(TableSuite):
    @pytest.fixture
    def tables(self, notes: TableSet) -> TableSet:
        return notes


def changed(tables: TableSet, **fields: object) -> TableSet:
    values = {name: getattr(tables, name) for name in ("metadata", "migrations", "head")}
    return TableSet(**{**values, **fields})


def copied(tables: TableSet) -> MetaData:
    metadata = MetaData(naming_convention=tables.metadata.naming_convention)
    for table in tables.metadata.tables.values():
        table.to_metadata(metadata)
    return metadata


@pytest.mark.parametrize("head", ["0001", "0003"])
def test_a_head_that_is_not_the_last_migration_fails(notes: TableSet, head: str) -> None:
    with pytest.raises(AssertionError, match="head must name"):
        TableSuite().test_migrations_end_at_the_head(changed(notes, head=head))


def test_scripts_that_are_not_there_fail(notes: TableSet) -> None:
    with pytest.raises(AssertionError, match="revision 0001"):
        TableSuite().test_migrations_end_at_the_head(changed(notes, migrations="acme_notes.x"))


async def test_a_column_without_migration_fails(notes: TableSet) -> None:
    metadata = copied(notes)
    metadata.tables["notes"].append_column(Column("size", Text, nullable=False))
    with pytest.raises(AssertionError, match=r"write a migration .*size"):
        await TableSuite().test_migrations_make_the_declared_tables(
            changed(notes, metadata=metadata)
        )


def test_an_index_over_all_tenants_fails(notes: TableSet) -> None:
    metadata = copied(notes)
    Index("ix_notes_name", metadata.tables["notes"].c.name)
    with pytest.raises(AssertionError, match="ix_notes_name of notes must begin with tenant_id"):
        TableSuite().test_every_row_belongs_to_a_tenant(changed(notes, metadata=metadata))
