"""The store: what measures writes through it, each call one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, func, update
from sqlalchemy.exc import IntegrityError

from perfsuite.errors import StoreError
from perfsuite.model import Alert, AlertState, Comparison, Noise, Result, Run
from perfsuite.store import engine as engines
from perfsuite.store.alerts import change_alert, change_alerts, put_alerts
from perfsuite.store.failures import told
from perfsuite.store.jobs import Jobs
from perfsuite.store.noise import put_noise
from perfsuite.store.reader import Reader
from perfsuite.store.rows import (
    Batch,
    comparison_values,
    environment_values,
    make_batch,
    run_values,
)
from perfsuite.store.schema import REVISION, check_revision, migrate, stored_revision
from perfsuite.store.series import move_results, moved_runs, put_series
from perfsuite.store.statements import add_missing, column_names, execute, insert
from perfsuite.store.tables import (
    Base,
    ComparisonRow,
    EnvironmentRow,
    KernelRow,
    LaunchesRow,
    LaunchKernelRow,
    ListingRow,
    ResultRow,
    RunRow,
)
from perfsuite.store.transaction import transact


class Store:
    """One database, open for reading and writing. Made by `open_store`; a context manager.

    Every method raises StoreUnwritable where the database cannot be written to, StoreError where it cannot
    be used; what was stored before stays.
    """

    def __init__(self, address: engines.Address) -> None:
        self.url = address.text
        """Opens the same database again: a path, or a URL with its password, not to be shown."""
        self.label = address.label
        """The database for people."""
        self._engine = engines.make_engine(address)
        self.reader = Reader(self._engine, self.label)
        self.jobs = Jobs(self._engine, self.label)
        """What is to be done, who asked for it, and who does it."""

    def start_run(self, run: Run) -> None:
        """Stores a run. Storing it again replaces it; a finished run stays finished."""
        self._write(lambda connection: _put_runs(connection, [run]))

    def save_result(self, run_id: str, result: Result) -> None:
        """Stores one result of a run that was started, in place of an earlier one of the same case."""
        batch = make_batch(run_id, [result])
        try:
            self._write(lambda connection: _put_batch(connection, batch))
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                what = f"{self.label}: there is no run {run_id}"
                raise StoreError(what, "start_run comes first") from error
            raise

    def finish_run(self, run_id: str, finished_at: datetime) -> None:
        """Marks a run as complete."""
        self._finish(RunRow, run_id, finished_at)

    def start_comparison(self, comparison: Comparison) -> None:
        """Stores a comparison and its two runs."""
        self._write(lambda connection: _put_comparisons(connection, [comparison]))

    def finish_comparison(self, comparison_id: str, finished_at: datetime) -> None:
        """Marks a comparison as complete; its runs are finished by themselves."""
        self._finish(ComparisonRow, comparison_id, finished_at)

    def save_noise(self, comparison_id: str, noise: Mapping[str, tuple[str, Noise]]) -> None:
        """Stores what a comparison showed of the noise of its unchanged cases.

        Args:
            comparison_id: a comparison that was started. Storing its noise again replaces it, so that nothing
                is counted twice.
            noise: case → version of the benchmark, and sums over log ratios.
        """
        self._write(lambda connection: put_noise(connection, self.label, comparison_id, noise))

    def save_alerts(self, alerts: Iterable[Alert]) -> None:
        """Stores alerts, by id in place of former ones.

        Of two states the one set later stays, and an alert of a change that another alert has is left out: so
        a triage that happens at the same moment is kept, and two processes raise an alert once.
        """
        rows = list(alerts)
        self._write(lambda connection: put_alerts(connection, rows))

    def set_alert(self, alert_id: str, state: AlertState, reason: str, by: str, at: datetime) -> None:
        """Sets the state of an alert, as a person says."""
        self._write(lambda connection: change_alert(connection, self.label, alert_id, state, reason, by, at))

    def set_alerts(
        self, seen: Iterable[Alert], state: AlertState, reason: str, by: str, at: datetime
    ) -> list[Alert]:
        """Sets the state of alerts as a person says who saw them so: of all, or of none.

        Returns:
            Those that somebody else changed since they were seen, as they are now; empty: all are set.
        """
        alerts = list(seen)
        return transact(
            self._engine,
            self.label,
            lambda connection: change_alerts(connection, self.label, alerts, state, reason, by, at),
        )

    def save_all(
        self,
        runs: Sequence[Run],
        results: Mapping[str, Sequence[Result]],
        comparisons: Sequence[Comparison] = (),
        listings: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """Stores many values in one transaction: all of them, or none. For imports.

        Args:
            runs: all runs that the results belong to.
            results: run id → its results.
            comparisons: between any runs.
            listings: (target, hash) of kernels → `Kernel.listing`, beside those that the results hold.
        """
        batches = [make_batch(run_id, items) for run_id, items in results.items()]
        beside = Batch()
        for (target, code), listing in (listings or {}).items():
            beside.add_listing(target, code, listing)

        def work(connection: Connection) -> None:
            _put_runs(connection, runs)
            _put_batch(connection, _merged([beside, *batches]))
            _put_comparisons(connection, comparisons)

        self._write(work)

    def close(self) -> None:
        """Closes all connections; the last process to do so folds the log into the file."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish(self, table: type[RunRow | ComparisonRow], row_id: str, finished_at: datetime) -> None:
        statement = update(table).where(table.id == row_id).values(finished_at=finished_at)

        def work(connection: Connection) -> None:
            if connection.execute(statement).rowcount != 1:
                noun = "run" if table is RunRow else "comparison"
                raise StoreError(f"{self.label}: there is no {noun} {row_id}", f"start_{noun} comes first")

        self._write(work)

    def _write(self, work: Callable[[Connection], object]) -> None:
        transact(self._engine, self.label, work)


