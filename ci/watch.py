"""The service: what GitHub wants, less what the store has, is measured and published, turn after turn.

It has no state of its own. Killed at any moment it starts again, finds its jobs in the store, its comment on
GitHub, and goes on. Trouble with GitHub never stops a measurement, trouble with a measurement never stops the
reconciliation.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ci.handling import Handler, passing_over
from ci.hub import Gone, Hub, HubBusy, PullRequest
from ci.mainline import MainLine
from ci.plan import Plan, plan_pulls
from ci.publish import Publisher
from ci.runner import Runner
from ci.workplace import Workplace
from perfsuite.errors import PerfsuiteError
from perfsuite.model import Job, JobState, Worker
from perfsuite.store import Store

log = logging.getLogger("perfsuite.ci")
LONGEST_PAUSE_S = 900.0
"""Between two attempts to reach GitHub, however long it has been away."""
LOOK_BACK = timedelta(days=7)
"""Comments as old as this are read when the service starts: what was said while it was away."""
OVERLAP = timedelta(minutes=2)
"""Comments are asked for from a little before the newest known one: GitHub's index may lag."""
STALE = timedelta(minutes=10)
"""A job whose worker has not been heard of for this long is somebody else's."""
BEAT_S = 30.0
CLEAN_S = 86_400.0
PROGRESS_S = 20.0
"""A comment is not edited more often than this to count cases."""
TURN_S, IDLE_S = 0.25, 1.0


@dataclass(frozen=True, slots=True)
class Habits:
    """How the service behaves towards GitHub."""

    interval_s: float = 60.0
    profile: str = "pr"
    pattern: str = ""
    worker: str = "worker"
    gpu: str = ""


