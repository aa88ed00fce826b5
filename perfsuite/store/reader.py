"""Reading the store: model values only, a fixed number of queries a call, one state of the database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, Select, func, select
from sqlalchemy.orm import Session, aliased, defer

from perfsuite.model import (
    Alert,
    AlertState,
    Comparison,
    Environment,
    Kernel,
    Launches,
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
from perfsuite.store.reuse import SameCode, timed_before
from perfsuite.store.rows import to_comparison, to_environment, to_kernel, to_launches, to_result, to_run
from perfsuite.store.tables import (
    AlertRow,
    ComparisonRow,
    EnvironmentRow,
    KernelRow,
    LaunchesRow,
    LaunchKernelRow,
    ResultRow,
    RunRow,
)
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

    def runs(
        self,
        *,
        limit: int | None = 50,
        kind: str | None = None,
        repository: str | None = None,
        shas: Collection[str] | None = None,
    ) -> list[Run]:
        """The newest runs first; of one kind or repository, or of some commits."""
        query = _newest_runs().limit(limit)
        if kind is not None:
            query = query.where(RunRow.kind == kind)
        if repository is not None:
            query = query.where(RunRow.repository == repository)
        if shas is not None:
            query = query.where(RunRow.sha.in_(shas))
        with self._session() as session:
            return _to_runs(session, query)

    def run(self, ref: str) -> Run:
        """The run of an id, of the beginning of an id or of a commit's sha (its newest run), or "latest".

        Raises:
            UsageError: no such run, or the beginning of several; names the nearest.
        """
        newest = _newest_runs()
        with self._session() as session:
            if ref == LATEST:
                found = _to_runs(session, newest.limit(1))
            else:
                starts = (
                    RunRow.id.startswith(ref.lower(), autoescape=True),
                    RunRow.sha.startswith(ref.lower(), autoescape=True),
                )
                found = _to_runs(session, newest.where(starts[0] | starts[1])) if ref else []
            return choose("run", ref, found, lambda: _to_runs(session, newest.limit(_NEAR)), self.label)

    def results(self, run_id: str, *, samples: bool = True) -> list[Result]:
        """All results of a run in the order of their first saving; without samples their blocks are empty."""
        query = select(ResultRow).where(ResultRow.run_id == run_id).order_by(ResultRow.id)
        if not samples:
            query = query.options(defer(ResultRow.samples, raiseload=True))
        with self._session() as session:
            launches = _launches_of(session, run_id)
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
        query = _newest_runs().where(
            RunRow.sha == sha,
            RunRow.dirty == dirty,
            RunRow.finished_at.is_not(None) if finished else RunRow.finished_at.is_(None),
            EnvironmentRow.fingerprint == fingerprint,
            RunRow.profile == profile,
            RunRow.pattern == pattern,
            RunRow.suite == suite,
            RunRow.repository == repository,
            RunRow.kind == kind,
        )
        with self._session() as session:
            return next(iter(_to_runs(session, query.limit(1))), None)

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
            _newest_comparisons()
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
                head.repository == repository,
                EnvironmentRow.fingerprint == fingerprint,
            )
        )
        with self._session() as session:
            return next(iter(_to_comparisons(session, query.limit(1))), None)

    def timed_before(self, wanted: SameCode) -> list[str]:
        """The ids of finished comparisons that timed that very code on both sides, newest first."""
        with self._session() as session:
            return list(session.scalars(timed_before(wanted)))

    def comparisons(self, *, limit: int = 20, kind: str | None = None) -> list[Comparison]:
        """The newest comparisons first."""
        query = _newest_comparisons().limit(limit)
        if kind is not None:
            query = query.where(ComparisonRow.kind == kind)
        with self._session() as session:
            return _to_comparisons(session, query)

    def comparison(self, ref: str) -> Comparison:
        """The comparison of an id, of its beginning, or "latest".

        Raises:
            UsageError: no such comparison, or the beginning of several; names the nearest.
        """
        newest = _newest_comparisons()
        with self._session() as session:
            if ref == LATEST:
                found = _to_comparisons(session, newest.limit(1))
            else:
                start = ComparisonRow.id.startswith(ref.lower(), autoescape=True)
                found = _to_comparisons(session, newest.where(start)) if ref else []
            near = newest.limit(_NEAR)
            return choose("comparison", ref, found, lambda: _to_comparisons(session, near), self.label)

    def cases(self) -> list[str]:
        """All case ids that have a result, sorted."""
        # One step through the index for each case, where DISTINCT would walk over every result.
        steps = select(func.min(ResultRow.case_id).label("name")).cte("steps", recursive=True)
        following = select(func.min(ResultRow.case_id)).where(ResultRow.case_id > steps.c.name)
        steps = steps.union_all(select(following.scalar_subquery()).where(steps.c.name.is_not(None)))
        with self._session() as session:
            names = session.scalars(select(steps.c.name).where(steps.c.name.is_not(None)))
            return sorted(names)

    def repositories(self, *, kinds: Sequence[str] | None = None) -> list[str]:
        """The repositories that have runs, or runs of these kinds, sorted."""
        query = select(RunRow.repository).distinct()
        if kinds is not None:
            query = query.where(RunRow.kind.in_(kinds))
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
        columns = (ResultRow.status, ResultRow.version, ResultRow.timer)
        query = (
            select(RunRow, EnvironmentRow, *columns, *_TIMES)
            .join(RunRow, ResultRow.run_id == RunRow.id)
            .join(EnvironmentRow, RunRow.environment_id == EnvironmentRow.id)
            .where(*_given(case, fingerprint, repository, kinds))
            .order_by(
                func.coalesce(RunRow.committed_at, RunRow.started_at),
                # Commits of a batch that was merged have one time, to the second.
                func.coalesce(RunRow.position, 0),
                RunRow.started_at,
                RunRow.id,
            )
        )
        with self._session() as session:
            environments: dict[str, Environment] = {}
            return [
                SeriesPoint(_run(run, held, environments), Status(status), version, Timer(timer), *times)
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


def _given(
    case: str, fingerprint: str | None, repository: str | None, kinds: Sequence[str] | None
) -> Iterator[ColumnElement[bool]]:
    yield ResultRow.case_id == case
    if fingerprint is not None:
        yield EnvironmentRow.fingerprint == fingerprint
    if repository is not None:
        yield RunRow.repository == repository
    if kinds is not None:
        yield RunRow.kind.in_(kinds)


def _newest_runs() -> Select[RunRow, EnvironmentRow]:
    return (
        select(RunRow, EnvironmentRow)
        .join(EnvironmentRow, RunRow.environment_id == EnvironmentRow.id)
        .order_by(RunRow.started_at.desc(), RunRow.id.desc())
    )


def _newest_comparisons() -> Select[ComparisonRow]:
    return select(ComparisonRow).order_by(ComparisonRow.started_at.desc(), ComparisonRow.id.desc())


def _to_runs(session: Session, query: Select[RunRow, EnvironmentRow]) -> list[Run]:
    environments: dict[str, Environment] = {}
    return [_run(run, environment, environments) for run, environment in session.execute(query)]


def _to_comparisons(session: Session, query: Select[ComparisonRow]) -> list[Comparison]:
    rows = session.scalars(query).all()
    ids = {run_id for row in rows for run_id in (row.base_id, row.head_id)}
    runs = {run.id: run for run in _to_runs(session, _newest_runs().where(RunRow.id.in_(ids)))}
    return [to_comparison(row, runs[row.base_id], runs[row.head_id]) for row in rows]


def _run(row: RunRow, environment: EnvironmentRow, known: dict[str, Environment]) -> Run:
    # Many runs share one environment: it is decoded once.
    if environment.id not in known:
        known[environment.id] = to_environment(environment)
    return to_run(row, known[environment.id])


def _launches_of(session: Session, run_id: str) -> dict[str, Launches]:
    """The launch lists of a run's results by id, in two queries however many there are."""
    wanted = select(ResultRow.launches_id).where(ResultRow.run_id == run_id).distinct()
    kernels: dict[str, list[Kernel]] = {}
    decoded: dict[str, Kernel] = {}
    links = (
        select(LaunchKernelRow.launches_id, KernelRow.id, KernelRow.document)
        .join(KernelRow, LaunchKernelRow.kernel_id == KernelRow.id)
        .where(LaunchKernelRow.launches_id.in_(wanted))
        .order_by(LaunchKernelRow.launches_id, LaunchKernelRow.position)
    )
    for launches_id, kernel_id, document in session.execute(links):
        kernel = decoded.setdefault(kernel_id, to_kernel(kernel_id, document))
        kernels.setdefault(launches_id, []).append(kernel)
    lists = select(LaunchesRow.id, LaunchesRow.document).where(LaunchesRow.id.in_(wanted))
    return {
        launches_id: to_launches(launches_id, document, tuple(kernels.get(launches_id, ())))
        for launches_id, document in session.execute(lists)
    }
