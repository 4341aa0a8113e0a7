"""Run by Alembic: migrate on the connection, and in the transaction, that `store.schema` handed over."""

from __future__ import annotations

from alembic import context

from firewall.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    transactional_ddl=False,
)
context.run_migrations()
