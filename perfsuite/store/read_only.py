"""Opening a database that is only read: it is not created, not migrated, not changed."""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from perfsuite.errors import StoreError, UsageError
from perfsuite.store import engine as engines
from perfsuite.store.failures import told
from perfsuite.store.reader import Reader
from perfsuite.store.schema import REVISION, check_revision, stored_revision

BUSY_TIMEOUT_S = 3.0
"""How long a lock is waited for: a page that says why there is nothing beats one that does not come."""
_PRIMARY = 0xFF
"""SQLite's extended error codes carry the primary code in their low byte."""
_NO_LOG = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def open_reader(url_or_path: str | os.PathLike[str]) -> Reader:
    """Opens a database that is there and of this version, for reading only.

    Args:
        url_or_path: as `open_store` takes it; the file and its folder may be read-only.

    Raises:
        UsageError: not an address of a supported database.
        StoreError: missing, locked, damaged, not a database of ours, empty, or of another version.
        StoreUnwritable: it cannot be opened, or no connection.
    """
    address = engines.parse_address(url_or_path)
    if address.path is not None:
        engines.check_file(address.path)
    reader = Reader(_make_engine(address), address.label)
    try:
        _check(reader, address.label)
    except BaseException:
        reader.close()
        raise
    return reader


def _check(reader: Reader, label: str) -> None:
    with told(label), reader._engine.connect() as connection:
        revision = stored_revision(connection)
    check_revision(revision, label)
    if revision is None:
        raise StoreError(
            f"{label} holds nothing of perfsuite yet",
            "measure with `perfsuite run` first, or name another database with --db",
        )
    if revision != REVISION:
        raise StoreError(
            f"{label} has tables of version {revision}, this perfsuite reads version {REVISION}",
            "`perfsuite db migrate` brings it up to date, where it can be written",
        )


def _make_engine(address: engines.Address) -> Engine:
    if address.path is not None:
        # Opened anew for each transaction, half a millisecond: so a file that is replaced, or that a writer
        # comes to, is never read by what was known of it before. A map of the file or a larger cache made
        # nothing faster.
        connect = partial(_connect, address.path)
        engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
        engines.listen(engine, foreign_keys=False)
        return engine
    if address.url.get_backend_name() == "sqlite":
        raise UsageError("a database in memory holds nothing to read", "name its file with --db")
    # Compiling a query takes longer than any of ours; times in UTC are read three times as fast.
    settings = f"-c jit=off -c timezone=UTC -c lock_timeout={BUSY_TIMEOUT_S * 1000:.0f}"
    return engines.server_engine(address, options=settings)


def _connect(path: Path) -> sqlite3.Connection:
    connection = _open(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        connection.close()
        # In a read-only folder SQLite cannot make the files by which readers and writers agree. Where they
        # are not there nobody has it open, and it is read as what cannot change.
        log = path.with_name(f"{path.name}-wal")
        in_use = log.exists() and log.stat().st_size > 0
        if error.sqlite_errorcode & _PRIMARY not in _NO_LOG or in_use:
            raise
        connection = _open(path, "immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, how: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
