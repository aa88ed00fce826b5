"""The tables. Rows never leave the store: `rows.py` turns them into model values and back.

Columns hold what is searched, sorted or shown without decoding; the rest of a value is one JSON document, so
that a new field of the model needs no migration. Environments, kernels and launch lists are kept once by
content: commits that do not change a kernel share its row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from perfsuite.codec import utc

_ESCAPE = "\x1a"
_UNSTORABLE = re.compile("[\x00\x1a\ud800-\udfff]")
_ESCAPED = re.compile("\x1a([0-9a-f]{4})")


class AnyText(TypeDecorator[str]):
    """Text of any kind: what PostgreSQL (NUL) or UTF-8 (lone surrogates) lacks is kept behind an escape.

    Commit subjects and case ids come from others' repositories; none may cost a result.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return _UNSTORABLE.sub(lambda found: f"{_ESCAPE}{ord(found.group()):04x}", value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str | None]:
        # Not `process_result_value`, which costs a call more: pages read hundreds of thousands of these.
        return _unescaped


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, stored and returned in UTC; SQLite has no zones and sorts the text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return utc(value).replace(tzinfo=None) if dialect.name == "sqlite" else utc(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        return _parsed if dialect.name == "sqlite" else _in_utc


def _unescaped(value: str | None) -> str | None:
    if value is None or _ESCAPE not in value:
        return value
    return _ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), value)


def _parsed(value: str | None) -> datetime | None:
    """Of SQLite's text, which SQLAlchemy's own way takes five times as long for."""
    return None if value is None else datetime.fromisoformat(f"{value}+00:00")


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else utc(value)


class Base(DeclarativeBase):
    """Names for every constraint: SQLite's batch migrations can only drop what has a name."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: AnyText, datetime: UtcDateTime, float: Double}  # noqa: RUF012


class EnvironmentRow(Base):
    __tablename__ = "environments"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Hash of the document."""
    fingerprint: Mapped[str] = mapped_column(index=True)
    host: Mapped[str]
    gpu: Mapped[str | None]
    document: Mapped[str] = mapped_column(Text)


class RunRow(Base):
    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    environment_id: Mapped[str] = mapped_column(ForeignKey("environments.id"))
    repository: Mapped[str]
    kind: Mapped[str]
    profile: Mapped[str]
    pattern: Mapped[str]
    suite: Mapped[str]
    version: Mapped[str]
    sha: Mapped[str] = mapped_column(index=True)
    dirty: Mapped[str]
    subject: Mapped[str]
    author: Mapped[str]
    branch: Mapped[str | None]
    committed_at: Mapped[datetime | None]
    position: Mapped[int | None] = mapped_column(BigInteger)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    # Newest runs first: the ids break ties, so that the order is the same every time. Those of all, of a
    # repository, of a repository on one machine.
    __table_args__ = (
        Index(None, "started_at", "id"),
        Index(None, "repository", "started_at", "id"),
        Index("ix_runs_history", "repository", "environment_id", "kind", "started_at", "id"),
    )


class KernelRow(Base):
    __tablename__ = "kernels"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Hash of the document: the same machine code with another grid is another row."""
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(index=True)
    target: Mapped[str]
    document: Mapped[str] = mapped_column(Text)


class ListingRow(Base):
    """Machine code as text, of each kernel once: `Kernel.listing`."""

    __tablename__ = "listings"

    target: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    """UTF-8, compressed."""


class LaunchesRow(Base):
    __tablename__ = "launches"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Hash of the list and its kernels: equal ids are equal lists."""
    document: Mapped[bytes] = mapped_column(LargeBinary)
    """Order and opaque parts, compressed JSON: an op of hundreds of launches repeats a few lines."""


