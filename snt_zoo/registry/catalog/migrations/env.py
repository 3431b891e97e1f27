"""What alembic runs: the steps, on the connection that it is handed, in the transaction of its caller."""

from __future__ import annotations

from alembic import context

from snt_zoo.registry.catalog.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
