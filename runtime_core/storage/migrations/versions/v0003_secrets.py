"""Named secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "secrets",
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_secrets"),
    )
    op.create_index(
        "ix_secrets_tenant_id_created_at_id", "secrets", ["tenant_id", "created_at", "id"]
    )


def downgrade() -> None:
    """Drop the table, with everything in it."""
    op.drop_table("secrets")
