"""The series that results belong to: found, or made where a result is the first of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, and_, bindparam, select, update

from perfsuite.store.rows import Values
from perfsuite.store.statements import add_missing
from perfsuite.store.tables import EnvironmentRow, ResultRow, RunRow, SeriesRow

_OF_RUN = ("repository", "fingerprint", "kind")
_OF_RESULT = ("case_id", "version", "family", "device", "timer")
_RESULTS_A_QUERY = 500
"""Bounds the parameters of one query of an import."""

# The run's own part of the key, and the series of some cases that share it: one query a result that is saved.
# Made once, which takes longer than running it.
_FOUND = (
    select(RunRow.repository, EnvironmentRow.fingerprint, RunRow.kind, SeriesRow.id)
    .add_columns(*(getattr(SeriesRow, name) for name in _OF_RESULT))
    .join(EnvironmentRow, RunRow.environment_id == EnvironmentRow.id)
    .outerjoin(
        SeriesRow,
        and_(
            SeriesRow.case_id.in_(bindparam("cases", expanding=True)),
            SeriesRow.repository == RunRow.repository,
            SeriesRow.fingerprint == EnvironmentRow.fingerprint,
            SeriesRow.kind == RunRow.kind,
        ),
    )
    .where(RunRow.id == bindparam("run"))
)


def put_series(connection: Connection, results: Iterable[Values]) -> None:
    """Gives these rows of results the `series_id` that their run and they themselves ask for.

    A row whose run is not there gets none: the database then refuses the row.
    """
    of_runs: dict[str, list[Values]] = {}
    for row in results:
        of_runs.setdefault(row["run_id"], []).append(row)
    for run_id, rows in of_runs.items():
        for start in range(0, len(rows), _RESULTS_A_QUERY):
            _put(connection, run_id, rows[start : start + _RESULTS_A_QUERY])


def moved_runs(connection: Connection, rows: Mapping[str, Values]) -> list[str]:
    """Which of these runs, about to be stored again, are in the database as runs of another history."""
    columns = (RunRow.repository, RunRow.environment_id, RunRow.kind)
    query = select(RunRow.id, *columns).where(RunRow.id.in_(rows))
    return [
        run_id
        for run_id, *found in connection.execute(query)
        if found != [rows[run_id][column.key] for column in columns]
    ]


def move_results(connection: Connection, run_ids: Sequence[str]) -> None:
    """Gives the stored results of these runs their series anew."""
    columns = [getattr(ResultRow, name) for name in _OF_RESULT]
    query = select(ResultRow.id, ResultRow.run_id, *columns).where(ResultRow.run_id.in_(run_ids))
    rows: list[Values] = [dict(row._mapping) for row in connection.execute(query)]
    put_series(connection, rows)
    for row in rows:
        change = update(ResultRow).where(ResultRow.id == row["id"])
        connection.execute(change.values(series_id=row["series_id"]))


def _put(connection: Connection, run_id: str, rows: Sequence[Values]) -> None:
    asked = {"run": run_id, "cases": sorted({row["case_id"] for row in rows})}
    keys = [tuple(row[name] for name in _OF_RESULT) for row in rows]
    origin, known = _find(connection, asked)
    missing = set(keys) - known.keys()
    if origin and missing:
        of_run = dict(zip(_OF_RUN, origin, strict=True))
        made = {key: {**of_run, **dict(zip(_OF_RESULT, key, strict=True))} for key in missing}
        add_missing(connection, SeriesRow, made)
        # Asked for again: another process may have made some of them at this moment.
        origin, known = _find(connection, asked)
    for row, key in zip(rows, keys, strict=True):
        row["series_id"] = known.get(key)


def _find(
    connection: Connection, asked: Mapping[str, object]
) -> tuple[tuple[str, ...], dict[tuple[str, ...], int]]:
    """What the run gives to the key of its series, empty where there is no such run; and their ids, by what
    results give to it."""
    found = [tuple(row) for row in connection.execute(_FOUND, asked)]
    size = len(_OF_RUN)
    known = {row[size + 1 :]: row[size] for row in found if row[size] is not None}
    return (found[0][:size] if found else ()), known
