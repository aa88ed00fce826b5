"""What a database driver raises, told in our words: what happened, where, and the next step."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from perfsuite.errors import StoreError, StoreUnwritable

_SQLITE_PRIMARY = 0xFF
"""SQLite's extended error codes carry the primary code in their low byte."""
_OTHER_DATABASE = "name another database with --db, or move this file away: a new one is then created"
_UNWRITABLE = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space; what was stored before is still there"),
    sqlite3.SQLITE_IOERR: ("the disk refuses", "check free space, quota and limits of the disk"),
    sqlite3.SQLITE_READONLY: ("it is read-only", "make it writable, or name another database with --db"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "check the path and its permissions"),
    sqlite3.SQLITE_PERM: ("permission denied", "make it writable, or name another database with --db"),
    sqlite3.SQLITE_BUSY: ("another process has held it locked for too long", "wait for it, then try again"),
    sqlite3.SQLITE_LOCKED: ("another connection has held it locked for too long", "try again"),
}
_UNUSABLE = {
    sqlite3.SQLITE_NOTADB: ("it is not a SQLite database", _OTHER_DATABASE),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged",
        "`sqlite3 FILE .recover` saves what can be saved; or restore it from an export",
    ),
}
_PG_UNWRITABLE = {
    "53100": ("its disk is full", "free some space on the server; what was stored before is still there"),
    "25006": ("it is read-only", "name the primary server with --db"),
    "42501": ("permission denied", "grant this role the right to create and write tables in its schema"),
    "3F000": (
        "this role sees no schema to create tables in",
        "grant it the schema public, or set its search_path",
    ),
    "55P03": ("it has been locked for too long", "try again"),
    "53300": ("it has too many connections", "close some, or raise max_connections"),
    "57P03": ("it is starting or stopping", "try again"),
}
_PG_UNUSABLE = {
    "3D000": ("there is no such database", "create it with createdb"),
    "28P01": ("the password is wrong", "mend the URL"),
    "42P07": (
        "another program has a table of a name that perfsuite needs",
        "give perfsuite a database of its own",
    ),
    "28000": ("this role may not log in", "mend the URL or pg_hba.conf"),
}
_RETRYABLE = frozenset({"40001", "40P01"})
"""PostgreSQL: serialization failure and deadlock. The transaction is undone whole and may be run again."""


@contextmanager
def told(label: str) -> Iterator[None]:
    """Turns what the driver raises inside into StoreError or StoreUnwritable.

    Args:
        label: the database for people, without its password.
    """
    try:
        yield
    except DBAPIError as error:
        lost = isinstance(error, OperationalError | InterfaceError)
        raise _translated(error.orig, label, lost=lost) from error
    except sqlite3.Error as error:
        raise _translated(error, label, lost=False) from error
    except PoolTimeout as error:
        raise StoreUnwritable(f"{label}: all connections are in use", "close some readers") from error


def retryable(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed when it is run again."""
    return getattr(error.orig, "sqlstate", None) in _RETRYABLE


def _translated(driver: BaseException | None, label: str, *, lost: bool) -> StoreError:
    code = getattr(driver, "sqlite_errorcode", None)
    if code is not None:
        return _found(code & _SQLITE_PRIMARY, _UNWRITABLE, _UNUSABLE, label, str(driver))
    state = getattr(driver, "sqlstate", None)
    if state is not None:
        return _found(state, _PG_UNWRITABLE, _PG_UNUSABLE, label, str(driver))
    if lost:
        return StoreUnwritable(
            f"{label}: no connection ({_first_line(driver)})", "start the server, or mend the address in --db"
        )
    return StoreError(f"{label}: {_first_line(driver)}", "`perfsuite db check` looks for damage")


def _found(
    code: int | str,
    unwritable: Mapping[Any, tuple[str, str]],
    unusable: Mapping[Any, tuple[str, str]],
    label: str,
    detail: str,
) -> StoreError:
    for kind, known in ((StoreUnwritable, unwritable), (StoreError, unusable)):
        entry = known.get(code)
        if entry:
            what, next_step = entry
            return kind(f"{label}: {what} ({_first_line(detail)})", next_step)
    return StoreError(f"{label}: {_first_line(detail)}", "`perfsuite db check` looks for damage")


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
