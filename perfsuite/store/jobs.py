"""Jobs, commands and workers: each call one transaction, and two processes never do the same work.

A job is queued, then running, then over, and over for good; only a running one goes back to queued, when its
worker went away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, and_, func, or_, select, update

from perfsuite.codec import utc
from perfsuite.errors import StoreError
from perfsuite.model import Command, Job, JobState, Worker
from perfsuite.store.job_reader import JobReader, to_command, to_job, values_of
from perfsuite.store.rows import Values
from perfsuite.store.statements import column_names, insert
from perfsuite.store.tables import Base, CommandRow, JobRow, WorkerRow
from perfsuite.store.transaction import transact

T = TypeVar("T")
_JOB_KEY = ("repository", "key")
_COMMAND_KEY = ("repository", "source")


class Jobs(JobReader):
    """`store.jobs`: reads as `JobReader` does, and writes.

    Every method that writes raises StoreUnwritable where the database cannot be written to, StoreError where
    it cannot be used or the change makes no sense; what was stored before stays.
    """

    def __init__(self, engine: Engine, label: str) -> None:
        super().__init__(engine, label)
        self._engine = engine

    def add(self, job: Job) -> bool:
        """Stores a new job; False where its repository has one of this key already, which stays."""
        return self._write(lambda connection: _put_job(connection, job))

    def claim(self, repository: str, worker: str, now: datetime) -> Job | None:
        """Takes the queued job of the highest priority, of these the oldest, and sets it to running.

        None where nothing is queued. Two processes never get the same job.
        """

        def work(connection: Connection) -> Job | None:
            waiting = and_(JobRow.repository == repository, JobRow.state == JobState.QUEUED.value)
            order = (JobRow.priority.desc(), JobRow.created_at, JobRow.id)
            found = _locked(connection, waiting, *order, limit=1)
            if not found:
                return None
            job = found[0]
            running = replace(
                job,
                state=JobState.RUNNING,
                attempts=job.attempts + 1,
                worker=worker,
                started_at=job.started_at or now,
                seen_at=now,
            )
            return _save(connection, job, running)

        return self._write(work)

    def update(self, job_id: str, **changes: Any) -> Job:
        """Changes fields of a job, by their names, and returns it as it is then.

        Raises:
            StoreError: there is no such job, or it is over and would get another state.
        """

        def work(connection: Connection) -> Job:
            job = self._by_id(connection, job_id)
            return _save(connection, job, _changed(job, changes))

        return self._write(work)

    def update_if(
        self, job_id: str, states: Collection[JobState], *, held_by: str | None = None, **changes: Any
    ) -> Job | None:
        """As `update`, but only where the job is in one of these states, else None.

        Args:
            held_by: only where this worker has it as well: one that was given up for dead must not write into
                what another took over.

        Raises:
            StoreError: as `update`.
        """

        def work(connection: Connection) -> Job | None:
            job = self._by_id(connection, job_id)
            if job.state not in states or held_by not in (None, job.worker):
                return None
            return _save(connection, job, _changed(job, changes))

        return self._write(work)

    def release(
        self, repository: str, worker: str, now: datetime, *, stale_before: datetime | None = None
    ) -> list[Job]:
        """Puts running jobs that nobody works on back to queued, and returns them, the oldest first.

        These are the jobs of this worker, which was killed and has started again, and those of any worker
        that was not seen since `stale_before`. What they came to (attempts, comparison, base) stays.
        """
        left = JobRow.worker == worker
        if stale_before is not None:
            left = or_(left, func.coalesce(JobRow.seen_at, JobRow.started_at) < stale_before)
        running = and_(JobRow.repository == repository, JobRow.state == JobState.RUNNING.value, left)

        def work(connection: Connection) -> list[Job]:
            found = _locked(connection, running, JobRow.created_at, JobRow.id)
            return [_save(connection, job, _put_back(job, now)) for job in found]

        return self._write(work)

    def add_command(self, command: Command, job: Job | None = None) -> bool:
        """Stores a command that is being handled; False where this source is known, and nothing is changed.

        Args:
            job: what it asks for, stored together with it. A job whose key is there already is enough.
        """

        def work(connection: Connection) -> bool:
            fresh = _put_new(connection, CommandRow, _COMMAND_KEY, values_of(command))
            if fresh and job is not None:
                _put_job(connection, job)
            return fresh

        return self._write(work)

    def change_command(self, repository: str, source: str, **changes: Any) -> Command:
        """Changes fields of a command, by their names, and returns it as it is then.

        Raises:
            StoreError: there is no such command.
        """
        this = and_(CommandRow.repository == repository, CommandRow.source == source)

        def work(connection: Connection) -> Command:
            row = connection.execute(select(*CommandRow.__table__.c).where(this).with_for_update()).first()
            if row is None:
                raise StoreError(f"{self.label}: there is no command {source}", "add_command comes first")
            changed = replace(to_command(row), **changes)
            connection.execute(update(CommandRow).where(this).values(values_of(changed)))
            return changed

        return self._write(work)

    def beat(self, worker: Worker) -> None:
        """A worker says that it lives."""

        def work(connection: Connection) -> None:
            statement = insert(connection, WorkerRow)
            changed = {name: statement.excluded[name] for name in column_names(WorkerRow) if name != "name"}
            connection.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_=changed), values_of(worker)
            )

        self._write(work)

    def stop_worker(self, name: str, at: datetime) -> None:
        """A worker ended in order. One that never said that it lives is no error."""
        statement = update(WorkerRow).where(WorkerRow.name == name).values(stopped_at=at, seen_at=at)
        self._write(lambda connection: connection.execute(statement))

    def _by_id(self, connection: Connection, job_id: str) -> Job:
        found = _locked(connection, JobRow.id == job_id)
        if not found:
            raise StoreError(f"{self.label}: there is no job {job_id}", "add comes first")
        return found[0]

    def _write(self, work: Callable[[Connection], T]) -> T:
        return transact(self._engine, self.label, work)


def _put_job(connection: Connection, job: Job) -> bool:
    return _put_new(connection, JobRow, _JOB_KEY, values_of(job))


def _put_new(connection: Connection, row: type[Base], key: Sequence[str], values: Values) -> bool:
    """Inserts a row; False where there is one of this key."""
    statement = insert(connection, row).on_conflict_do_nothing(index_elements=key).values(values)
    # What was inserted comes back; drivers do not agree on the row count of such a statement.
    return connection.execute(statement.returning(*(getattr(row, name) for name in key))).first() is not None


def _locked(connection: Connection, which: Any, *order: Any, limit: int | None = None) -> list[Job]:
    """Jobs that nobody else changes until the transaction ends.

    PostgreSQL waits for whoever has such a row, then looks at its new state; SQLite has one writer anyway.
    """
    query = select(*JobRow.__table__.c).where(which).order_by(*order).limit(limit).with_for_update()
    return [to_job(row) for row in connection.execute(query)]


def _changed(job: Job, changes: dict[str, Any]) -> Job:
    changed = replace(job, **changes)
    if changed.id != job.id:
        raise StoreError(f"the id of job {job.id} cannot change", "add another job")
    if job.state.over and changed.state != job.state:
        raise StoreError(
            f"job {job.id} is {job.state.value} and cannot become {JobState(changed.state).value}",
            "add another job",
        )
    return changed


def _put_back(job: Job, now: datetime) -> Job:
    message = f"put back into the queue at {utc(now):%Y-%m-%d %H:%M} UTC: its worker {job.worker} went away"
    return replace(job, state=JobState.QUEUED, worker="", message=message)


def _save(connection: Connection, former: Job, job: Job) -> Job:
    """Writes what differs."""
    old, new = values_of(former), values_of(job)
    values = {name: value for name, value in new.items() if value != old[name]}
    if values:
        connection.execute(update(JobRow).where(JobRow.id == former.id).values(values))
    return job
