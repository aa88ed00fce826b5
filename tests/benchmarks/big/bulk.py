"""Rows of results in bulk: what a service writes in years, in minutes."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import psycopg

from perfsuite.store.engine import parse_address
from perfsuite.store.statements import column_names
from perfsuite.store.tables import ResultRow, SeriesRow

_ROWS_AT_A_TIME = 20_000
_POINTS = "ix_results_points"
COLUMNS = column_names(ResultRow)
SERIES_COLUMNS = column_names(SeriesRow)
Row = Sequence[Any]
Rows = Callable[[], Sequence[Row]]


def load(url: str, results: Iterable[Row], series: Rows) -> int:
    """Writes results, in the order of `COLUMNS`, then the series that they name; how many results."""
    address = parse_address(url)
    if address.path:
        return _sqlite(str(address.path), results, series)
    return _postgres(address.text.replace("+psycopg", ""), results, series)


def _sqlite(path: str, results: Iterable[Row], series: Rows) -> int:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-2000000")
    (index,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (_POINTS,)).fetchone()
    connection.execute(f"DROP INDEX {_POINTS}")
    connection.execute("BEGIN")
    count = 0
    for rows in _portions(results):
        connection.executemany(_insert("results", COLUMNS), rows)
        count += len(rows)
    connection.executemany(_insert("series", SERIES_COLUMNS), series())
    connection.execute("COMMIT")
    connection.execute(index)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return count


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _postgres(url: str, results: Iterable[Row], series: Rows) -> int:
    count = 0
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("SET maintenance_work_mem = '1GB'")
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", (_POINTS,))
        (index,) = cursor.fetchone() or ("",)
        cursor.execute(f"DROP INDEX {_POINTS}")
        # Series come after the results that name them.
        cursor.execute("ALTER TABLE results DISABLE TRIGGER ALL")
        with cursor.copy(f"COPY results ({', '.join(COLUMNS)}) FROM STDIN") as copy:
            for row in results:
                copy.write_row(row)
                count += 1
        places = ", ".join(["%s"] * len(SERIES_COLUMNS))
        insert = f"INSERT INTO series ({', '.join(SERIES_COLUMNS)}) VALUES ({places})"
        cursor.executemany(insert, list(series()))
        cursor.execute("ALTER TABLE results ENABLE TRIGGER ALL")
        cursor.execute(index)
        for table in ("results", "series"):
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
        # As autovacuum does for whoever does not load in bulk.
        cursor.execute("VACUUM ANALYZE")
    return count


def _portions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    whole = iter(rows)
    while portion := list(itertools.islice(whole, _ROWS_AT_A_TIME)):
        yield portion
