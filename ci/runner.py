"""Takes one job after the other: a checkout, a process that measures, what it tells, how it ended.

Everything that matters is in the store before it is acted upon: a service that is killed at any moment goes
on with the same job when it comes back, and the comparison under way is resumed, not repeated.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ci.child import Child, child_environ
from ci.workplace import CommitGone, NothingToMeasure, Prepared, Workplace
from perfsuite.errors import Exit, MachineError, PerfsuiteError
from perfsuite.model import Job, JobKind, JobState
from perfsuite.store import Store

MOST_ATTEMPTS = 3
"""What the machine failed at three times will not get better by itself."""
MOST_CLAIMS = 100
"""A job that ends its service each time must not hold up the queue for ever; a service that others end again
and again must not lose a job."""
PAUSE_S = 60.0
"""After trouble with the machine, times the number of attempts."""
BEAT_S = 10.0
"""How often a job says that it lives; whoever does not for a few of these is gone."""
_MESSAGE_CHARACTERS = 4000
MACHINE_TROUBLE = "machine_trouble"
"""Fact of a job that failed because of the machine: nothing is known against the code."""
_SEE_LOG = "the log of this worker says more"


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms this worker measures."""

    worker: str
    environ: Mapping[str, str]
    """Of this process; measurements are given a part of it."""
    main_branch: str = "main"
    time_limit_s: float = 3600.0
    wait_idle_s: float = 900.0
    confine: bool = True
    extra: Sequence[str] = ()
    """Further options of `perfsuite compare` and `run`."""


class Runner:
    """One job at a time. `turn` never waits for a measurement."""

    def __init__(
        self, store: Store, place: Workplace, terms: Terms, now: Callable[[], datetime], lock: int
    ) -> None:
        """Args: lock: descriptor that measurements keep open."""
        self._store, self._place, self._terms, self._now, self._lock = store, place, terms, now, lock
        self._child: Child | None = None
        self._secret_paths = _paths(place.folder.parents[1], terms.environ.get("HOME", ""))
        self._pause_until_s = 0.0
        self._beat_s = 0.0
        self.job: Job | None = None

    def turn(self) -> Job | None:
        """Looks after the job in hand, or takes the next. The job where something changed."""
        if self.job is None:
            return self._take()
        return self._look_after(self.job)

    def cancel(self, why: str) -> Job | None:
        """Ends the job in hand."""
        if self.job is None:
            return None
        return self._end(self.job, JobState.CANCELLED, message=why)

    def close(self) -> None:
        """Lets go of everything; the job in hand waits for whoever comes next."""
        job = self.job
        self._drop()
        if job is not None:
            # An attempt is counted where the machine failed, not where the service was asked to end.
            self._write(job, state=JobState.QUEUED, message="", attempts=max(0, job.attempts - 1))

    def _take(self) -> Job | None:
        if time.monotonic() < self._pause_until_s:
            return None
        job = self._store.jobs.claim(self._place.repository, self._terms.worker, self._now())
        if job is None:
            return None
        self.job = job
        if self._finished_before(job):
            return self._end(job, JobState.SUCCEEDED)
        if job.attempts > MOST_CLAIMS:
            ended = f"it ended its service {job.attempts - 1} times; {_SEE_LOG}"
            return self._end(job, JobState.FAILED, message=ended)
        try:
            return self._begin(job)
        except NothingToMeasure as reason:
            return self._end(job, JobState.SUCCEEDED, facts={**job.facts, "nothing": str(reason)})
        except CommitGone as reason:
            return self._end(job, JobState.CANCELLED, message=str(reason))
        except MachineError as error:
            return self._again(job, str(error))
        except PerfsuiteError as error:
            return self._end(job, JobState.FAILED, message=str(error))

    def _finished_before(self, job: Job) -> bool:
        """Killed between the end of the measurement and the end of the job."""
        if not job.comparison or job.kind is JobKind.BISECT:
            return False
        reader = self._store.reader
        try:
            if job.kind is JobKind.RUN:
                return reader.run(job.comparison).finished_at is not None
            return reader.comparison(job.comparison).finished_at is not None
        except PerfsuiteError:
            return False

    def _begin(self, job: Job) -> Job:
        prepared = self._prepare(job)
        log = self._place.logs / f"{self._now():%Y%m%d-%H%M%S}-{job.kind}-{job.head[:10]}.log"
        environ = child_environ(self._terms.environ, self._store.url)
        arguments = list(arguments_of(job, prepared, self._terms))
        self._child = Child(arguments, cwd=prepared.home, environ=environ, log=log, kept_open=[self._lock])
        base = prepared.base if job.kind is not JobKind.RUN else ""
        return self._update(job, base=base, message="")

    def _prepare(self, job: Job) -> Prepared:
        if job.pull is None:
            return self._place.prepare_commit(job.head, self._terms.main_branch)
        branch = str(job.facts.get("base_branch") or self._terms.main_branch)
        return self._place.prepare_pull(job.pull, job.head, branch)

    def _look_after(self, job: Job) -> Job | None:
        assert self._child is not None
        events, status = self._child.poll()
        changes = dict(changes_of(job, events))
        if status is None and self._child.age_s > self._terms.time_limit_s:
            limit = f"it took longer than {self._terms.time_limit_s:.0f} s and was ended"
            return self._end(job, JobState.FAILED, message=limit, **changes)
        if status is not None:
            return self._ended(job, status, changes)
        if changes:
            return self._update(job, **changes)
        if time.monotonic() - self._beat_s > BEAT_S:
            updated = self._update(job)
            return updated if self.job is None else None
        return None

    def _ended(self, job: Job, status: int, changes: dict[str, Any]) -> Job:
        assert self._child is not None
        if status in (Exit.OK, Exit.RED):
            return self._end(job, JobState.SUCCEEDED, **{**changes, "message": ""})
        words = self._child.last_words() or f"exit status {status}; {_SEE_LOG}"
        if status == Exit.USAGE:
            return self._end(job, JobState.FAILED, **{**changes, "message": words})
        updated = self._update(job, **changes)
        return self._again(updated, words) if self.job is not None else updated

    def _again(self, job: Job, words: str) -> Job:
        """The machine is to blame: later once more, a few times."""
        if job.attempts >= MOST_ATTEMPTS:
            facts = {**job.facts, MACHINE_TROUBLE: True}
            return self._end(job, JobState.FAILED, message=words, facts=facts)
        self._pause_until_s = time.monotonic() + PAUSE_S * job.attempts
        return self._end(job, JobState.QUEUED, message=words)

    def _end(self, job: Job, state: JobState, **changes: Any) -> Job:
        self._drop()
        finished = self._now() if state.over else None
        ended = self._write(job, state=state, finished_at=finished, **changes)
        return ended or self._store.jobs.job(job.id)

    def _update(self, job: Job, **changes: Any) -> Job:
        """The job as it is now; it is in hand no longer where another worker has it, or it is over."""
        self._beat_s = time.monotonic()
        self.job = self._write(job, seen_at=self._now(), **changes)
        if self.job is None:
            self._drop()
            return self._store.jobs.job(job.id)
        return self.job

    def _write(self, job: Job, **changes: Any) -> Job | None:
        """Changes a job that is ours; None where it is not: given up for dead, we lost it to another."""
        if "message" in changes:
            changes["message"] = self._public(changes["message"])[-_MESSAGE_CHARACTERS:]
        if "facts" in changes:
            facts = changes["facts"].items()
            changes["facts"] = {name: self._public(v) if isinstance(v, str) else v for name, v in facts}
        running = (JobState.RUNNING,)
        return self._store.jobs.update_if(job.id, running, held_by=self._terms.worker, **changes)

    def _public(self, words: str) -> str:
        """Without this machine's folders: what a job says is told to everybody."""
        return self._secret_paths.sub("…", words)

    def _drop(self) -> None:
        """Ends the measurement and lets go of the job."""
        if self._child is not None:
            self._child.close()
            self._child = None
        self.job = None


