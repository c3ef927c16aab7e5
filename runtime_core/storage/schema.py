"""Which revision tables have, the kernel's and each plugin's, and how they get to the newest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct
from sqlalchemy import MetaData, inspect, text

from runtime_core.errors import StartupError
from runtime_core.storage.tables import Row
from runtime_core.types import version_table

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime_core.types import TableSet

__all__ = (
    "HEAD",
    "KERNEL",
    "KERNEL_TABLES",
    "VERSION_TABLE",
    "Schema",
    "SchemaState",
    "config_of",
    "read_revision",
    "schema_of",
    "upgrade",
)

#: The newest revision in ``migrations/versions``: known without importing alembic, which a start
#: on a new or an up-to-date database never does.
HEAD = "0003"

#: Not alembic's default name: the database may be shared with another program.
VERSION_TABLE = "runtime_core_schema"

_SCRIPTS = "runtime_core.storage:migrations"


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one owner, the kernel or a plugin, whose revision is counted on its own."""

    metadata: MetaData
    head: str
    version_table: str
    scripts: str
    plugin: str = ""


#: The kernel's own.
KERNEL = Schema(Row.metadata, HEAD, VERSION_TABLE, f"{_SCRIPTS}:versions")

#: Names that no plugin's table can have.
KERNEL_TABLES = (*Row.metadata.tables, VERSION_TABLE)


def schema_of(plugin: str, tables: TableSet) -> Schema:
    """Return the schema of a plugin's tables."""
    package, _, folder = tables.migrations.rpartition(".")
    return Schema(
        tables.metadata, tables.head, version_table(plugin), f"{package}:{folder}", plugin
    )


class SchemaState(Struct, frozen=True):
    """The revision of the tables (None: there are none) and the one this program wants."""

    revision: str | None
    head: str


async def read_revision(connection: AsyncConnection, schema: Schema = KERNEL) -> str | None:
    """Return the revision of the tables, None when there are none."""
    return await connection.run_sync(_revision, schema)


async def upgrade(connection: AsyncConnection, schema: Schema = KERNEL) -> None:
    """Create the tables, or run the missing migrations, in the open transaction.

    The transaction has locked others out.

    :raises StartupError: the tables are newer than this program.
    """
    await connection.run_sync(_upgrade, schema)


def _revision(connection: Connection, schema: Schema) -> str | None:
    if not inspect(connection).has_table(schema.version_table):
        return None
    revision: str | None = connection.scalar(
        text(f"SELECT version_num FROM {schema.version_table}")
    )
    return revision


def _upgrade(connection: Connection, schema: Schema) -> None:
    if not inspect(connection).has_table(schema.version_table):
        _create(connection, schema)
    elif (revision := _revision(connection, schema)) != schema.head:
        _migrate(connection, schema, revision)


def _create(connection: Connection, schema: Schema) -> None:
    """Give a new database the newest tables at once, without alembic's time and memory."""
    schema.metadata.create_all(connection, checkfirst=False)
    table = schema.version_table
    connection.execute(
        text(
            f"CREATE TABLE {table} (version_num VARCHAR(32) NOT NULL, "
            f"CONSTRAINT {table}_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text(f"INSERT INTO {table} VALUES (:head)"), {"head": schema.head})


def _migrate(connection: Connection, schema: Schema, revision: str | None) -> None:
    # here and not above: a start without migrations does without its time and memory
    from alembic import command
    from alembic.script import ScriptDirectory

    config = config_of(schema, connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if not known:
        raise StartupError(f"there are no migrations in {schema.scripts}")
    if revision is not None and revision not in known:
        raise StartupError(_newer(schema, revision))
    command.upgrade(config, "head")
    if (reached := _revision(connection, schema)) != schema.head:
        raise StartupError(
            f"its migrations end at revision {reached!r}, its tables are declared as of "
            f"{schema.head!r}"
        )


def config_of(schema: Schema, connection: Connection | None = None) -> Config:
    """Return what alembic has to know of a schema to run its migrations on *connection*."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "schema": schema})
    config.set_main_option("script_location", _SCRIPTS)
    config.set_main_option("version_locations", schema.scripts)
    # the one place of the scripts has a colon in it, and may have a space
    config.set_main_option("path_separator", "newline")
    return config


def _newer(schema: Schema, revision: str) -> str:
    if schema.plugin:
        return (
            f"its tables have schema revision {revision!r}, which the installed plugin does not "
            f"know (its newest is {schema.head!r}): a newer release of it wrote them. Install "
            "that release"
        )
    return (
        f"the database has schema revision {revision!r}, which this program does not know "
        f"(its newest is {schema.head!r}): a newer release wrote it. Start that release, or set "
        "DATABASE_URL to another database"
    )
