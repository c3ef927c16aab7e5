"""Task chains and chat sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "task_chains",
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_task_chains"),
    )
    op.create_index(
        "ix_task_chains_tenant_id_created_at_id", "task_chains", ["tenant_id", "created_at", "id"]
    )
    op.create_table(
        "chat_sessions",
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("chain_id", NAME, nullable=False),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_chat_sessions"),
    )
    op.create_index(
        "ix_chat_sessions_tenant_id_created_at_id",
        "chat_sessions",
        ["tenant_id", "created_at", "id"],
    )
    op.create_table(
        "chat_messages",
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("session_id", NAME, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "session_id", "sequence", name="pk_chat_messages"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["chat_sessions.tenant_id", "chat_sessions.id"],
            name="fk_chat_messages_chat_sessions",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Drop the tables, with everything in them."""
    op.drop_table("chat_messages")
    op.drop_table("chat_sessions")
    op.drop_table("task_chains")
