"""Remote hooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "remote_hooks",
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("endpoint_url", sa.Text(), nullable=False),
        sa.Column("timeout_ms", sa.Integer(), nullable=False),
        sa.Column("injection", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_remote_hooks"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_remote_hooks_tenant_id_name"),
    )
    op.create_index(
        "ix_remote_hooks_tenant_id_created_at_id",
        "remote_hooks",
        ["tenant_id", "created_at", "id"],
    )


def downgrade() -> None:
    """Drop the table, with everything in it."""
    op.drop_table("remote_hooks")