def _paths(state: Path, home: str) -> re.Pattern[str]:
    """The state folder and the home folder, wherever they stand in a text, the longest first."""
    folders = {state.absolute(), state.resolve(), *([Path(home), Path(home).resolve()] if home else [])}
    # `/` as a home would take the beginning of every path.
    names = sorted({str(path) for path in folders if path != Path("/")}, key=len, reverse=True)
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, names)) or '(?!)'})(?![\w-])")


def arguments_of(job: Job, prepared: Prepared, terms: Terms) -> Iterator[str]:
    """The command that does a job."""
    anew = bool(job.facts.get("anew"))
    if job.kind is JobKind.RUN:
        yield from ("run", "--revision", job.head, "--branch", terms.main_branch, "--resume", "--once")
    elif job.kind is JobKind.BISECT:
        yield from ("bisect", job.pattern, prepared.base, job.head, "--resume")
    else:
        yield from ("compare", prepared.base, job.head, "--resume")
        # Asked to measure again: what was measured before is no answer.
        yield from () if anew else ("--once", "--reuse")
    if job.kind is not JobKind.BISECT:
        yield from ("-k", job.pattern) if job.pattern else ()
    yield from ("--profile", job.profile, "--wait-idle", f"{terms.wait_idle_s:.0f}")
    yield from ("--confine",) if terms.confine else ()
    yield from ("--untrusted",) if job.facts.get("foreign") else ()
    yield from terms.extra


def changes_of(job: Job, events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the events of a measurement change in its job."""
    changes: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for event in events:
        match event["event"]:
            case "started":
                changes["comparison"] = str(event.get("id", ""))
            case "total":
                changes["total"] = int(event.get("cases", 0))
            case "done":
                changes["done"] = int(event.get("done", 0))
                changes["total"] = max(int(event.get("total", 0)), changes.get("total", job.total))
            case "waiting":
                changes["message"] = str(event.get("text", ""))[:_MESSAGE_CHARACTERS]
            case "going on":
                changes["message"] = ""
            case "confinement":
                facts["confinement"] = str(event.get("text", ""))
            case "result":
                facts["result"] = event.get("value")
    if facts:
        changes["facts"] = {**job.facts, **facts}
    return changes
