"""``runtime migrate``: bring the database's tables up to date, as a start does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from runtime_core.cli.common import read_settings, startup_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_core.settings import Settings
    from runtime_core.storage.database import Database
    from runtime_core.types import TableSet

__all__ = ("migrate",)


@click.command()
def migrate() -> None:
    """Bring the tables of DATABASE_URL up to date, the kernel's and the plugins'.

    A start does this too; do it yourself where the server's own account may not change tables.
    """
    settings = read_settings()
    with startup_errors():
        before, after = asyncio.run(_migrate(settings))
    for owner, revision in after.items():
        at = "already at" if before[owner] == revision else "now at"
        click.echo(f"{owner}{at} revision {revision}")


async def _migrate(settings: Settings) -> tuple[dict[str, str | None], dict[str, str | None]]:
    from runtime_core.app import load_plugins
    from runtime_core.drivers import load_driver
    from runtime_core.settings import scheme_of

    tables = load_plugins(settings).tables
    url = settings.database_url
    database = load_driver("database", scheme_of(url))(url)
    try:
        before = await _revisions(database, tables)
        await database.migrate(tables)
        return before, await _revisions(database, tables)
    finally:
        await database.aclose()


async def _revisions(database: Database, tables: Mapping[str, TableSet]) -> dict[str, str | None]:
    """Return the revisions by what is said before them: nothing for the kernel's own."""
    plugins = await database.plugin_schemas(tables)
    kernel = await database.schema()
    return {"": kernel.revision} | {
        f"plugin {name}: ": one.revision for name, one in plugins.items()
    }
