"""Tables of plugins: made, migrated and left alone, each plugin's on its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import inspect, text

from runtime_core.errors import Conflict, NotFound, StartupError
from runtime_core.protocols import Services
from runtime_core.storage.schema import HEAD, KERNEL_TABLES, SchemaState, schema_of
from runtime_core.types import TableSet, ToolRequest

if TYPE_CHECKING:
    from types import ModuleType

TABLES = Path(__file__).parents[2] / "fixtures" / "tables"
NUMBERS = count()

SECOND = """
from alembic import op

revision = "0002"
down_revision = "0001"

def upgrade():
    op.execute("UPDATE notes SET body = 'lost'")
    {code}
"""


@pytest.fixture(scope="session")
def notes() -> dict[int, ModuleType]:
    """Return the two releases of the plugin; they are imported once, as plugins are."""
    sys.path.insert(0, str(TABLES))
    try:
        return {1: import_module("acme_notes_first"), 2: import_module("acme_notes")}
    finally:
        sys.path.remove(str(TABLES))


@pytest.fixture
def tables(notes, monkeypatch):
    """Return what gives the tables of a release of the plugin, as `Plugins.tables` has them."""
    monkeypatch.syspath_prepend(str(TABLES))
    return lambda release: {"notes": notes[release].register_tables()}


async def names_in(database) -> set[str]:
    async def on(connection):
        return await connection.run_sync(lambda one: set(inspect(one).get_table_names()))

    return await database.transaction(on)


async def add_note(database, name: str) -> None:
    await database.write(
        text(
            "INSERT INTO notes (tenant_id, id, name, body, created_at, updated_at) VALUES "
            "('default', :name, :name, 'kept', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        ),
        {"name": name},
    )


async def notes_in(database, columns: str = "name, body") -> list[tuple[str, ...]]:
    rows = await database.read(text(f"SELECT {columns} FROM notes ORDER BY name"))
    return [tuple(row) for row in rows]


async def test_a_first_start_makes_the_newest_tables(database_url, open_database, tables):
    database = open_database(database_url)
    assert await database.plugin_schemas(tables(2)) == {
        "notes": SchemaState(revision=None, head="0002")
    }
    await database.migrate(tables(2))

    assert await names_in(database) == {*KERNEL_TABLES, "notes", "runtime_notes_schema"}
    assert await database.schema() == SchemaState(revision=HEAD, head=HEAD)
    assert await database.plugin_schemas(tables(2)) == {
        "notes": SchemaState(revision="0002", head="0002")
    }


async def test_a_second_start_changes_nothing(database, tables):
    await database.migrate(tables(1))
    await add_note(database, "a")
    await database.migrate(tables(1))
    assert await notes_in(database) == [("a", "kept")]


async def test_a_plugin_may_come_later_and_go_and_come_back(database, tables):
    await database.migrate(tables(1))
    await add_note(database, "a")
    await database.migrate()
    assert await notes_in(database) == [("a", "kept")]
    await database.migrate(tables(1))
    assert await notes_in(database) == [("a", "kept")]


async def test_an_upgrade_keeps_the_rows(database, tables):
    await database.migrate(tables(1))
    await add_note(database, "a")
    await database.migrate(tables(2))
    assert await notes_in(database, "name, body, colour") == [("a", "kept", "yellow")]
    assert (await database.plugin_schemas(tables(2)))["notes"].revision == "0002"


async def test_migrations_and_tables_agree(database, tables):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    await database.migrate(tables(1))
    await database.migrate(tables(2))
    schema = schema_of("notes", tables(2)["notes"])

    def differences(connection):
        def own(name, kind, parents):
            return kind != "table" or name in schema.metadata.tables

        options = {"version_table": schema.version_table, "include_name": own}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, schema.metadata)

    async def on(connection):
        return await connection.run_sync(differences)

    assert await database.transaction(on) == []


async def test_tables_of_a_newer_release_are_left_alone(database, tables):
    await database.migrate(tables(2))
    expected = (
        r"^plugin 'notes': its tables have schema revision '0002', which the installed plugin does "
        r"not know \(its newest is '0001'\).* Or add 'notes' to RUNTIME_DISABLE_PLUGINS"
    )
    with pytest.raises(StartupError, match=expected):
        await database.migrate(tables(1))
    assert (await database.plugin_schemas(tables(1)))["notes"].revision == "0002"
    await database.migrate()


@pytest.fixture
def release(tmp_path, notes, monkeypatch):
    """Return what writes a second release of the plugin, whose migration ends with *code*."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(code: str, head: str = "0002") -> TableSet:
        # packages are imported: each needs a name of its own
        folder = tmp_path / f"acme_release_{next(NUMBERS)}"
        (folder / "migrations").mkdir(parents=True)
        (folder / "__init__.py").touch()
        first = (TABLES / "acme_notes" / "migrations" / "v0001_notes.py").read_text()
        (folder / "migrations" / "v0001.py").write_text(first)
        (folder / "migrations" / "v0002.py").write_text(SECOND.format(code=code))
        metadata = notes[2].Row.metadata
        return TableSet(metadata=metadata, migrations=f"{folder.name}.migrations", head=head)

    return write


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('acme: half-way')", "ValueError: acme: half-way"),
        ("op.execute('CREATE TABLE notes (x INTEGER)')", "notes.* already exists"),
        ("import acme_missing", "No module named 'acme_missing'"),
        ("return", "migrations end at revision '0002'.* declared as of '0003'"),
    ],
)
async def test_a_migration_that_breaks_half_way_leaves_nothing_and_names_its_plugin(
    database, tables, release, code, reason
):
    await database.migrate(tables(1))
    await add_note(database, "a")
    bad = release(code, head="0003" if code == "return" else "0002")

    with pytest.raises(StartupError, match=rf"(?s)^plugin 'notes': .*{reason}"):
        await database.migrate({"notes": bad})

    assert await notes_in(database) == [("a", "kept")]
    assert (await database.plugin_schemas(tables(1)))["notes"].revision == "0001"
    await database.migrate(tables(2))
    assert await notes_in(database, "name, body, colour") == [("a", "kept", "yellow")]


