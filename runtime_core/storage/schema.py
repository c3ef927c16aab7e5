"""Which revision the tables have, and how they get to the newest one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from sqlalchemy import inspect, text

from runtime_core.errors import StartupError
from runtime_core.storage.tables import Row

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("HEAD", "VERSION_TABLE", "SchemaState", "read_revision", "upgrade")

#: The newest revision in ``migrations/versions``: known without importing alembic, which a start
#: on a new or an up-to-date database never does.
HEAD = "0003"

#: Not alembic's default name: the database may be shared with another program.
VERSION_TABLE = "runtime_core_schema"


class SchemaState(Struct, frozen=True):
    """The revision of the tables (None: there are none) and the one this program wants."""

    revision: str | None
    head: str


async def read_revision(connection: AsyncConnection) -> str | None:
    """Return the revision of the tables, None when there are none."""
    return await connection.run_sync(_revision)


async def upgrade(connection: AsyncConnection) -> None:
    """Create the tables, or run the missing migrations, in the open transaction.

    The transaction has locked others out.

    :raises StartupError: the tables are newer than this program.
    """
    await connection.run_sync(_upgrade)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return revision


def _upgrade(connection: Connection) -> None:
    if not inspect(connection).has_table(VERSION_TABLE):
        _create(connection)
    elif (revision := _revision(connection)) != HEAD:
        _migrate(connection, revision)


def _create(connection: Connection) -> None:
    """Give a new database the newest tables at once, without alembic's time and memory."""
    Row.metadata.create_all(connection, checkfirst=False)
    connection.execute(
        text(
            f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
            f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:head)"), {"head": HEAD})


def _migrate(connection: Connection, revision: str | None) -> None:
    # here and not above: a start without migrations does without its time and memory
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "runtime_core.storage:migrations")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise StartupError(
            f"the database has schema revision {revision!r}, which this program does not know "
            f"(its newest is {HEAD!r}): a newer release wrote it. Start that release, or set "
            "DATABASE_URL to another database"
        )
    command.upgrade(config, "head")