@dataclass(slots=True)
class Watcher:
    """One repository, one worker."""

    hub: Hub
    store: Store
    place: Workplace
    runner: Runner
    handler: Handler
    publisher: Publisher
    main: MainLine
    habits: Habits
    now: Callable[[], datetime]
    seconds: Callable[[], float] = time.monotonic
    """A clock that only goes forward."""
    _pulls: dict[int, PullRequest] = field(default_factory=dict)
    _approved: set[int] = field(default_factory=set)
    _dirty: set[int] = field(default_factory=set)
    """Pull requests whose comment may have to change."""
    _keys: dict[int, str] = field(default_factory=dict)
    _measured: int = 0
    """Runs of main since the start: each may change what is new in a pull request."""
    _since: datetime | None = None
    _due_s: float = 0.0
    _errors: int = 0
    _beat_s: float = 0.0
    _progress_s: float = -1e9
    _shown: str = ""
    """Id of the job whose progress was last published."""
    _owed: Job | None = None
    """A run of main from which nothing has followed yet."""
    _clean_s: float = 0.0

    def begin(self) -> None:
        """Takes back what this worker had in hand when it was killed."""
        now = self.now()
        for job in self.store.jobs.release(
            self.hub.repository, self.habits.worker, now, stale_before=now - STALE
        ):
            log.info("taking up %s again", job.key)
        self._beat(now)

    def run_once(self) -> None:
        """Until everything that is wanted now is done and published. Raises: what GitHub refuses."""
        self.begin()
        try:
            self.reconcile()
            while self._work() or self._left_to_do():
                self._publish_dirty(force=False)
                time.sleep(TURN_S)
                if self.seconds() >= self._due_s:
                    self.reconcile()
            self.reconcile()
            self._publish_dirty(force=True)
        finally:
            self.end()

    def _left_to_do(self) -> bool:
        waiting = self.store.jobs.jobs(self.hub.repository, states=[JobState.QUEUED], limit=1)
        return self.runner.job is not None or bool(waiting)

    def end(self) -> None:
        self.runner.close()
        self.store.jobs.stop_worker(self.habits.worker, self.now())

    def hurry(self) -> None:
        """Somebody knows that there is news; while GitHub is in trouble its pause is kept."""
        if not self._errors:
            self._due_s = 0.0

    @property
    def busy(self) -> bool:
        return self.runner.job is not None

    def turn(self) -> None:
        """One look at everything that is due; never waits for long."""
        if self.seconds() >= self._due_s:
            self._guarded(self.reconcile)
        self._guarded(self._work)
        self._guarded(lambda: self._publish_dirty(force=False))

    def reconcile(self) -> None:
        """What GitHub says now becomes jobs, cancellations and answers."""
        self._due_s = self.seconds() + self.habits.interval_s
        repository, now = self.hub.repository, self.now()
        self._take_back(now)
        pulls = {pull.number: pull for pull in self.hub.open_pulls()}
        self._pulls = pulls
        for pull in pulls.values():
            self.publisher.seen(pull)
        asked = self._read_comments(now)
        self._approved = {n for n, pull in pulls.items() if self.handler.approved(pull, now)}
        jobs = self._jobs_of(pulls)
        merged = self._merged({job.pull for job in jobs if job.pull is not None} - set(pulls))
        plan = plan_pulls(
            repository,
            list(pulls.values()),
            self._approved,
            jobs,
            now,
            pattern=self.habits.pattern,
            profile=self.habits.profile,
            merged=merged,
        )
        self._apply(plan)
        self.handler.acknowledge()
        self._dirty |= asked | self._changed(pulls) | (self.publisher.unfinished() - set(pulls))
        with passing_over("the main line"):
            for job in self.main.reconcile(now):
                log.info("wanted: %s", job.key)
            self._settle(now)
        self._clean_up()
        self._errors = 0

    def _take_back(self, now: datetime) -> None:
        """Jobs of workers that went away, and what is ours in the store but not in hand: its end could not be
        written down."""
        jobs, repository, worker = self.store.jobs, self.hub.repository, self.habits.worker
        jobs.release(repository, "", now, stale_before=now - STALE)
        in_hand = self.runner.job.id if self.runner.job else ""
        for job in jobs.jobs(repository, states=[JobState.RUNNING]):
            if job.worker == worker and job.id != in_hand:
                jobs.update_if(job.id, [JobState.RUNNING], held_by=worker, state=JobState.QUEUED)

    def _settle(self, now: datetime) -> None:
        """What follows from a run of main: done once, however often GitHub was away meanwhile."""
        if self._owed is not None:
            self.main.measured(self._owed, now)
            self._owed = None

    def _clean_up(self) -> None:
        """Once a day, between two measurements."""
        if self.runner.job is None and self.seconds() >= self._clean_s:
            self._clean_s = self.seconds() + CLEAN_S
            with passing_over("clean-up"):
                self.place.clean_up(self._pulls)

    def _changed(self, pulls: Mapping[int, PullRequest]) -> set[int]:
        """Those where something that their comment shows may have changed: texts are not made for nothing."""
        keys = {number: self._key(pull) for number, pull in pulls.items()}
        changed = {number for number, key in keys.items() if self._keys.get(number) != key}
        self._keys = keys
        return changed

    def _key(self, pull: PullRequest) -> str:
        jobs = self.store.jobs.jobs(self.hub.repository, pull=pull.number)
        states = [(job.id, job.state, job.message, job.done, job.comparison) for job in jobs]
        return repr((pull.head, pull.base_branch, pull.number in self._approved, states, self._measured))

    def _apply(self, plan: Plan) -> None:
        for cancel in plan.cancel:
            log.info("%s: %s", cancel.job.key, cancel.why)
            if cancel.job.pull is not None:
                self._dirty.add(cancel.job.pull)
            if self.runner.job is not None and self.runner.job.id == cancel.job.id:
                self.runner.cancel(cancel.why)
            else:
                # Another worker's job ends when that worker sees the same; what waits ends here.
                self.store.jobs.update_if(
                    cancel.job.id,
                    (JobState.QUEUED,),
                    state=JobState.CANCELLED,
                    message=cancel.why,
                    finished_at=self.now(),
                )
        for job in plan.add:
            if self.store.jobs.add(job):
                log.info("wanted: %s", job.key)

    def _jobs_of(self, pulls: dict[int, PullRequest]) -> list[Job]:
        """All jobs of the open pull requests, and whatever is not over."""
        jobs, repository = self.store.jobs, self.hub.repository
        active = jobs.jobs(repository, states=(JobState.QUEUED, JobState.RUNNING))
        found = {job.id: job for job in active}
        for number in pulls:
            found |= {job.id: job for job in jobs.jobs(repository, pull=number)}
        return list(found.values())

    def _merged(self, numbers: set[int]) -> set[int]:
        """Of pull requests that are not open any more, those that were merged."""
        found = set()
        for number in numbers:
            try:
                if self.hub.pull(number).merged_as:
                    found.add(number)
            except Gone:
                continue
        return found

    def _read_comments(self, now: datetime) -> set[int]:
        since = self._since or now - LOOK_BACK
        comments = list(self.hub.recent_comments(since))
        touched = self.handler.comments(comments, self._pulls, now)
        newest = max((c.updated_at for c in comments if c.updated_at), default=None)
        if newest is not None:
            self._since = max(since, newest - OVERLAP)
        return touched

    def _work(self) -> bool:
        """Whether the runner did something."""
        now = self.now()
        if self.seconds() - self._beat_s > BEAT_S:
            self._beat(now)
        changed = self.runner.turn()
        if changed is None:
            return False
        if changed.pull is not None:
            self._dirty.add(changed.pull)
        elif changed.state is JobState.SUCCEEDED:
            self._measured += 1
            self._owed = changed
            self._settle(now)
        if changed.state is not JobState.RUNNING or changed.id != self._shown:
            self._shown, self._progress_s = changed.id, -PROGRESS_S
        if changed.state is not JobState.RUNNING:
            log.info("%s: %s%s", changed.key, changed.state, _after(changed.message))
        return True

    def _publish_dirty(self, *, force: bool) -> None:
        if not self._dirty or self._errors:
            return
        measuring = self.runner.job is not None and not force
        if measuring and self.seconds() - self._progress_s < PROGRESS_S:
            return
        self._progress_s = self.seconds()
        for number in sorted(self._dirty):
            pull = self._pulls.get(number)
            with passing_over(f"#{number}"):
                if pull is None:
                    self._publish_closed(number)
                else:
                    self.publisher.publish(pull, approved=number in self._approved)
            self._dirty.discard(number)

    def _publish_closed(self, number: int) -> None:
        """A verdict that came after the merge is still told."""
        try:
            pull = self.hub.pull(number)
        except Gone:
            self.publisher.forget(number)
            return
        self.publisher.publish(pull, approved=True)

    def _beat(self, now: datetime) -> None:
        self._beat_s = self.seconds()
        habits = self.habits
        self.store.jobs.beat(Worker(habits.worker, self.hub.repository, now, now, gpu=habits.gpu))

    def _guarded(self, work: Callable[[], object]) -> None:
        """GitHub's trouble is waited out, longer each time; anything expected is told and tried again."""
        try:
            work()
        except PerfsuiteError as error:
            self._errors += 1
            asked_s = error.retry_after_s if isinstance(error, HubBusy) else None
            pause_s = min(LONGEST_PAUSE_S, self.habits.interval_s * 2.0 ** min(self._errors - 1, 10))
            self._due_s = self.seconds() + max(pause_s, asked_s or 0.0)
            log.warning("%s (again in %.0f s)", error.what, self._due_s - self.seconds())


def serve(watchers: Sequence[Watcher], stop: threading.Event, wake: threading.Event) -> None:
    """Watches several repositories with one worker, until told to stop."""
    for watcher in watchers:
        watcher.begin()
    try:
        while not stop.is_set():
            for watcher in watchers:
                watcher.turn()
            if wake.wait(TURN_S if any(w.busy for w in watchers) else IDLE_S):
                wake.clear()
                for watcher in watchers:
                    watcher.hurry()
    finally:
        for watcher in watchers:
            watcher.end()


def _after(message: str) -> str:
    return f": {message.splitlines()[0]}" if message else ""
