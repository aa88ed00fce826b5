"""The history in narrow values: what `trends` reads. Times are ns, shares fractions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from perfsuite.model import Commit, Environment, Status, Timer

HISTORY = ("run", "import")
"""Kinds of runs that make a history. The sides of comparisons are no part of it: a second process on the GPU
makes short ops faster."""


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """What the points of one series have in common; never compared with those of another."""

    id: int
    repository: str
    kind: str
    case: str
    version: str
    family: str
    device: str
    timer: Timer
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Place:
    """One run on the axis of a history."""

    run_id: str
    commit: Commit
    started_at: datetime
    finished_at: datetime | None
    environment_id: str
    profile: str
    kind: str
    trusted: bool
    """False where a stranger's code ran: says nothing of the history."""


class Point(NamedTuple):
    """One result of a series."""

    series_id: int
    run_id: str
    status: Status
    median_ns: float | None
    low_ns: float | None
    high_ns: float | None
    error_rms: float | None
    roofline_fraction: float | None
    launches_id: str | None


class Cell(NamedTuple):
    """One result of a run, without what is wide."""

    run_id: str
    case: str
    family: str
    status: Status
    median_ns: float | None
    version: str
    timer: Timer
    launches_id: str | None
    error_rms: float | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What measures histories: all environments of one fingerprint."""

    fingerprint: str
    environment: Environment
    """Of its newest run."""
    hosts: tuple[str, ...]
    newest: datetime
    """When its newest run was started."""
    newest_run: str
    runs: int
