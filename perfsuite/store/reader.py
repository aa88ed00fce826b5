"""Reading the store: model values only, a fixed number of queries a call, one state of the database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sqlalchemy import ColumnElement, CompoundSelect, Engine, or_, select, union_all
from sqlalchemy.orm import Session, aliased, defer

from perfsuite.model import (
    Alert,
    AlertState,
    Comparison,
    Environment,
    Noise,
    Result,
    Run,
    Status,
    Timer,
)
from perfsuite.store.alerts import given, newest_alerts, read_alerts
from perfsuite.store.engine import reading
from perfsuite.store.failures import told
from perfsuite.store.find import choose
from perfsuite.store.job_reader import JobReader
from perfsuite.store.noise import read_noise
from perfsuite.store.queries import (
    HISTORY_ORDER,
    is_of,
    newest_comparisons,
    newest_runs,
    read_comparisons,
    read_launches,
    read_run,
    read_runs,
    repository_names,
)
from perfsuite.store.reuse import SameCode, timed_before
from perfsuite.store.rows import to_result
from perfsuite.store.tables import (
    AlertRow,
    ComparisonRow,
    EnvironmentRow,
    ResultRow,
    RunRow,
    SeriesRow,
)
from perfsuite.store.trends import TrendReader, given_series
from perfsuite.summary import TimeSummary

LATEST = "latest"
_TIMES = (ResultRow.median_ns, ResultRow.low_ns, ResultRow.high_ns)
_NEAR = 200
"""So many of the newest runs are looked through for a near miss of a mistyped name."""


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One case in one run, without its samples."""

    run: Run
    status: Status
    version: str
    timer: Timer
    median_ns: float | None
    low_ns: float | None
    high_ns: float | None


