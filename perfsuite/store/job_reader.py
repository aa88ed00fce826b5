"""Reading jobs, commands and workers; their rows ↔ model values."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields
from enum import Enum
from typing import Any, TypeVar

from sqlalchemy import Engine, Row, Select, select
from sqlalchemy.orm import Session

from perfsuite.codec import dumps
from perfsuite.errors import StoreError
from perfsuite.model import Command, Job, JobKind, JobState, Worker
from perfsuite.store.engine import reading
from perfsuite.store.failures import told
from perfsuite.store.find import choose
from perfsuite.store.rows import Values
from perfsuite.store.tables import Base, CommandRow, JobRow, WorkerRow

T = TypeVar("T", Job, Command, Worker)
_DOCUMENTS = ("facts", "arguments")
"""Fields that are kept as JSON text."""
_NEAR = 200
"""So many of the newest jobs are looked through for a near miss of a mistyped id."""


class JobReader:
    """What is to be done, was done and is being done, and who asked for it.

    Every method raises StoreError where the database cannot be read, or what it holds is damaged.
    """

    def __init__(self, engine: Engine, label: str) -> None:
        self.label = label
        """The database for people, without a password."""
        self._reading = reading(engine)

    def jobs(
        self,
        repository: str | None = None,
        pull: int | None = None,
        states: Collection[JobState] | None = None,
        kind: JobKind | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """The jobs made last first; of one repository, pull request or kind, or in some states."""
        query = newest_jobs().limit(limit)
        for column, wanted in ((JobRow.repository, repository), (JobRow.pull, pull), (JobRow.kind, kind)):
            if wanted is not None:
                query = query.where(column == wanted)
        if states is not None:
            query = query.where(JobRow.state.in_([state.value for state in states]))
        return self._all(query, to_job)

    def job(self, ref: str) -> Job:
        """The job of an id, or of its beginning.

        Raises:
            UsageError: no such job, or the beginning of several; names the nearest.
        """
        start = JobRow.id.startswith(ref.lower(), autoescape=True)
        found = self._all(newest_jobs().where(start), to_job) if ref else []
        return choose("job", ref, found, lambda: self.jobs(limit=_NEAR), self.label)

    def by_key(self, repository: str, key: str) -> Job | None:
        """The job that does this piece of work, in whatever state."""
        query = select(JobRow).where(JobRow.repository == repository, JobRow.key == key)
        return next(iter(self._all(query, to_job)), None)

    def commands(
        self,
        repository: str,
        pull: int | None = None,
        verb: str | None = None,
        *,
        source: str | None = None,
        without: str | None = None,
    ) -> list[Command]:
        """The oldest first; of one pull request, or of one kind.

        Args:
            source: only those whose source begins so: there is one command for each head that ever was.
            without: only those of which the argument of this name is not true.
        """
        query = select(CommandRow).where(CommandRow.repository == repository)
        if pull is not None:
            query = query.where(CommandRow.pull == pull)
        if verb is not None:
            query = query.where(CommandRow.verb == verb)
        if source is not None:
            query = query.where(CommandRow.source.startswith(source, autoescape=True))
        if without is not None:
            # As `dumps` writes it; inside a text its quotation marks would have backslashes.
            there = f"{dumps(without)}:true"
            query = query.where(~CommandRow.arguments.contains(there, autoescape=True))
        # Sorted here: the databases have orders of their own.
        return sorted(self._all(query, to_command), key=lambda command: (command.at, command.source))

    def command(self, repository: str, source: str) -> Command | None:
        """The one that was made of this comment or event; None where it was not handled yet."""
        query = select(CommandRow).where(CommandRow.repository == repository, CommandRow.source == source)
        return next(iter(self._all(query, to_command)), None)

    def workers(self, repository: str | None = None) -> list[Worker]:
        """By name, those that went away included; of one repository."""
        query = select(WorkerRow)
        if repository is not None:
            query = query.where(WorkerRow.repository == repository)
        return sorted(self._all(query, to_worker), key=lambda worker: worker.name)

    def _all(self, query: Select[Any], decode: Callable[[Any], T]) -> list[T]:
        with told(self.label), Session(self._reading) as session:
            return [decode(row) for row in session.scalars(query)]


def newest_jobs() -> Select[JobRow]:
    """All, the newest first."""
    return select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id.desc())


def to_job(row: JobRow | Row[Any]) -> Job:
    """The job of a row, as all of these:

    Raises:
        StoreError: the row is damaged.
    """
    with _decoding(f"job {row.id}"):
        known = {"kind": JobKind(row.kind), "state": JobState(row.state), "facts": _object(row.facts)}
        return Job(**{**_columns(row, Job), **known})


def to_command(row: CommandRow | Row[Any]) -> Command:
    with _decoding(f"command {row.source}"):
        return Command(**{**_columns(row, Command), "arguments": _object(row.arguments)})


def to_worker(row: WorkerRow) -> Worker:
    return Worker(**_columns(row, Worker))


def values_of(value: Job | Command | Worker) -> Values:
    """A row of this value.

    Raises:
        StoreError: its facts or arguments are not plain JSON values.
    """
    return {field.name: _stored(field.name, getattr(value, field.name)) for field in fields(value)}


def _stored(name: str, value: Any) -> Any:
    if name in _DOCUMENTS:
        try:
            return dumps(dict(value))
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"the {name} {value!r:.200} cannot be stored: {error}", "give plain, finite JSON values"
            ) from error
    return value.value if isinstance(value, Enum) else value


def _columns(row: Base | Row[Any], kind: type[T]) -> Values:
    return {field.name: getattr(row, field.name) for field in fields(kind)}


def _object(text: str) -> dict[str, Any]:
    plain = json.loads(text)
    if not isinstance(plain, dict):
        raise ValueError("an object was expected")
    return plain


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise StoreError(
            f"the stored {name} is damaged: {error}", "`perfsuite db check` lists all damage"
        ) from error
