"""What is to be done and who does it: jobs, the commands that asked for them, workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class JobKind(StrEnum):
    COMPARE = "compare"
    """Base and head of a pull request in lockstep."""
    RUN = "run"
    """One commit of the main line, for the series."""
    BISECT = "bisect"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """It ended as it should; what it found may be red all the same."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. `key` says what it is: two watchers that want the same thing want one job."""

    id: str
    """32 hex digits."""
    repository: str
    kind: JobKind
    key: str
    """Unique in its repository: `pull/7/<sha>`, `main/<sha>`, `pull/7/comment/123`."""
    head: str
    """Sha of what is measured (of a bisect: the bad end)."""
    created_at: datetime
    base: str = ""
    """Sha of the merge base, of a bisect the good end; empty until it is known, and for a run."""
    pull: int | None = None
    pattern: str = ""
    """Which cases, as `-k`; of a bisect: the case."""
    profile: str = "pr"
    state: JobState = JobState.QUEUED
    requested_by: str = ""
    """Login of who asked for it; empty where the service did."""
    priority: int = 0
    """The highest is taken first, then the oldest."""
    attempts: int = 0
    worker: str = ""
    started_at: datetime | None = None
    seen_at: datetime | None = None
    """When its worker last said that it lives."""
    finished_at: datetime | None = None
    comparison: str = ""
    """Id of the comparison that it made, as soon as there is one; of a run: of the run."""
    message: str = ""
    """What it waits for, why it failed, why there was nothing to do."""
    done: int = 0
    total: int = 0
    """Cases, for `measuring 12/40`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What it found beside a comparison (plain JSON values): the outcome of a bisect, how trials were
    confined, what was last published."""


@dataclass(frozen=True, slots=True)
class Command:
    """A `/perf …` command or an approving label that was handled: never acted upon twice."""

    repository: str
    source: str
    """Unique in its repository: `comment/123`, `event/456`."""
    verb: str
    """`run`, `full`, `rerun`, `bisect`, `accept`, `approve`, `help`, `unknown`, `refused`."""
    pull: int
    head: str
    """Sha of the head that it is about."""
    author: str
    at: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """`pattern`, `case`, `reason`, `sha`; of an acceptance `limits`: case → largest change accepted."""
    answer: str = ""
    """What was answered in a comment; empty where a reaction is enough."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that takes jobs."""

    name: str
    """Unique: host and GPU."""
    repository: str
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None = None
    """Set where it ended in order; one that went away has none."""
    gpu: str = ""