async def test_migrations_that_are_not_there_are_told(database, tables, notes):
    await database.migrate(tables(1))
    lost = TableSet(metadata=notes[2].Row.metadata, migrations="acme_notes.lost", head="0002")
    with pytest.raises(StartupError, match="plugin 'notes': there are no migrations in"):
        await database.migrate({"notes": lost})


OPEN = """
import asyncio, sys
from runtime_core.storage import {driver} as driver
from {package} import register_tables

async def main():
    database = driver.connect(sys.argv[1])
    await database.migrate({{"notes": register_tables()}})
    print("alembic" in sys.modules)
    await database.aclose()

asyncio.run(main())
"""


async def start(url: str, package: str, *, ends_with: int = 0) -> str:
    """Migrate in another process; return whether it needed alembic."""
    driver = "sqlite" if url.startswith("sqlite:") else "postgres"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", OPEN.format(driver=driver, package=package), url),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == ends_with, errors.decode()
    return output.decode().strip()


async def test_replicas_that_start_at_once_share_the_work(database_url, open_database, tables):
    for package in ("acme_notes_first", "acme_notes"):
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(start(database_url, package))

    database = open_database(database_url)
    assert (await database.plugin_schemas(tables(2)))["notes"].revision == "0002"
    assert await database.read(text("SELECT count(*) FROM runtime_notes_schema")) == [(1,)]


async def test_a_start_on_new_or_current_tables_does_not_import_alembic(database_url, tables):
    assert await start(database_url, "acme_notes") == "False"
    assert await start(database_url, "acme_notes") == "False"


async def test_a_crash_in_a_migration_costs_nothing(database, database_url, tables, release):
    await database.migrate(tables(1))
    await add_note(database, "a")
    folder = Path(sys.path[0]) / release("import os; os._exit(9)").migrations.split(".")[0]
    (folder / "__init__.py").write_text(
        "from acme_notes import Row\nfrom runtime_core.types import TableSet\n"
        "def register_tables():\n"
        f"    return TableSet(metadata=Row.metadata, migrations='{folder.name}.migrations', "
        "head='0002')\n"
    )
    await start(database_url, folder.name, ends_with=9)

    assert await notes_in(database) == [("a", "kept")]
    await database.migrate(tables(2))
    assert await notes_in(database, "name, body, colour") == [("a", "kept", "yellow")]


async def test_what_a_plugin_needs_is_public(database, tables, notes):
    """The plugin's own code, which imports nothing but the public kernel, on real tables."""
    await database.migrate(tables(2))
    source = notes[2].NoteHooks()
    services = Services(
        database=database, bus=None, egress=None, secrets=None, sealer=database.cipher, chains=None,
        runner=None, toolbox=None,
    )  # fmt: skip

    def tool(tool: str, tenant_id: str = "default", /, **arguments: str) -> ToolRequest:
        return ToolRequest(hook="notes", tool=tool, arguments=arguments, tenant_id=tenant_id)

    async with source.running(services):
        await source.call(tool("write", name="a", body="one"))
        with pytest.raises(Conflict, match="name 'a' is taken by another note"):
            await source.call(tool("write", name="a", body="two"))
        await source.call(tool("write", "other", name="a", body="theirs"))
        assert (await source.call(tool("read", name="a"))).data == "one (white)"
        assert (await source.call(tool("read", "other", name="a"))).data == "theirs (white)"
        with pytest.raises(NotFound, match="note 'b' not found"):
            await source.call(tool("read", name="b"))
        for number in range(5):
            await source.call(tool("write", name=f"n{number}", body=""))
        page = await source.notes.list("default", limit=4)
        rest = await source.notes.list("default", limit=4, cursor=page.next_cursor)
        assert [one.name for one in (*page.items, *rest.items)] == [
            "n4",
            "n3",
            "n2",
            "n1",
            "n0",
            "a",
        ]
        found = page.items[0]
        values = {"name": "new", "body": "b", "colour": "red"}
        changed = await source.notes.update("default", found.id, values)
        assert (changed.created_at, changed.name) == (found.created_at, "new")
        await source.notes.delete("default", "new", column="name")
        assert len((await source.notes.list("default")).items) == 5
