"""What a plugin keeps in the server's database."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

__all__ = ("TableSet", "table_prefix", "version_table")


class TableSet(Struct, frozen=True, kw_only=True):
    """The tables of a plugin, and the migrations that lead to them.

    A new database gets the tables of ``metadata`` (SQLAlchemy's, see
    `runtime_core.tables.new_metadata`) at once; an older one the missing scripts of the package
    ``migrations`` (``runtime_acme.migrations``), which are Alembic's.  ``head`` is the newest
    revision in there: four digits, counted up from ``0001``.
    """

    metadata: Any
    migrations: str
    head: str = "0001"


def version_table(plugin: str) -> str:
    """Return the table that holds the revision of a plugin's tables."""
    return f"runtime_{table_prefix(plugin)}_schema"


def table_prefix(plugin: str) -> str:
    """Return what the names of a plugin's tables are, or begin with before a ``_``."""
    return re.sub(r"[^a-z0-9_]", "_", plugin.lower())
