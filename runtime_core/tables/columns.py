"""Tables as classes: what all of them have in common, whoever they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Text

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlmodel import SQLModel

__all__ = ("Name", "new_metadata", "table_of")

#: Names are ordered by their bytes on every database, whatever its locale.
Name = Text().with_variant(Text(collation="C"), "postgresql")


def new_metadata() -> MetaData:
    """Return the metadata of somebody's tables; keys and indexes get the same names everywhere."""
    return MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        }
    )


def table_of(row: type[SQLModel]) -> Table:
    """Return the SQLAlchemy table behind a row class."""
    return row.metadata.tables[str(row.__tablename__)]
