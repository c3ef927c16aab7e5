from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from sqlalchemy import inspect, text

from runtime_core.errors import StartupError
from runtime_core.storage.schema import HEAD, VERSION_TABLE, SchemaState
from runtime_core.storage.tables import Row
from runtime_core.types import Chain, Message


def alembic_config(connection=None):
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "runtime_core.storage:migrations")
    return config


async def run_sync(database, work):
    """Run *work* on SQLAlchemy's synchronous connection, in a transaction."""

    async def on(connection):
        return await connection.run_sync(work)

    return await database.transaction(on)


async def migrated_from_nothing(database) -> None:
    """Put the tables that migrations make in place of those that were created at once."""
    from alembic import command

    def to_base(connection):
        command.downgrade(alembic_config(connection), "base")
        assert set(inspect(connection).get_table_names()) == {VERSION_TABLE}

    await run_sync(database, to_base)
    await database.migrate()


async def run_python(code: str, *arguments: str) -> str:
    """Run *code* in another process and return what it prints; warnings are errors there too."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", code, *arguments,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode()


OPEN = """
import asyncio, sys
from runtime_core.storage import {driver} as driver

async def main():
    database = driver.connect(sys.argv[1])
    await database.migrate()
    print(*sorted(name for name in ("alembic", "mako", "asyncpg") if name in sys.modules))
    await database.aclose()

