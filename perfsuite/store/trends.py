"""Reading the history for the dashboard: narrow columns of many rows, a fixed number of queries a call.

Nothing here decodes samples but `result`. Values of a hundred thousand rows are tuples, not model values.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    Executable,
    Select,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Session, defer

from perfsuite.model import Commit, Comparison, Job, JobKind, Launches, Result, Status, Timer
from perfsuite.store.engine import reading
from perfsuite.store.failures import told
from perfsuite.store.history import HISTORY, Cell, Machine, Place, Point, SeriesInfo
from perfsuite.store.job_reader import to_job
from perfsuite.store.queries import (
    HISTORY_ORDER,
    is_of,
    newest_comparisons,
    newest_of_histories,
    read_comparisons,
    read_launches,
)
from perfsuite.store.rows import to_environment, to_listing, to_result
from perfsuite.store.tables import (
    ComparisonRow,
    EnvironmentRow,
    JobRow,
    ListingRow,
    ResultRow,
    RunRow,
    SeriesRow,
)

__all__ = ["HISTORY", "Cell", "Machine", "Place", "Point", "SeriesInfo", "TrendReader"]

UNTRUSTED = "untrusted"
"""Detail of an environment in which a stranger's code ran."""
_COMMIT = (
    RunRow.sha,
    RunRow.subject,
    RunRow.author,
    RunRow.committed_at,
    RunRow.branch,
    RunRow.dirty,
    RunRow.position,
)
"""In the order of the fields of `Commit`."""