class Reader:
    """What the dashboard and the reports read.

    Every method raises StoreError where the database cannot be read.
    """

    def __init__(self, engine: Engine, label: str) -> None:
        self.label = label
        """The database for people, without a password."""
        self._engine = reading(engine)
        self.jobs = JobReader(engine, label)
        """What is to be done, who asked for it, and who does it."""
        self.trends = TrendReader(engine, label)
        """The history in narrow columns, for the dashboard."""

    def close(self) -> None:
        """Closes all connections, those of the store that it belongs to included."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def runs(
        self,
        *,
        limit: int | None = 50,
        kind: str | None = None,
        repository: str | None = None,
        shas: Collection[str] | None = None,
    ) -> list[Run]:
        """The newest runs first; of one kind or repository, or of some commits."""
        query = newest_runs().limit(limit)
        if kind is not None:
            query = query.where(RunRow.kind == kind)
        if repository is not None:
            query = query.where(RunRow.repository == repository if shas is None else is_of(repository))
        if shas is not None:
            query = query.where(RunRow.sha.in_(shas))
        with self._session() as session:
            return read_runs(session, query)

    def run(self, ref: str) -> Run:
        """The run of an id, of the beginning of an id or of a commit's sha (its newest run), or "latest".

        Raises:
            UsageError: no such run, or the beginning of several; names the nearest.
        """
        newest = newest_runs()
        with self._session() as session:
            if ref == LATEST:
                found = read_runs(session, newest.limit(1))
            else:
                found = read_runs(session, newest.where(RunRow.id.in_(_named(ref.lower()))))
                if not found and ref:
                    found = read_runs(session, newest.where(_starts(ref.lower())))
            return choose("run", ref, found, lambda: read_runs(session, newest.limit(_NEAR)), self.label)

    def results(self, run_id: str, *, samples: bool = True) -> list[Result]:
        """All results of a run in the order of their first saving; without samples their blocks are empty."""
        query = select(ResultRow).where(ResultRow.run_id == run_id).order_by(ResultRow.id)
        wanted = select(ResultRow.launches_id).where(ResultRow.run_id == run_id).distinct()
        if not samples:
            query = query.options(defer(ResultRow.samples, raiseload=True))
        with self._session() as session:
            launches = read_launches(session, wanted)
            rows = session.scalars(query)
            return [to_result(row, launches, row.samples if samples else None) for row in rows]

    def times(self, run_id: str) -> dict[str, TimeSummary]:
        """Case → its summary, without decoding samples; cases without a time are not in it."""
        query = select(*_TIMES, ResultRow.rounds, ResultRow.case_id).where(
            ResultRow.run_id == run_id, ResultRow.median_ns.is_not(None)
        )
        with self._session() as session:
            rows = session.execute(query.order_by(ResultRow.id))
            return {
                case: TimeSummary(median, low, high, rounds)
                for median, low, high, rounds, case in rows
                if median is not None and low is not None and high is not None
            }

    def finished_cases(self, run_id: str) -> set[str]:
        """The cases of a run that have a result, red ones included."""
        with self._session() as session:
            return set(session.scalars(select(ResultRow.case_id).where(ResultRow.run_id == run_id)))

    def unfinished_run(
        self,
        *,
        sha: str,
        dirty: str,
        fingerprint: str,
        profile: str,
        pattern: str,
        suite: str,
        repository: str,
        kind: str = "run",
        finished: bool = False,
    ) -> Run | None:
        """The newest run that was started with all of this and not finished: what `--resume` goes on with.

        Args:
            finished: one that was finished instead (`--once`).
        """
        query = newest_runs().where(
            RunRow.sha == sha,
            RunRow.dirty == dirty,
            RunRow.finished_at.is_not(None) if finished else RunRow.finished_at.is_(None),
            EnvironmentRow.fingerprint == fingerprint,
            RunRow.profile == profile,
            RunRow.pattern == pattern,
            RunRow.suite == suite,
            is_of(repository),
            RunRow.kind == kind,
        )
        with self._session() as session:
            return next(iter(read_runs(session, query.limit(1))), None)

    def unfinished_comparison(
        self,
        *,
        base_sha: str,
        head_sha: str,
        head_dirty: str,
        fingerprint: str,
        profile: str,
        pattern: str,
        suite: str,
        repository: str,
        kind: str = "compare",
        finished: bool = False,
    ) -> Comparison | None:
        """The newest comparison that was started with all of this and not finished, or finished."""
        base, head = aliased(RunRow), aliased(RunRow)
        query = (
            newest_comparisons()
            .join(base, ComparisonRow.base_id == base.id)
            .join(head, ComparisonRow.head_id == head.id)
            .join(EnvironmentRow, head.environment_id == EnvironmentRow.id)
            .where(
                ComparisonRow.finished_at.is_not(None) if finished else ComparisonRow.finished_at.is_(None),
                ComparisonRow.kind == kind,
                base.sha == base_sha,
                head.sha == head_sha,
                head.dirty == head_dirty,
                head.profile == profile,
                head.pattern == pattern,
                head.suite == suite,
                is_of(repository, head),
                EnvironmentRow.fingerprint == fingerprint,
            )
        )
        with self._session() as session:
            return next(iter(read_comparisons(session, query.limit(1))), None)

    def timed_before(self, wanted: SameCode) -> list[str]:
        """The ids of finished comparisons that timed that very code on both sides, newest first."""
        with self._session() as session:
            return list(session.scalars(timed_before(wanted)))

    def comparisons(self, *, limit: int = 20, kind: str | None = None) -> list[Comparison]:
        """The newest comparisons first."""
        query = newest_comparisons().limit(limit)
        if kind is not None:
            query = query.where(ComparisonRow.kind == kind)
        with self._session() as session:
            return read_comparisons(session, query)

    def comparison(self, ref: str) -> Comparison:
        """The comparison of an id, of its beginning, or "latest".

        Raises:
            UsageError: no such comparison, or the beginning of several; names the nearest.
        """
        newest = newest_comparisons()
        with self._session() as session:
            if ref == LATEST:
                found = read_comparisons(session, newest.limit(1))
            else:
                start = ComparisonRow.id.startswith(ref.lower(), autoescape=True)
                found = read_comparisons(session, newest.where(start)) if ref else []
            near = newest.limit(_NEAR)
            return choose("comparison", ref, found, lambda: read_comparisons(session, near), self.label)

    def cases(self) -> list[str]:
        """All case ids that have a result, sorted."""
        return self.trends.cases(kinds=None)

    def repositories(self, *, kinds: Sequence[str] | None = None) -> list[str]:
        """The repositories that have runs, or runs of these kinds, sorted."""
        names = repository_names()
        query = select(names.c.name).where(names.c.name.is_not(None))
        if kinds is not None:
            there = select(RunRow.id).where(RunRow.repository == names.c.name, RunRow.kind.in_(kinds))
            query = query.where(there.exists())
        with self._session() as session:
            # Sorted here: the databases have orders of their own.
            return sorted(session.scalars(query))

    def series(
        self,
        case: str,
        fingerprint: str | None = None,
        *,
        repository: str | None = None,
        kinds: Sequence[str] | None = None,
    ) -> list[SeriesPoint]:
        """One case over all runs, the oldest commit first; of one environment, repository or kind of run."""
        columns = (ResultRow.status, SeriesRow.version, SeriesRow.timer)
        query = (
            select(RunRow, EnvironmentRow, *columns, *_TIMES)
            .join(ResultRow, ResultRow.run_id == RunRow.id)
            .join(SeriesRow, ResultRow.series_id == SeriesRow.id)
            .join(EnvironmentRow, RunRow.environment_id == EnvironmentRow.id)
            .where(SeriesRow.case_id == case, *given_series(repository, fingerprint, kinds))
            .order_by(*HISTORY_ORDER)
        )
        with self._session() as session:
            environments: dict[str, Environment] = {}
            return [
                SeriesPoint(read_run(run, held, environments), Status(status), version, Timer(timer), *times)
                for run, held, status, version, timer, *times in session.execute(query)
            ]

    def noise(self, repository: str, fingerprint: str) -> dict[str, tuple[str, Noise]]:
        """Case → its newest version, and what all comparisons of that version in this environment showed."""
        with self._session() as session:
            return read_noise(session, repository, fingerprint)

    def alerts(
        self,
        repository: str | None = None,
        case: str | None = None,
        states: Sequence[AlertState] | None = None,
        kind: str | None = None,
    ) -> list[Alert]:
        """The newest alerts first; of one repository, case or kind, or of some states."""
        query = newest_alerts().where(*given(repository, case, states, kind))
        with self._session() as session:
            return read_alerts(session, query)

    def alert(self, ref: str) -> Alert:
        """The alert of an id, or of its beginning.

        Raises:
            UsageError: no such alert, or the beginning of several; names the nearest.
        """
        newest = newest_alerts()
        with self._session() as session:
            start = AlertRow.id.startswith(ref.lower(), autoescape=True)
            found = read_alerts(session, newest.where(start)) if ref else []
            near = newest.limit(_NEAR)
            return choose("alert", ref, found, lambda: read_alerts(session, near), self.label)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with told(self.label), Session(self._engine) as session:
            yield session


def _named(name: str) -> CompoundSelect[str]:
    """Ids of the runs of an id or a whole sha: two searches in indexes, whatever a database makes of OR."""
    return union_all(*(select(RunRow.id).where(column == name) for column in (RunRow.id, RunRow.sha)))


def _starts(name: str) -> ColumnElement[bool]:
    """Whether an id or a sha begins so; looks through all runs."""
    return or_(*(column.startswith(name, autoescape=True) for column in (RunRow.id, RunRow.sha)))
