"""Statements that several writers share: insert or replace, in portions, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from perfsuite.store.rows import Values
from perfsuite.store.tables import Base

_ROWS_A_STATEMENT = 500
"""Bounds the size of one statement of an import."""


def add_missing(connection: Connection, row: type[Base], rows: Mapping[Any, Values]) -> None:
    """Inserts what is not there yet."""
    # Sorted, so that two writers of the same contents wait for each other instead of deadlocking.
    ordered = [rows[key] for key in sorted(rows)]
    execute(connection, insert(connection, row).on_conflict_do_nothing(), ordered)


def insert(connection: Connection, row: type[Base]) -> Any:
    """An INSERT that knows ON CONFLICT."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return make(row)


def execute(connection: Connection, statement: Any, rows: Iterable[Values]) -> None:
    """Runs a statement for all these rows; for none, not at all."""
    values = list(rows)
    for start in range(0, len(values), _ROWS_A_STATEMENT):
        connection.execute(statement, values[start : start + _ROWS_A_STATEMENT])


def column_names(row: type[Base]) -> list[str]:
    """In the order of the table."""
    table = row.__table__
    assert isinstance(table, Table)
    return [column.name for column in table.columns]
