"""Run by Alembic for every migration; `schema.migrate` hands over the connection."""

from alembic import context

from perfsuite.store.schema import VERSION_TABLE
from perfsuite.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot alter most of a table: it is rebuilt instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