def open_store(
    url_or_path: str | PathLike[str], *, create: bool = True, wait_s: float | None = None
) -> Store:
    """Opens a database, creates it where there is none, and brings older tables to this version.

    Args:
        url_or_path: a path of a SQLite file, or a SQLAlchemy URL of SQLite or PostgreSQL.
        create: False refuses a file that is not there.
        wait_s: how long another writer's lock is waited for; None: as long as any may take.

    Raises:
        UsageError: not an address of a supported database.
        StoreError: missing, damaged, not a database of ours, or written by a newer perfsuite.
        StoreUnwritable: on a read-only or full disk, or no connection.
    """
    address = replace(engines.parse_address(url_or_path), wait_s=wait_s)
    if address.path:
        engines.prepare_file(address.path, create=create)
    store = Store(address)
    try:
        with told(store.label):
            if address.path:
                engines.use_write_ahead_log(store._engine, engines.busy_timeout_s(address))
            _bring_up_to_date(store._engine, address)
    except BaseException:
        store.close()
        raise
    return store


def _bring_up_to_date(engine: Engine, address: engines.Address) -> None:
    with engines.reading(engine).connect() as connection:
        revision = stored_revision(connection)
    check_revision(revision, address.label)
    if revision == REVISION:
        return
    if address.path is None and engine.dialect.name == "sqlite":
        # In memory: another connection would be another database.
        Base.metadata.create_all(engine)
        return
    migrate(address)


def _put_runs(connection: Connection, runs: Iterable[Run]) -> None:
    environments, rows = {}, {}
    for run in runs:
        environment = environment_values(run.environment)
        environments[environment["id"]] = environment
        rows[run.id] = run_values(run, environment["id"])
    add_missing(connection, EnvironmentRow, environments)
    moved = moved_runs(connection, rows)
    statement = insert(connection, RunRow)
    changed = {name: statement.excluded[name] for name in column_names(RunRow) if name != "id"}
    changed["finished_at"] = func.coalesce(statement.excluded.finished_at, RunRow.finished_at)
    execute(connection, statement.on_conflict_do_update(index_elements=["id"], set_=changed), rows.values())
    if moved:
        move_results(connection, moved)


def _put_comparisons(connection: Connection, comparisons: Iterable[Comparison]) -> None:
    comparisons = list(comparisons)
    _put_runs(connection, [run for item in comparisons for run in (item.base, item.head)])
    statement = insert(connection, ComparisonRow)
    changed = {name: statement.excluded[name] for name in column_names(ComparisonRow) if name != "id"}
    changed["finished_at"] = func.coalesce(statement.excluded.finished_at, ComparisonRow.finished_at)
    rows = [comparison_values(item) for item in comparisons]
    execute(connection, statement.on_conflict_do_update(index_elements=["id"], set_=changed), rows)


def _put_batch(connection: Connection, batch: Batch) -> None:
    add_missing(connection, KernelRow, batch.kernels)
    add_missing(connection, LaunchesRow, batch.launches)
    add_missing(connection, LaunchKernelRow, batch.launch_kernels)
    add_missing(connection, ListingRow, batch.listings)
    put_series(connection, batch.results)
    statement = insert(connection, ResultRow)
    key = ["run_id", "case_id"]
    names = [name for name in column_names(ResultRow) if name not in {"id", *key}]
    changed = {name: statement.excluded[name] for name in names}
    execute(connection, statement.on_conflict_do_update(index_elements=key, set_=changed), batch.results)


def _merged(batches: Iterable[Batch]) -> Batch:
    whole = Batch()
    for batch in batches:
        whole.kernels |= batch.kernels
        whole.listings |= batch.listings
        whole.launches |= batch.launches
        whole.launch_kernels |= batch.launch_kernels
        whole.results += batch.results
    return whole
