"""Queries that several readers share, and the model values of what they find."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import CTE, ColumnElement, Select, func, literal, select, union_all
from sqlalchemy.orm import Session

from perfsuite.model import Comparison, Environment, Kernel, Launches, Run
from perfsuite.store.history import HISTORY
from perfsuite.store.rows import to_comparison, to_environment, to_kernel, to_launches, to_run
from perfsuite.store.tables import (
    ComparisonRow,
    EnvironmentRow,
    KernelRow,
    LaunchesRow,
    LaunchKernelRow,
    ResultRow,
    RunRow,
)

HISTORY_ORDER = (
    func.coalesce(RunRow.committed_at, RunRow.started_at),
    # Commits of a batch that was merged have one time, to the second.
    func.coalesce(RunRow.position, 0),
    RunRow.started_at,
    RunRow.id,
)
"""The oldest commit first."""


def newest_runs() -> Select[RunRow, EnvironmentRow]:
    """All, the newest first."""
    return (
        select(RunRow, EnvironmentRow)
        .join(EnvironmentRow, RunRow.environment_id == EnvironmentRow.id)
        .order_by(RunRow.started_at.desc(), RunRow.id.desc())
    )


def newest_comparisons() -> Select[ComparisonRow]:
    """All, the newest first."""
    return select(ComparisonRow).order_by(ComparisonRow.started_at.desc(), ComparisonRow.id.desc())


def repository_names() -> CTE:
    """`name` of every repository that has runs: one step through an index each, where DISTINCT would walk
    over every run. The last row is NULL."""
    steps = select(func.min(RunRow.repository).label("name")).cte("repository_names", recursive=True)
    following = select(func.min(RunRow.repository)).where(RunRow.repository > steps.c.name)
    return steps.union_all(select(following.scalar_subquery()).where(steps.c.name.is_not(None)))


def newest_of_histories(
    session: Session, repository: str | None, fingerprint: str | None = None, case: str | None = None
) -> list[tuple[RunRow, EnvironmentRow]]:
    """Of each repository, environment and kind of a history the newest run (of those that have a result of
    `case`), the newest first.

    One search in an index for each, where GROUP BY would walk over every run.
    """
    kinds = union_all(*(select(literal(kind).label("kind")) for kind in HISTORY)).subquery()
    names = repository_names()
    name = names.c.name if repository is None else literal(repository)
    newest = (
        select(RunRow.id)
        .where(RunRow.repository == name, RunRow.environment_id == EnvironmentRow.id)
        .where(RunRow.kind == kinds.c.kind)
        .order_by(RunRow.started_at.desc(), RunRow.id.desc())
        .limit(1)
    )
    if case is not None:
        newest = newest.join(ResultRow, ResultRow.run_id == RunRow.id).where(ResultRow.case_id == case)
    ids = select(newest.correlate(names, EnvironmentRow, kinds).scalar_subquery())
    ids = ids.select_from(EnvironmentRow).join(kinds, literal(True))
    if repository is None:
        ids = ids.join(names, names.c.name.is_not(None))
    if fingerprint is not None:
        ids = ids.where(EnvironmentRow.fingerprint == fingerprint)
    # Two queries: joined to one, PostgreSQL would look through all runs.
    found = [run_id for run_id in session.scalars(ids) if run_id is not None]
    rows = session.execute(newest_runs().where(RunRow.id.in_(found)))
    return [(run, environment) for run, environment in rows]


def is_of(repository: str, run: type[RunRow] = RunRow) -> ColumnElement[bool]:
    """Whether a run is of a repository, for queries that search by something rarer.

    An expression, so that SQLite does not look through all runs of the repository to have them in order.
    """
    return func.coalesce(run.repository, "") == repository


def read_runs(session: Session, query: Select[RunRow, EnvironmentRow]) -> list[Run]:
    """The runs of a query."""
    known: dict[str, Environment] = {}
    return [read_run(run, environment, known) for run, environment in session.execute(query)]


def read_run(row: RunRow, environment: EnvironmentRow, known: dict[str, Environment]) -> Run:
    """The run of a row. Many share one environment: it is decoded once and then `known`."""
    if environment.id not in known:
        known[environment.id] = to_environment(environment)
    return to_run(row, known[environment.id])


def read_comparisons(session: Session, query: Select[ComparisonRow]) -> list[Comparison]:
    """The comparisons of a query, with their runs."""
    rows = session.scalars(query).all()
    ids = {run_id for row in rows for run_id in (row.base_id, row.head_id)}
    runs = {run.id: run for run in read_runs(session, newest_runs().where(RunRow.id.in_(ids)))}
    return [to_comparison(row, runs[row.base_id], runs[row.head_id]) for row in rows]


def read_launches(session: Session, wanted: Select[str | None] | Sequence[str]) -> dict[str, Launches]:
    """Launch lists by id, in two queries however many there are.

    Args:
        wanted: their ids, or a query for them.
    """
    kernels: dict[str, list[Kernel]] = {}
    decoded: dict[str, Kernel] = {}
    links = (
        select(LaunchKernelRow.launches_id, KernelRow.id, KernelRow.document)
        .join(KernelRow, LaunchKernelRow.kernel_id == KernelRow.id)
        .where(LaunchKernelRow.launches_id.in_(wanted))
        .order_by(LaunchKernelRow.launches_id, LaunchKernelRow.position)
    )
    for launches_id, kernel_id, document in session.execute(links):
        if kernel_id not in decoded:
            decoded[kernel_id] = to_kernel(kernel_id, document)
        kernels.setdefault(launches_id, []).append(decoded[kernel_id])
    lists = select(LaunchesRow.id, LaunchesRow.document).where(LaunchesRow.id.in_(wanted))
    return {
        launches_id: to_launches(launches_id, document, tuple(kernels.get(launches_id, ())))
        for launches_id, document in session.execute(lists)
    }