asyncio.run(main())
"""


def opening(url: str) -> str:
    return OPEN.format(driver="sqlite" if url.startswith("sqlite:") else "postgres")


def test_the_constant_is_the_newest_script_and_the_history_is_a_line():
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(alembic_config())

    assert scripts.get_heads() == [HEAD]
    assert scripts.get_bases() == ["0001"]
    assert all(script.doc for script in scripts.walk_revisions())


async def test_migrations_and_tables_agree(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def differences(connection):
        options = {"version_table": VERSION_TABLE, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, Row.metadata)

    await migrated_from_nothing(database)

    assert await run_sync(database, differences) == []


async def test_migrations_and_tables_agree_on_keys_and_collations(database):
    """What alembic's comparison does not look at: every tenant's rows are apart."""

    def check(connection):
        inspector = inspect(connection)
        for table in Row.metadata.tables.values():
            key = inspector.get_pk_constraint(table.name)
            assert key["constrained_columns"] == [column.name for column in table.primary_key]
            assert key["constrained_columns"][0] == "tenant_id"
            assert key["name"] == table.primary_key.name
            for index in inspector.get_indexes(table.name):
                assert index["column_names"][0] == "tenant_id"
            for unique in inspector.get_unique_constraints(table.name):
                assert unique["column_names"][0] == "tenant_id"
            for foreign in inspector.get_foreign_keys(table.name):
                assert foreign["constrained_columns"][0] == "tenant_id"
                assert foreign["options"] == {"ondelete": "CASCADE"}
            if connection.dialect.name == "postgresql":
                for column in inspector.get_columns(table.name):
                    wanted = table.c[column["name"]].type.dialect_impl(connection.dialect)
                    collation = getattr(wanted, "collation", None)
                    assert getattr(column["type"], "collation", None) == collation

    await run_sync(database, check)
    await migrated_from_nothing(database)
    await run_sync(database, check)


async def to_revision(database, revision: str) -> None:
    """Bring the tables to an older revision, with what was in them."""
    from alembic import command

    await run_sync(database, lambda one: command.downgrade(alembic_config(one), revision))


async def test_a_database_of_the_first_release_keeps_what_is_in_it(database_url, open_database):
    from alembic import command

    database = open_database(database_url)
    await run_sync(database, lambda one: command.upgrade(alembic_config(one), "0001"))
    chain = await database.chains.put("default", Chain(id="a", description="kept"))
    message = Message(role="user", content="kept")
    await database.sessions.append("default", "s", "a", [message])
    assert (await database.schema()).revision == "0001"

    await database.migrate()

    assert await database.schema() == SchemaState(revision=HEAD, head=HEAD)
    assert await database.chains.get("default", "a") == chain
    assert (await database.sessions.get("default", "s")).messages == (message,)
    backend = await database.backends.create("default", name="b", base_url="u", type="t")
    await database.groups.ensure_builtin("default")
    await database.groups.assign_backend("default", "internal_chat_group", backend.id)
    job = await database.downloads.enqueue("default", backend.id, "m")
    assert (await database.downloads.claim("owner", lease=60, per_backend=9))[1].id == job.id


async def test_undoing_the_fleet_leaves_the_rest(database):
    chain = await database.chains.put("default", Chain(id="a"))
    backend = await database.backends.create("default", name="b", base_url="u", type="t")
    await database.downloads.enqueue("default", backend.id, "m")
    await to_revision(database, "0001")
    assert await database.chains.get("default", "a") == chain
    await database.migrate()
    assert (await database.backends.list("default")).items == []
    assert await database.chains.get("default", "a") == chain


async def test_every_migration_can_be_undone_and_done_again(database):
    await migrated_from_nothing(database)

    assert await database.schema() == SchemaState(revision=HEAD, head=HEAD)
    await database.chains.put("default", Chain(id="a"))


async def test_migrating_again_changes_nothing(database):
    await database.chains.put("default", Chain(id="a"))
    await database.migrate()

    assert await database.schema() == SchemaState(revision=HEAD, head=HEAD)
    assert (await database.chains.get("default", "a")).chain.id == "a"


async def test_an_empty_database_has_no_revision(database_url, open_database):
    database = open_database(database_url)

    assert await database.schema() == SchemaState(revision=None, head=HEAD)


async def test_a_start_on_a_new_or_current_database_does_not_import_alembic(database_url):
    own = [] if database_url.startswith("sqlite:") else ["asyncpg"]
    for _ in range(2):
        started = await run_python(opening(database_url), database_url)
        assert started.split() == own


async def test_replicas_that_start_at_once_share_the_work(database_url, open_database):
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(run_python(opening(database_url), database_url))

    database = open_database(database_url)
    assert (await database.schema()).revision == HEAD
    assert await database.read(text(f"SELECT count(*) FROM {VERSION_TABLE}")) == [(1,)]
    await database.chains.put("default", Chain(id="a"))


async def test_rooms_of_one_process_may_migrate_at_once(database_url, open_database):
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(open_database(database_url).migrate())


async def test_a_start_on_an_up_to_date_database_waits_for_no_lock(database):
    locked, started = asyncio.Event(), asyncio.Event()

    async def hold(connection) -> None:
        for statement in database._driver.migration_lock:
            await connection.execute(text(statement))
        await connection.execute(text("DELETE FROM task_chains"))
        locked.set()
        await started.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(database.transaction(hold))
        await locked.wait()
        try:
            async with asyncio.timeout(2):
                await database.migrate()
        finally:
            started.set()


async def test_a_database_from_a_newer_release_is_left_alone(database):
    await database.write(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    expected = rf"'9999'.*newest is '{HEAD}'.*newer release"
    with pytest.raises(StartupError, match=expected) as caught:
        await database.migrate()
    assert "DATABASE_URL" in str(caught.value)
    assert (await database.schema()).revision == "9999"


async def test_a_migration_that_breaks_half_way_leaves_nothing(database_url, open_database):
    database = open_database(database_url)
    # in the way of the last table of the first migration
    await database.write(text("CREATE TABLE chat_messages (x INTEGER)"))

    with pytest.raises(StartupError, match="already exists"):
        await database.migrate()
    names = await run_sync(database, lambda connection: inspect(connection).get_table_names())
    assert names == ["chat_messages"]

    await database.write(text("DROP TABLE chat_messages"))
    await database.migrate()
    await database.chains.put("default", Chain(id="a"))


async def test_the_tables_of_another_program_are_left_alone(database_url, open_database):
    database = open_database(database_url)
    await database.write(text("CREATE TABLE alembic_version (version_num TEXT)"))
    await database.write(text("INSERT INTO alembic_version VALUES ('theirs')"))
    await database.migrate()

    assert await database.read(text("SELECT version_num FROM alembic_version")) == [("theirs",)]
