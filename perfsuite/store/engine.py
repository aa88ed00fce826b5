"""From a path or URL to a SQLAlchemy engine with the settings that both databases need."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from perfsuite.errors import MachineError, StoreError, StoreUnwritable, UsageError

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another: longer than any transaction of ours, an import included."""
CONNECT_TIMEOUT_S = 10
STATE_FOLDER = ".perfsuite"
_WRITE = "perfsuite_write"
_SECRETS = ("password", "sslpassword", "passfile")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is."""

    url: URL
    path: Path | None
    """The file of a SQLite database, None in memory and for a server."""
    wait_s: float | None = None
    """How long a lock is waited for; None: as long as a writer may take."""

    @property
    def text(self) -> str:
        """Opens the same database again: the path of a file, the URL of a server with its password."""
        # A path: not every SQLAlchemy quotes a `?` in a file's name.
        if self.path:
            return str(self.path)
        return self.url.render_as_string(hide_password=False)

    @property
    def label(self) -> str:
        """For people: never with a password."""
        if self.path:
            return str(self.path)
        shown = self.url.set(drivername=self.url.get_backend_name())
        shown = shown.difference_update_query([name for name in _SECRETS if name in self.url.query])
        return shown.render_as_string(hide_password=True)


def parse_address(url_or_path: str | os.PathLike[str]) -> Address:
    """`.perfsuite/perfsuite.db`, `sqlite:///file.db` or `postgresql://user@host/name`.

    Raises:
        UsageError: not an address, or of a database that is not supported.
    """
    text = os.fspath(url_or_path)
    if not text:
        raise UsageError("the name of the database is empty", "give a path or a URL with --db")
    if "://" not in text:
        return _file_address(Path(text).expanduser())
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Not shown: what cannot be parsed may still hold a password.
        raise UsageError("the URL of the database cannot be read", "postgresql://user@host/name") from None
    backend = "postgresql" if url.drivername == "postgres" else url.get_backend_name()
    if backend == "postgresql":
        return Address(url.set(drivername="postgresql+psycopg"), None)
    if backend != "sqlite":
        raise UsageError(f"databases of the kind {backend!r} are not supported", "use SQLite or PostgreSQL")
    if url.database in (None, "", ":memory:"):
        return Address(url.set(drivername="sqlite+pysqlite"), None)
    return _file_address(Path(str(url.database)).expanduser())


def make_engine(address: Address, *, foreign_keys: bool = True, pooled: bool = True) -> Engine:
    """The engine. `foreign_keys=False` is for migrations, which rebuild tables on SQLite."""
    options: dict[str, Any] = {} if pooled or address.path is None else {"poolclass": NullPool}
    if address.url.get_backend_name() == "sqlite":
        engine = create_engine(address.url, connect_args={"timeout": busy_timeout_s(address)}, **options)
        listen(engine, foreign_keys=foreign_keys)
        return engine
    limits = {} if address.wait_s is None else {"options": f"-c lock_timeout={address.wait_s * 1000:.0f}"}
    return server_engine(address, **limits)


def busy_timeout_s(address: Address) -> float:
    """How long SQLite waits for a lock."""
    return BUSY_TIMEOUT_S if address.wait_s is None else address.wait_s


def server_engine(address: Address, **settings: str) -> Engine:
    """The engine of a PostgreSQL database.

    Args:
        settings: of each connection, where the address does not say otherwise.

    Raises:
        MachineError: its driver is not installed.
    """
    connect = {"application_name": "perfsuite", "connect_timeout": CONNECT_TIMEOUT_S, **settings}
    given = {key: value for key, value in connect.items() if key not in address.url.query}
    try:
        return create_engine(address.url, pool_pre_ping=True, connect_args=given)
    except (ImportError, NoSuchModuleError):
        raise MachineError(
            "PostgreSQL needs psycopg, which is not installed", "pip install 'perfsuite[postgres]'"
        ) from None


def writing(engine: Engine) -> Engine:
    """The same engine for transactions that write.

    SQLite takes its write lock at once: a transaction that reads first and writes later would fail, not
    wait, when another process wrote in between.
    """
    return engine.execution_options(**{_WRITE: True})


def reading(engine: Engine) -> Engine:
    """The same engine for transactions that read: all their queries see one state of the database."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def prepare_file(path: Path, *, create: bool) -> None:
    """Makes the folder of a SQLite file and turns on its write-ahead log.

    Raises:
        StoreError: it is missing and not to be created, or is no file.
        StoreUnwritable: the file or its folder is read-only.
    """
    if not create or path.is_dir():
        check_file(path)
    try:
        if not path.exists():
            _make_folder(path.parent)
    except OSError as error:
        raise StoreUnwritable(
            f"{path.parent}: the folder cannot be created ({error.strerror})", "name another place with --db"
        ) from None
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreUnwritable(
                f"{place} is read-only", "make it writable, or name another database with --db"
            )


def check_file(path: Path) -> None:
    """Raises: StoreError, it is missing or is no file."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder", "name the database's file with --db")
    if not path.exists():
        raise StoreError(
            f"there is no database at {path}",
            "measure with `perfsuite run` first, or name another database with --db",
        )


def use_write_ahead_log(engine: Engine, wait_s: float) -> None:
    """Readers and writers do not block each other from then on; the file remembers it."""
    deadline = time.monotonic() + wait_s
    raw = engine.raw_connection()
    try:
        while True:
            try:
                raw.driver_connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[union-attr]
                return
            except sqlite3.OperationalError as error:
                # Two processes that create the file at the same moment: SQLite does not wait by itself here.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
    finally:
        raw.close()


def _file_address(path: Path) -> Address:
    path = path.absolute()
    return Address(URL.create("sqlite+pysqlite", database=str(path)), path)


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if folder.name == STATE_FOLDER and not ignore.exists():
        # As pytest does for its cache: the database must not make a watched repository look changed.
        ignore.write_text("*\n", encoding="utf-8")


def listen(engine: Engine, *, foreign_keys: bool) -> None:
    """Sets every connection of a SQLite engine up, and begins its transactions."""

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        # Python's own transaction control is off: it would not begin before DDL, nor before reads.
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
