"""The tables, as the newest migration leaves them.

Every table belongs to tenants: ``tenant_id`` leads each primary key and index.  Bodies are the
JSON text of domain structs, so a new optional field needs no migration.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - SQLModel resolves annotations at run time

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from runtime_core.tables import Name, new_metadata

__all__ = (
    "BackendRow",
    "ChatMessageRow",
    "ChatSessionRow",
    "DownloadRow",
    "GroupBackendRow",
    "GroupModelRow",
    "GroupRow",
    "ModelRow",
    "ProviderConfigRow",
    "Row",
    "SecretRow",
    "TaskChainRow",
)


class Row(SQLModel):
    """Base of the kernel's tables; their metadata is apart from that of plugins."""

    metadata = new_metadata()


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


class BackendRow(Row, table=True):
    """A registered backend."""

    __tablename__ = "backends"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("tenant_id", "base_url"),
        Index(None, "tenant_id", "created_at", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    name: str = Field(sa_type=Name)
    base_url: str = Field(sa_type=Name)
    type: str = Field(sa_type=Name)
    created_at: datetime
    updated_at: datetime


class ModelRow(Row, table=True):
    """A declared model; ``context_length`` is in tokens."""

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("tenant_id", "model"),
        Index(None, "tenant_id", "created_at", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    model: str = Field(sa_type=Name)
    context_length: int
    can_chat: bool
    can_embed: bool
    can_prompt: bool
    can_stream: bool
    created_at: datetime
    updated_at: datetime


class GroupRow(Row, table=True):
    """An affinity group."""

    __tablename__ = "affinity_groups"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        Index(None, "tenant_id", "created_at", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    name: str = Field(sa_type=Name)
    purpose_type: str = Field(sa_type=Name)
    created_at: datetime
    updated_at: datetime


class GroupBackendRow(Row, table=True):
    """A backend is in a group."""

    __tablename__ = "affinity_group_backends"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["affinity_groups.tenant_id", "affinity_groups.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "backend_id"],
            ["backends.tenant_id", "backends.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "backend_id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    group_id: str = Field(primary_key=True, sa_type=Name)
    backend_id: str = Field(primary_key=True, sa_type=Name)
    assigned_at: datetime


class GroupModelRow(Row, table=True):
    """A model is in a group."""

    __tablename__ = "affinity_group_models"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["affinity_groups.tenant_id", "affinity_groups.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "model_id"],
            ["models.tenant_id", "models.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "model_id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    group_id: str = Field(primary_key=True, sa_type=Name)
    model_id: str = Field(primary_key=True, sa_type=Name)
    assigned_at: datetime


class ProviderConfigRow(Row, table=True):
    """The key of a provider type, which is the row's ``id``; ``api_key`` is sealed by `Cipher`."""

    __tablename__ = "provider_configs"
    __table_args__ = (Index(None, "tenant_id", "created_at", "id"),)

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    api_key: str = Field(sa_type=Text)
    created_at: datetime
    updated_at: datetime


class DownloadRow(Row, table=True):
    """A download; ``free_at`` is when others may take it, by the database's clock (Unix seconds).

    ``stored_backend_id`` is ``backend_id`` of a stored backend; others need a ``base_url``.
    """

    __tablename__ = "downloads"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "stored_backend_id"],
            ["backends.tenant_id", "backends.id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("tenant_id", "backend_id", "model"),
        Index(None, "tenant_id", "created_at", "id"),
        Index(None, "tenant_id", "stored_backend_id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    backend_id: str = Field(sa_type=Name)
    stored_backend_id: str | None = Field(sa_type=Name)
    base_url: str | None = Field(sa_type=Name)
    model: str = Field(sa_type=Name)
    priority: int
    status: str = Field(sa_type=Name)
    attempts: int
    completed: int = Field(sa_type=BigInteger)
    total: int = Field(sa_type=BigInteger)
    error: str = Field(sa_type=Text)
    owner: str = Field(sa_type=Name)
    free_at: float = Field(sa_type=Double)
    created_at: datetime
    updated_at: datetime


class SecretRow(Row, table=True):
    """A secret, whose name is the row's ``id``; ``value`` is sealed by `Cipher`."""

    __tablename__ = "secrets"
    __table_args__ = (Index(None, "tenant_id", "created_at", "id"),)

    tenant_id: str = Field(primary_key=True, sa_type=Name)
    id: str = Field(primary_key=True, sa_type=Name)
    value: str = Field(sa_type=Text)
    created_at: datetime
    updated_at: datetime
