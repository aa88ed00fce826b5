"""Which version of the tables a database has, and bringing it to ours.

To change the tables: change `tables.py`, add the next `migrations/versions/r000N_*.py` with its way back,
and set `REVISION`. The tests compare both, up and down, on SQLite and PostgreSQL.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from perfsuite.errors import StoreError
from perfsuite.store.engine import Address, make_engine, writing
from perfsuite.store.tables import Base

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "0005"
"""The newest version; opening a database of this version does not need Alembic at all."""
VERSION_TABLE = "perfsuite_schema"
"""Not Alembic's usual name: a PostgreSQL database may be shared with others who use Alembic."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x70657266
"""Key of PostgreSQL's advisory lock around migrations ("perf")."""


def stored_revision(connection: Connection) -> str | None:
    """Version of the database's tables, None where there are none of ours.

    Raises:
        StoreError: it holds other tables that stand in the way.
    """
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return None if found is None else str(found)
    # A server's database may be shared; a file that holds something else was named by mistake.
    foreign = tables if connection.dialect.name == "sqlite" else tables & set(Base.metadata.tables)
    if foreign:
        names = ", ".join(sorted(foreign)[:3])
        raise StoreError(
            f"the database belongs to another program: it holds the tables {names}",
            "name another database with --db",
        )
    return None


def check_revision(revision: str | None, label: str) -> None:
    """Refuses what only a newer version can read.

    Raises:
        StoreError: the database is newer, or its version is unknown.
    """
    if revision is None or (re.fullmatch(r"\d{4}", revision) and revision <= REVISION):
        return
    raise StoreError(
        f"{label} was written by a newer perfsuite (tables of version {revision}, this one knows {REVISION})",
        "update perfsuite (pip install -U perfsuite), or name another database with --db",
    )


def migrate(address: Address, revision: str = REVISION) -> None:
    """Brings the database to `revision` (empty: no tables), up or down, in one transaction.

    Two processes may do so at the same moment: the second waits, then finds nothing to do.

    Raises:
        StoreError: the database is newer than this program.
    """
    from alembic import command

    engine = make_engine(address, foreign_keys=False, pooled=False)
    try:
        with writing(engine).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            stored = stored_revision(connection)
            check_revision(stored, address.label)
            config = alembic_config(connection)
            if (stored or "") < revision:
                command.upgrade(config, revision)
            elif (stored or "") != revision:
                command.downgrade(config, revision or "base")
    finally:
        engine.dispose()


def alembic_config(connection: Connection) -> Config:
    """Alembic without a file: the migrations that ship in this package, on this connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