class TrendReader:
    """What the pages of the dashboard read, made for millions of results.

    Every method raises StoreError where the database cannot be read, or what it holds is damaged.
    """

    def __init__(self, engine: Engine, label: str) -> None:
        self.label = label
        """The database for people, without a password."""
        self._engine = reading(engine)

    def stamp(self) -> str:
        """Another text whenever a run, result or comparison was added or finished: for caches."""
        newest = [
            select(row.id, row.finished_at).order_by(row.started_at.desc(), row.id.desc()).limit(1)
            for row in (RunRow, ComparisonRow)
        ]
        with self._session() as session:
            found = [tuple(row) for query in newest for row in session.execute(query)]
            return repr((found, session.scalar(select(func.max(ResultRow.id)))))

    def repositories(self) -> list[str]:
        """Those that have a history, those of the newest runs first."""
        with self._session() as session:
            return list(dict.fromkeys(run.repository for run, _ in newest_of_histories(session, None)))

    def machines(self, repository: str | None = None) -> list[Machine]:
        """Those that measured a history, of one repository or all; the one of the newest run first."""
        with self._session() as session:
            newest = newest_of_histories(session, repository)
            known = _counts(session, {(run.repository, run.environment_id) for run, _ in newest})
        found: dict[str, list[tuple[RunRow, EnvironmentRow]]] = {}
        for run, environment in newest:
            found.setdefault(environment.fingerprint, []).append((run, environment))
        return [_machine(rows, known) for rows in found.values()]

    def series(
        self,
        repository: str | None = None,
        case: str | None = None,
        fingerprint: str | None = None,
        kinds: Sequence[str] | None = HISTORY,
    ) -> list[SeriesInfo]:
        """All series, or those of a repository, case, machine, and of these kinds of runs (None: of all)."""
        query = select(
            SeriesRow.id,
            SeriesRow.repository,
            SeriesRow.kind,
            SeriesRow.case_id,
            SeriesRow.version,
            SeriesRow.family,
            SeriesRow.device,
            SeriesRow.timer,
            SeriesRow.fingerprint,
        )
        if case is not None:
            query = query.where(SeriesRow.case_id == case)
        query = query.where(*given_series(repository, fingerprint, kinds)).order_by(SeriesRow.id)
        with self._session() as session:
            found = session.execute(query)
            return [SeriesInfo(*row[:7], Timer(row[7]), row[8]) for row in found]

    def cases(
        self,
        repository: str | None = None,
        fingerprint: str | None = None,
        kinds: Sequence[str] | None = HISTORY,
    ) -> list[str]:
        """Ids of the cases that have results there, sorted."""
        given = given_series(repository, fingerprint, kinds)
        with self._session() as session:
            # Sorted here: the databases have orders of their own.
            return sorted(session.scalars(select(SeriesRow.case_id).where(*given).distinct()))

    def places(
        self,
        repository: str,
        fingerprint: str,
        *,
        kinds: Sequence[str] = HISTORY,
        limit: int | None = None,
    ) -> list[Place]:
        """The runs of a history, the oldest commit first; of `limit`, the newest so many."""
        environments = select(EnvironmentRow.id, EnvironmentRow.document).where(
            EnvironmentRow.fingerprint == fingerprint
        )
        query = (
            select(
                RunRow.id,
                RunRow.started_at,
                RunRow.finished_at,
                RunRow.environment_id,
                RunRow.profile,
                RunRow.kind,
                *_COMMIT,
            )
            .where(RunRow.repository == repository, RunRow.kind.in_(kinds))
            .order_by(*(column.desc() for column in HISTORY_ORDER))
            .limit(limit)
        )
        with self._session() as session:
            trusted = {key: _trusted(document) for key, document in session.execute(environments)}
            rows = _narrow(session, query.where(RunRow.environment_id.in_(trusted)))
        return [
            Place(
                run_id, Commit(*commit), started, finished, environment, profile, kind, trusted[environment]
            )
            for run_id, started, finished, environment, profile, kind, *commit in reversed(rows)
        ]

    def commits(self, repository: str, shas: Collection[str]) -> dict[str, Commit]:
        """Whole shas → what is known of these commits, of those that have a run."""
        query = select(*_COMMIT).where(RunRow.sha.in_(shas), is_of(repository))
        with self._session() as session:
            # The newest run comes last and stays.
            return {
                row.sha: Commit(*row)
                for row in _narrow(session, query.order_by(RunRow.started_at, RunRow.id))
            }

    def points(self, series_ids: Collection[int]) -> list[Point]:
        """All points of some series, in no order."""
        query = select(
            ResultRow.series_id,
            ResultRow.run_id,
            ResultRow.status,
            ResultRow.median_ns,
            ResultRow.low_ns,
            ResultRow.high_ns,
            ResultRow.error_rms,
            ResultRow.roofline_fraction,
            ResultRow.launches_id,
        ).where(ResultRow.series_id.in_(series_ids))
        with self._session() as session:
            return [Point(row[0], row[1], Status(row[2]), *row[3:]) for row in _narrow(session, query)]

    def cells(self, run_ids: Collection[str]) -> list[Cell]:
        """The results of some runs, in no order."""
        query = select(
            ResultRow.run_id,
            ResultRow.case_id,
            ResultRow.family,
            ResultRow.status,
            ResultRow.median_ns,
            ResultRow.version,
            ResultRow.timer,
            ResultRow.launches_id,
            ResultRow.error_rms,
        ).where(ResultRow.run_id.in_(run_ids))
        with self._session() as session:
            rows = _narrow(session, query)
            return [
                Cell(run_id, case, family, Status(status), median_ns, version, Timer(timer), *others)
                for run_id, case, family, status, median_ns, version, timer, *others in rows
            ]

    def counts(self, run_ids: Collection[str]) -> dict[str, Counter[str]]:
        """Run id → status → number of results; a run without results is not in it."""
        key = (ResultRow.run_id, ResultRow.status)
        query = select(*key, func.count()).where(ResultRow.run_id.in_(run_ids)).group_by(*key)
        found: dict[str, Counter[str]] = {}
        with self._session() as session:
            for run_id, status, number in session.execute(query):
                found.setdefault(run_id, Counter())[status] = number
        return found

    def launches(self, ids: Collection[str]) -> dict[str, Launches]:
        """Launch lists by id, kernels without listings."""
        with self._session() as session:
            return read_launches(session, sorted(ids))

    def listing(self, target: str, hash: str) -> str | None:
        """Machine code of a kernel's main loop as text (`Kernel.listing`); None where it is not known."""
        return self.listings([(target, hash)]).get((target, hash))

    def listings(self, kernels: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """(target, hash) → machine code, of those of these kernels of which it is known."""
        targets, hashes = {target for target, _ in kernels}, {code for _, code in kernels}
        query = select(ListingRow).where(ListingRow.target.in_(targets), ListingRow.hash.in_(hashes))
        with self._session() as session:
            found = {(row.target, row.hash): to_listing(row) for row in session.scalars(query)}
            return {key: found[key] for key in sorted(kernels) if key in found}

    def result(self, run_id: str, case: str, *, samples: bool = True) -> Result | None:
        """One result; without samples its blocks are empty."""
        with self._session() as session:
            return _result(session, run_id, case, samples=samples)

    def latest(self, case: str, fingerprint: str, repository: str | None = None) -> Result | None:
        """The newest result of a case in a history, without its samples."""
        with self._session() as session:
            found = newest_of_histories(session, repository, fingerprint, case)
            return _result(session, found[0][0].id, case, samples=False) if found else None

    def comparisons_of(
        self,
        *,
        sha: str | None = None,
        run_id: str | None = None,
        repository: str | None = None,
        limit: int = 50,
    ) -> list[Comparison]:
        """The newest comparisons first: those of a commit or run, on whichever side, or of a repository."""
        query = newest_comparisons().limit(limit)
        if sha is not None:
            runs = select(RunRow.id).where(RunRow.sha == sha)
            query = query.where(or_(ComparisonRow.base_id.in_(runs), ComparisonRow.head_id.in_(runs)))
        if run_id is not None:
            query = query.where(or_(ComparisonRow.base_id == run_id, ComparisonRow.head_id == run_id))
        if repository is not None:
            # Not joined: the newest comparisons are looked through, not the runs of the repository.
            name = select(RunRow.repository).where(RunRow.id == ComparisonRow.head_id)
            query = query.where(name.scalar_subquery() == repository)
        with self._session() as session:
            return read_comparisons(session, query)

    def pull_comparisons(self, repository: str, pull: int) -> list[tuple[Job, Comparison]]:
        """What was measured of a pull request, the oldest push first."""
        jobs = (
            select(JobRow)
            .where(JobRow.repository == repository, JobRow.pull == pull)
            .where(JobRow.kind == JobKind.COMPARE.value, JobRow.comparison != "")
            .order_by(JobRow.created_at, JobRow.id)
        )
        with self._session() as session:
            found = [to_job(row) for row in session.scalars(jobs)]
            wanted = ComparisonRow.id.in_({job.comparison for job in found})
            known = {item.id: item for item in read_comparisons(session, select(ComparisonRow).where(wanted))}
        return [(job, known[job.comparison]) for job in found if job.comparison in known]

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with told(self.label), Session(self._engine) as session:
            yield session


def _narrow(session: Session, query: Executable) -> Sequence[Any]:
    """The rows of a query for columns; a session would do more for each than the database."""
    return session.connection().execute(query).all()


def _counts(session: Session, places: Collection[tuple[str, str]]) -> dict[str, int]:
    """Environment → number of its runs in the histories of these (repository, environment)."""
    query = (
        select(RunRow.environment_id, func.count())
        .where(RunRow.repository.in_({repository for repository, _ in places}))
        .where(RunRow.environment_id.in_({environment for _, environment in places}))
        .where(RunRow.kind.in_(HISTORY))
        .group_by(RunRow.environment_id)
    )
    return dict(_narrow(session, query))


def _machine(found: Sequence[tuple[RunRow, EnvironmentRow]], counts: Mapping[str, int]) -> Machine:
    """Of the newest runs of its environments, the newest first, and the number of all runs by environment."""
    run, environment = found[0]
    rows = {row.id: row for _, row in found}
    return Machine(
        environment.fingerprint,
        to_environment(environment),
        tuple(dict.fromkeys(row.host for row in rows.values())),
        run.started_at,
        run.id,
        sum(counts[key] for key in rows),
    )


def given_series(
    repository: str | None, fingerprint: str | None, kinds: Sequence[str] | None
) -> Iterator[ColumnElement[bool]]:
    """Conditions on series for what is given."""
    if repository is not None:
        yield SeriesRow.repository == repository
    if fingerprint is not None:
        yield SeriesRow.fingerprint == fingerprint
    if kinds is not None:
        yield SeriesRow.kind.in_(kinds)


def _result(session: Session, run_id: str, case: str, *, samples: bool) -> Result | None:
    query: Select[ResultRow] = select(ResultRow).where(ResultRow.run_id == run_id, ResultRow.case_id == case)
    if not samples:
        query = query.options(defer(ResultRow.samples, raiseload=True))
    row = session.scalar(query)
    if row is None:
        return None
    launches = read_launches(session, [row.launches_id] if row.launches_id else [])
    return to_result(row, launches, row.samples if samples else None)


def _trusted(document: str) -> bool:
    try:
        return not json.loads(document).get("details", {}).get(UNTRUSTED)
    except (ValueError, AttributeError):
        # Damaged: `machines` and `db check` name it.
        return True
