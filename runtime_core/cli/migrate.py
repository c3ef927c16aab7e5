"""``runtime migrate``: bring the database's tables up to date, as a start does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from runtime_core.cli.common import read_settings, startup_errors

if TYPE_CHECKING:
    from runtime_core.settings import Settings

__all__ = ("migrate",)


@click.command()
def migrate() -> None:
    """Bring the tables of DATABASE_URL up to date.

    A start does this too; do it yourself where the server's own account may not change tables.
    """
    settings = read_settings()
    with startup_errors():
        before, after = asyncio.run(_migrate(settings))
    click.echo(f"already at revision {after}" if before == after else f"now at revision {after}")


async def _migrate(settings: Settings) -> tuple[str | None, str | None]:
    from runtime_core.drivers import load_driver
    from runtime_core.settings import scheme_of

    url = settings.database_url
    database = load_driver("database", scheme_of(url))(url)
    try:
        before = await database.schema()
        await database.migrate()
        return before.revision, (await database.schema()).revision
    finally:
        await database.aclose()
