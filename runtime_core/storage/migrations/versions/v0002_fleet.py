"""Backends, models, groups, the keys of providers, downloads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    _create_declarations()
    _create_assignments("affinity_group_backends", "backend_id", "backends")
    _create_assignments("affinity_group_models", "model_id", "models")
    _create_provider_configs()
    _create_downloads()


def downgrade() -> None:
    """Drop the tables, with everything in them."""
    op.drop_table("downloads")
    op.drop_table("provider_configs")
    op.drop_table("affinity_group_models")
    op.drop_table("affinity_group_backends")
    op.drop_table("affinity_groups")
    op.drop_table("models")
    op.drop_table("backends")


def _create_declarations() -> None:
    _create(
        "backends",
        sa.Column("name", NAME, nullable=False),
        sa.Column("base_url", NAME, nullable=False),
        sa.Column("type", NAME, nullable=False),
        sa.UniqueConstraint("tenant_id", "name", name="uq_backends_tenant_id_name"),
        sa.UniqueConstraint("tenant_id", "base_url", name="uq_backends_tenant_id_base_url"),
    )
    _create(
        "models",
        sa.Column("model", NAME, nullable=False),
        sa.Column("context_length", sa.Integer(), nullable=False),
        sa.Column("can_chat", sa.Boolean(), nullable=False),
        sa.Column("can_embed", sa.Boolean(), nullable=False),
        sa.Column("can_prompt", sa.Boolean(), nullable=False),
        sa.Column("can_stream", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("tenant_id", "model", name="uq_models_tenant_id_model"),
    )
    _create(
        "affinity_groups",
        sa.Column("name", NAME, nullable=False),
        sa.Column("purpose_type", NAME, nullable=False),
        sa.UniqueConstraint("tenant_id", "name", name="uq_affinity_groups_tenant_id_name"),
    )


def _create_assignments(table: str, member: str, members: str) -> None:
    op.create_table(
        table,
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("group_id", NAME, nullable=False),
        sa.Column(member, NAME, nullable=False),
        sa.Column("assigned_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "group_id", member, name=f"pk_{table}"),
        _reference(table, "group_id", "affinity_groups"),
        _reference(table, member, members),
    )
    op.create_index(f"ix_{table}_tenant_id_{member}", table, ["tenant_id", member])


def _create_provider_configs() -> None:
    _create("provider_configs", sa.Column("api_key", sa.Text(), nullable=False))


def _create_downloads() -> None:
    _create(
        "downloads",
        sa.Column("backend_id", NAME, nullable=False),
        sa.Column("stored_backend_id", NAME, nullable=True),
        sa.Column("base_url", NAME, nullable=True),
        sa.Column("model", NAME, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("status", NAME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("free_at", sa.Double(), nullable=False),
        _reference("downloads", "stored_backend_id", "backends"),
        sa.UniqueConstraint(
            "tenant_id", "backend_id", "model", name="uq_downloads_tenant_id_backend_id_model"
        ),
    )
    op.create_index(
        "ix_downloads_tenant_id_stored_backend_id",
        "downloads",
        ["tenant_id", "stored_backend_id"],
    )


def _create(table: str, *items: sa.schema.SchemaItem) -> None:
    """Create a table of rows with an id and times, and the index its listing uses."""
    op.create_table(
        table,
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        *items,
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_tenant_id_created_at_id", table, ["tenant_id", "created_at", "id"])


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{target}.tenant_id", f"{target}.id"],
        name=f"fk_{table}_{target}",
        ondelete="CASCADE",
    )
