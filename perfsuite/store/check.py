"""Looking for damage: what the database itself finds, and what only we can know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import and_, func, not_, or_, select, text
from sqlalchemy.orm import Session

from perfsuite.errors import StoreError
from perfsuite.model import Launches
from perfsuite.store import samples
from perfsuite.store.alerts import to_alert
from perfsuite.store.engine import reading
from perfsuite.store.failures import told
from perfsuite.store.job_reader import to_command, to_job
from perfsuite.store.rows import (
    to_environment,
    to_kernel,
    to_launches,
    to_listing,
    to_noise,
    to_result,
    to_thresholds,
)
from perfsuite.store.schema import REVISION, VERSION_TABLE
from perfsuite.store.tables import (
    AlertRow,
    CommandRow,
    ComparisonRow,
    EnvironmentRow,
    JobRow,
    KernelRow,
    LaunchesRow,
    LaunchKernelRow,
    ListingRow,
    NoiseRow,
    ResultRow,
    RunRow,
    SeriesRow,
)
from perfsuite.store.writer import Store

_ROWS_AT_A_TIME = 200
"""Results are decoded in such portions: a database of months does not fit into memory."""


def check(store: Store) -> list[str]:
    """All problems found, one line each; empty: the database is sound.

    Raises:
        StoreError: it cannot even be read.
    """
    with told(store.label), Session(reading(store._engine)) as session:
        problems = list(_of_the_file(session))
        if any("malformed" in problem or "corrupt" in problem for problem in problems):
            return problems
        return [
            *problems,
            *_version(session),
            *_links(session),
            *_duplicates(session),
            *_series(session),
            *_contents(session),
        ]


def _of_the_file(session: Session) -> Iterator[str]:
    if session.get_bind().dialect.name != "sqlite":
        return
    for (line,) in session.execute(text("PRAGMA integrity_check")):
        if line != "ok":
            yield f"damaged file: {line}"
    for table, row, parent, _ in session.execute(text("PRAGMA foreign_key_check")):
        yield f"{table}: row {row} points to a row of {parent} that is not there"


def _version(session: Session) -> Iterator[str]:
    found = session.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()
    if list(found) != [REVISION]:
        yield f"the tables are of version {', '.join(found) or 'none'}, expected {REVISION}"


def _links(session: Session) -> Iterator[str]:
    """Rows that point to nothing; databases enforce this, unless someone worked on them by hand."""
    links = (
        (RunRow.environment_id, EnvironmentRow.id, RunRow.id),
        (ResultRow.run_id, RunRow.id, ResultRow.case_id),
        (ResultRow.launches_id, LaunchesRow.id, ResultRow.case_id),
        (ResultRow.series_id, SeriesRow.id, ResultRow.case_id),
        (LaunchKernelRow.launches_id, LaunchesRow.id, LaunchKernelRow.position),
        (LaunchKernelRow.kernel_id, KernelRow.id, LaunchKernelRow.launches_id),
        (ComparisonRow.base_id, RunRow.id, ComparisonRow.id),
        (ComparisonRow.head_id, RunRow.id, ComparisonRow.id),
        (NoiseRow.comparison_id, ComparisonRow.id, NoiseRow.case_id),
    )
    for child, parent, name in links:
        query = select(name, child).where(child.is_not(None), child.not_in(select(parent)))
        for row_name, target in session.execute(query):
            yield f"{child.class_.__tablename__} {row_name}: {child.key} {target} is not there"


def _duplicates(session: Session) -> Iterator[str]:
    key = (ResultRow.run_id, ResultRow.case_id)
    query = select(*key, func.count()).group_by(*key).having(func.count() > 1)
    for run_id, case, number in session.execute(query):
        yield f"run {run_id}: {case} is stored {number} times"


def _series(session: Session) -> Iterator[str]:
    """Results that the history would show in another series than their own, or in none."""
    shared = ("case_id", "version", "family", "device", "timer")
    alike = [getattr(ResultRow, name) == getattr(SeriesRow, name) for name in shared]
    alike += [getattr(RunRow, name) == getattr(SeriesRow, name) for name in ("repository", "kind")]
    alike.append(EnvironmentRow.fingerprint == SeriesRow.fingerprint)
    query = (
        select(ResultRow.run_id, ResultRow.case_id)
        .join(RunRow, ResultRow.run_id == RunRow.id)
        .join(EnvironmentRow, RunRow.environment_id == EnvironmentRow.id)
        .outerjoin(SeriesRow, ResultRow.series_id == SeriesRow.id)
        .where(or_(SeriesRow.id.is_(None), not_(and_(*alike))))
    )
    for run_id, case in session.execute(query):
        yield f"run {run_id}: {case} is not in the series that it belongs to"


def _contents(session: Session) -> Iterator[str]:
    for environment in session.scalars(select(EnvironmentRow)):
        yield from _damage(partial(to_environment, environment))
    for kernel in session.scalars(select(KernelRow)):
        yield from _damage(partial(to_kernel, kernel.id, kernel.document))
    for listing in session.scalars(select(ListingRow)):
        yield from _damage(partial(to_listing, listing))
    for launches in session.scalars(select(LaunchesRow)):
        yield from _damage(partial(to_launches, launches.id, launches.document, ()))
    for comparison in session.scalars(select(ComparisonRow)):
        yield from _damage(partial(to_thresholds, comparison))
        yield from _damage(partial(to_noise, comparison))
    for alert in session.scalars(select(AlertRow)):
        yield from _damage(partial(to_alert, alert))
    for job in session.scalars(select(JobRow)):
        yield from _damage(partial(to_job, job))
    for command in session.scalars(select(CommandRow)):
        yield from _damage(partial(to_command, command))
    query = select(ResultRow).order_by(ResultRow.id).execution_options(yield_per=_ROWS_AT_A_TIME)
    for row in session.scalars(query):
        yield from _result(row)
        session.expunge(row)


def _result(row: ResultRow) -> Iterator[str]:
    known = {row.launches_id: Launches()} if row.launches_id else {}
    yield from _damage(partial(to_result, row, known, None))
    name = f"run {row.run_id}: {row.case_id}"
    try:
        held = samples.count(row.samples)
    except samples.CorruptSamples as error:
        yield f"{name}: its samples are damaged: {error}"
        return
    if held != row.rounds:
        yield f"{name}: {held} samples, but its row says {row.rounds}"


def _damage(decode: Callable[[], object]) -> Iterator[str]:
    try:
        decode()
    except StoreError as error:
        yield error.what
