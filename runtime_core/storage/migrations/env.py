"""Run by alembic around migrations: on the connection, and in the transaction, it is given."""

from __future__ import annotations

from alembic import context

from runtime_core.storage.schema import KERNEL

schema = context.config.attributes.get("schema", KERNEL)
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.version_table,
    # SQLite cannot alter most of a table in place
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
