"""The tables, as the newest migration leaves them.

Every table belongs to tenants: ``tenant_id`` leads each primary key and index.  Bodies are the
JSON text of domain structs, so a new optional field needs no migration.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - SQLModel resolves annotations at run time

from sqlalchemy import ForeignKeyConstraint, Index, MetaData, Table, Text
from sqlmodel import Field, SQLModel

__all__ = ("ChatMessageRow", "ChatSessionRow", "Row", "TaskChainRow", "table_of")

#: Names are ordered by their bytes on every database, whatever its locale.
Name = Text().with_variant(Text(collation="C"), "postgresql")


class Row(SQLModel):
    """Base of the kernel's tables; their metadata is apart from that of plugins."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        }
    )


class TaskChainRow(Row, table=True):
    """A stored task chain; ``body`` is a `Chain`."""

    __tablename__ = "task_chains"
    __table_args__ = (Index(None, "tenant_id", "created_at", "id"),)

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    body: str = Field(sa_type=Text)
    created_at: datetime
    updated_at: datetime


class ChatSessionRow(Row, table=True):
    """A conversation; ``message_count`` is also the sequence number of its next message."""

    __tablename__ = "chat_sessions"
    __table_args__ = (Index(None, "tenant_id", "created_at", "id"),)

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    chain_id: str = Field(sa_type=Name)
    message_count: int
    created_at: datetime
    updated_at: datetime


class ChatMessageRow(Row, table=True):
    """One message of a conversation, numbered from 0; ``body`` is a `Message`."""

    __tablename__ = "chat_messages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["chat_sessions.tenant_id", "chat_sessions.id"],
            ondelete="CASCADE",
        ),
    )

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    session_id: str = Field(primary_key=True, sa_type=Name)
    sequence: int = Field(primary_key=True)
    body: str = Field(sa_type=Text)


def table_of(row: type[Row]) -> Table:
    """Return the SQLAlchemy table behind a row class."""
    return Row.metadata.tables[str(row.__tablename__)]
