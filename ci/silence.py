"""Silence is an alarm: nothing is measured though there is work, or a worker went away. Pure.

Cases that stopped arriving are alerts of the kind `missing` already (`perfsuite.stats.alerts`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from perfsuite.codec import utc
from perfsuite.model import Alert, AlertState, Job, JobState, Worker
from perfsuite.stats.alerts import US

SILENT = "silent"
"""Kind of these alerts."""
RUNS = "(runs)"
"""Stands for the case in an alert that nothing is measured: no case id is in parentheses."""
_UNDECIDED = (AlertState.OPEN, AlertState.ACKNOWLEDGED)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Something that should say something and does not."""

    name: str
    """`(runs)`, `(worker NAME)` or `(job KEY)`: stands for the case in its alert."""
    since: datetime | None
    """When it was last heard of; None where it never was."""
    text: str


def silent(
    now: datetime,
    *,
    runs: datetime | None,
    newest_commit_at: datetime | None,
    jobs: Sequence[Job],
    workers: Sequence[Worker],
    quiet_after_s: float,
    worker_after_s: float,
) -> list[Quiet]:
    """What is silent now, in a fixed order.

    Args:
        runs: when the newest run was finished; None where there is none.
        newest_commit_at: time of the newest commit of the main line that has to be measured.
        jobs: at least those that are queued or running.
        workers: all that are known; those that stopped in order are not missed.
        quiet_after_s: how long work may wait without any run being finished.
        worker_after_s: how long a worker may say nothing.
    """
    away = [worker for worker in workers if worker.stopped_at is None]
    away = sorted((w for w in away if _age_s(w.seen_at, now) > worker_after_s), key=lambda w: w.name)
    gone = {worker.name for worker in away}
    left = [job for job in jobs if job.state is JobState.RUNNING and job.worker not in gone]
    left = sorted((j for j in left if _age_s(_heard(j), now) > worker_after_s), key=lambda j: j.key)
    return [
        *_no_runs(now, runs, newest_commit_at, jobs, quiet_after_s),
        *(
            Quiet(f"(worker {w.name})", w.seen_at, f"nothing heard of the worker since {_moment(w.seen_at)}")
            for w in away
        ),
        *(
            Quiet(f"(job {j.key})", _heard(j), f"running, but nobody works on it since {_moment(_heard(j))}")
            for j in left
        ),
    ]


def to_alerts(
    quiet: Sequence[Quiet], repository: str, existing: Sequence[Alert], now: datetime
) -> list[Alert]:
    """The alerts that are new or changed by what is silent now: what has to be saved, empty most of the time.

    One alert while a silence lasts, however often this is asked; when it ends, the alert is fixed. What a
    person called expected, noise or fixed stays so, and raises no other until the next silence.

    Args:
        existing: alerts of this repository, of any kind and state.
    """
    ours = [alert for alert in existing if alert.kind == SILENT and alert.repository == repository]
    return [*_ended(quiet, ours, now), *_lasting(quiet, repository, ours, now)]


def _no_runs(
    now: datetime,
    runs: datetime | None,
    commit_at: datetime | None,
    jobs: Sequence[Job],
    quiet_after_s: float,
) -> Iterator[Quiet]:
    # A commit after a quiet weekend may wait as long as any other: what counts is how long there was work and
    # nothing was finished.
    queued = [job.created_at for job in jobs if job.state is JobState.QUEUED]
    waiting = list(queued)
    if commit_at is not None and (runs is None or commit_at > runs):
        waiting.append(commit_at)
    if not waiting:
        return
    since = min(waiting)
    if _age_s(max(since, runs or since), now) <= quiet_after_s:
        return
    last = f"no run since {_moment(runs)}" if runs else "there was no run yet"
    what = f"{len(queued)} {'job waits' if len(queued) == 1 else 'jobs wait'}" if queued else "a commit waits"
    yield Quiet(RUNS, runs, f"{last}, though {what} since {_moment(since)}")


def _ended(quiet: Sequence[Quiet], ours: Sequence[Alert], now: datetime) -> Iterator[Alert]:
    lasting = {item.name for item in quiet}
    for alert in ours:
        if alert.case not in lasting and alert.state in _UNDECIDED:
            reason = f"silent no longer at {_moment(now)}"
            yield replace(alert, state=AlertState.FIXED, reason=reason, changed_by=US, changed_at=now)


def _lasting(
    quiet: Sequence[Quiet], repository: str, ours: Sequence[Alert], now: datetime
) -> Iterator[Alert]:
    for item in quiet:
        same = [alert for alert in ours if alert.case == item.name]
        if any(alert.state in _UNDECIDED for alert in same):
            continue
        made = _alert(item, repository, now)
        known = next((alert for alert in same if alert.before == made.before), None)
        if known is None:
            yield made
        elif known.changed_by == US:
            yield replace(known, state=AlertState.OPEN, reason=item.text, changed_by=US, changed_at=now)


def _alert(item: Quiet, repository: str, now: datetime) -> Alert:
    since = utc(item.since).isoformat(timespec="seconds") if item.since else ""
    key = "\0".join((repository, SILENT, item.name, since))
    return Alert(
        id=hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32],
        repository=repository,
        case=item.name,
        fingerprint="",
        kind=SILENT,
        # Not a commit: what tells this silence from the next one.
        before=since,
        after="",
        change=None,
        low=None,
        high=None,
        raised_at=now,
        reason=item.text,
    )


def _heard(job: Job) -> datetime:
    return job.seen_at or job.started_at or job.created_at


def _age_s(moment: datetime, now: datetime) -> float:
    return (now - moment) / timedelta(seconds=1)


def _moment(moment: datetime) -> str:
    return f"{utc(moment):%Y-%m-%d %H:%M} UTC"