class LaunchKernelRow(Base):
    __tablename__ = "launch_kernels"

    launches_id: Mapped[str] = mapped_column(ForeignKey("launches.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    kernel_id: Mapped[str] = mapped_column(ForeignKey("kernels.id"), index=True)


class SeriesRow(Base):
    """What results must have in common to be compared with one another. The rows are few and never change."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[str]
    repository: Mapped[str]
    kind: Mapped[str]
    """Of the run."""
    version: Mapped[str]
    family: Mapped[str]
    device: Mapped[str]
    timer: Mapped[str]
    fingerprint: Mapped[str]

    # Serves the series of a case too. Its usual name would be too long for PostgreSQL.
    __table_args__ = (
        UniqueConstraint(
            *("case_id", "repository", "fingerprint", "kind", "version", "family", "device", "timer"),
            name="uq_series_key",
        ),
    )


class ResultRow(Base):
    __tablename__ = "results"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    case_id: Mapped[str]
    family: Mapped[str]
    version: Mapped[str]
    device: Mapped[str]
    status: Mapped[str]
    timer: Mapped[str]
    launches_id: Mapped[str | None] = mapped_column(ForeignKey("launches.id"))
    rounds: Mapped[int]
    median_ns: Mapped[float | None]
    low_ns: Mapped[float | None]
    high_ns: Mapped[float | None]
    series_id: Mapped[int | None] = mapped_column(ForeignKey("series.id"))
    """None only where a migration found a run without its environment: `check` names those."""
    error_rms: Mapped[float | None]
    roofline_fraction: Mapped[float | None]
    document: Mapped[str] = mapped_column(Text)
    samples: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Last, so that rows are read up to here where samples are not asked for."""

    # The first serves the results of a run, the second the points of a series: all that is drawn of them, so
    # that the rows, a thousand times as wide with their samples, are not touched.
    __table_args__ = (
        UniqueConstraint("run_id", "case_id"),
        Index(
            "ix_results_points",
            *("series_id", "run_id", "status", "median_ns", "low_ns", "high_ns"),
            *("error_rms", "roofline_fraction", "launches_id"),
        ),
    )


class ComparisonRow(Base):
    __tablename__ = "comparisons"

    id: Mapped[str] = mapped_column(primary_key=True)
    base_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    head_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    threshold: Mapped[float]
    case_thresholds: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    kind: Mapped[str] = mapped_column(server_default="compare")
    noise: Mapped[str] = mapped_column(Text, server_default="{}")
    """Case → what was known of its noise when the comparison began, JSON."""

    __table_args__ = (Index(None, "started_at", "id"),)


class NoiseRow(Base):
    """What one comparison showed of one case's noise. By comparison, so that nothing is counted twice."""

    __tablename__ = "noise"

    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"), primary_key=True)
    case_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    repository: Mapped[str]
    fingerprint: Mapped[str]
    between: Mapped[float]
    pairs: Mapped[int]
    within: Mapped[float]
    freedom: Mapped[int]
    comparisons: Mapped[int]

    __table_args__ = (Index(None, "repository", "fingerprint", "case_id", "version"),)


class AlertRow(Base):
    __tablename__ = "alerts"

    id: Mapped[str] = mapped_column(primary_key=True)
    repository: Mapped[str]
    case_id: Mapped[str]
    fingerprint: Mapped[str]
    metric: Mapped[str]
    kind: Mapped[str]
    before: Mapped[str]
    after: Mapped[str]
    change: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    raised_at: Mapped[datetime]
    state: Mapped[str]
    reason: Mapped[str]
    changed_by: Mapped[str]
    changed_at: Mapped[datetime | None]

    # The first keeps two processes from raising the same alert (its usual name would be too long for
    # PostgreSQL); the others serve what is open, newest first.
    __table_args__ = (
        UniqueConstraint(
            *("repository", "case_id", "fingerprint", "metric", "kind", "before", "after"),
            name="uq_alerts_change",
        ),
        Index(None, "state", "raised_at", "id"),
        Index(None, "raised_at", "id"),
    )


class JobRow(Base):
    """Columns are the fields of `perfsuite.model.Job`."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    repository: Mapped[str]
    kind: Mapped[str]
    key: Mapped[str]
    head: Mapped[str]
    created_at: Mapped[datetime]
    base: Mapped[str]
    pull: Mapped[int | None]
    pattern: Mapped[str]
    profile: Mapped[str]
    state: Mapped[str]
    requested_by: Mapped[str]
    priority: Mapped[int]
    attempts: Mapped[int]
    worker: Mapped[str]
    started_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    comparison: Mapped[str]
    message: Mapped[str]
    done: Mapped[int]
    total: Mapped[int]
    facts: Mapped[str] = mapped_column(Text)
    """JSON."""

    # The first keeps two watchers from wanting the same work twice; the others serve what is to be done, a
    # pull request's jobs, and all of them, newest first.
    __table_args__ = (
        UniqueConstraint("repository", "key"),
        Index(None, "repository", "state"),
        Index(None, "repository", "pull"),
        Index(None, "created_at", "id"),
    )


class CommandRow(Base):
    """Columns are the fields of `perfsuite.model.Command`."""

    __tablename__ = "commands"

    repository: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    verb: Mapped[str]
    pull: Mapped[int]
    head: Mapped[str]
    author: Mapped[str]
    at: Mapped[datetime]
    arguments: Mapped[str] = mapped_column(Text)
    """JSON."""
    answer: Mapped[str]

    __table_args__ = (Index(None, "repository", "pull"),)


class WorkerRow(Base):
    """Columns are the fields of `perfsuite.model.Worker`."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    repository: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]
    gpu: Mapped[str]
