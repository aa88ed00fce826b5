"""The main line: its commits measured, its change points turned into alerts, silence told."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ci.child import child_environ
from ci.hub import Gone, Hub
from ci.issues import WAITING, sync_issues
from ci.plan import plan_main
from ci.runner import Terms
from ci.silence import SILENT, silent, to_alerts
from ci.workplace import Workplace
from perfsuite.errors import UsageError
from perfsuite.model import Alert, AlertState, Command, Job, JobKind, JobState
from perfsuite.store import Store

log = logging.getLogger("perfsuite.ci")
MOST_COMMITS = 200
"""Looked at on the main line: what is older is for `perfsuite backfill`."""
_MOST_JOBS = 2 * MOST_COMMITS
"""A commit has one job, made when it is new: the newest of them are those of these commits, and of as many
that a force-push left behind."""
_UPDATE_TIMEOUT_S = 600.0


@dataclass(slots=True)
class MainLine:
    hub: Hub
    store: Store
    place: Workplace
    terms: Terms
    pattern: str = ""
    profile: str = "pr"
    quiet_after: timedelta = timedelta(days=3)
    worker_after: timedelta = timedelta(hours=1)
    issues: bool = False
    """Whether open alerts are told as issues."""
    _tip: str = field(default="")
    _told: list[Alert] | None = field(default=None)
    """The open alerts that the issues tell of; None where that is not known."""

    def reconcile(self, now: datetime) -> list[Job]:
        """New commits of the main line become jobs; what should have arrived and did not becomes an alert."""
        added = self._new_jobs(now)
        self._listen(now)
        if self.issues:
            self._tell()
        return added

    def measured(self, job: Job, now: datetime) -> None:
        """After a run of the main line: change points, and what people had accepted beforehand."""
        if "nothing" in job.facts:
            return
        self._update_alerts()
        self._expect(now)

    def _new_jobs(self, now: datetime) -> list[Job]:
        branch = self.terms.main_branch
        try:
            tip = self.hub.branch(branch)
        except Gone:
            return []
        if tip == self._tip:
            return []
        self.place.fetch()
        jobs = self.store.jobs.jobs(self.hub.repository, kind=JobKind.RUN, limit=_MOST_JOBS)
        measured = {job.head for job in jobs if job.state.over}
        commits = [c.sha for c in self.place.waiting_commits(branch, measured, MOST_COMMITS)]
        plan = plan_main(self.hub.repository, commits, jobs, now, pattern=self.pattern, profile=self.profile)
        self._tip = tip
        return [job for job in plan.add if self.store.jobs.add(job)]

    def _update_alerts(self) -> None:
        """In a process of its own: the statistics of a long history shall not hold up the service."""
        command = [sys.executable, "-P", "-m", "perfsuite.cli", "alerts", "update"]
        try:
            done = subprocess.run(
                [*command, "--repository", self.hub.repository],
                cwd=self.place.home,
                env=child_environ(self.terms.environ, self.store.url),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_UPDATE_TIMEOUT_S,
                check=False,
                text=True,
            )
        except subprocess.TimeoutExpired:
            log.warning("looking for change points took longer than %.0f s", _UPDATE_TIMEOUT_S)
            return
        if done.returncode:
            log.warning("looking for change points failed: %s", done.stderr.strip()[-500:])

    def _expect(self, now: datetime) -> None:
        """Alerts of what was accepted in a pull request are expected: somebody has said who and why."""
        waiting = self.store.reader.alerts(self.hub.repository, states=WAITING)
        if not waiting:
            return
        for command in self.store.jobs.commands(self.hub.repository, verb="accept"):
            cases = [str(case) for case in command.arguments.get("cases", ())]
            mine = [alert for alert in waiting if alert.case in cases and alert.kind == "slower"]
            if mine and (merged := self._merged_as(command)):
                self._set_expected(command, mine, merged, now)

    def _set_expected(self, command: Command, alerts: Sequence[Alert], merged: str, now: datetime) -> None:
        reason = f"accepted in #{command.pull}: {command.arguments.get('reason', '')}"
        for alert in alerts:
            if self._within(merged, alert):
                self.store.set_alert(alert.id, AlertState.EXPECTED, reason, command.author, now)

    def _merged_as(self, command: Command) -> str:
        """Sha of the merge commit of a command's pull request; empty while it is not merged."""
        known = command.arguments.get("merged")
        if known:
            return str(known)
        try:
            merged = self.hub.pull(command.pull).merged_as or ""
        except Gone:
            return ""
        if merged:
            arguments = {**command.arguments, "merged": merged}
            self.store.jobs.change_command(command.repository, command.source, arguments=arguments)
        return merged

    def _within(self, merged: str, alert: Alert) -> bool:
        """Whether a merge lies between the last commit of the old level and the first of the new one."""
        mirror = self.place.mirror
        known = all(mirror.has(sha) for sha in (merged, alert.before, alert.after) if sha)
        return (
            known and mirror.is_ancestor(merged, alert.after) and not mirror.is_ancestor(merged, alert.before)
        )

    def _listen(self, now: datetime) -> None:
        repository = self.hub.repository
        jobs = self.store.jobs.jobs(repository, states=(JobState.QUEUED, JobState.RUNNING))
        runs = self.store.reader.runs(limit=1, kind="run", repository=repository)
        quiet = silent(
            now,
            runs=(runs[0].finished_at or runs[0].started_at) if runs else None,
            newest_commit_at=self._newest_commit_at(),
            jobs=jobs,
            workers=self.store.jobs.workers(repository),
            quiet_after_s=self.quiet_after.total_seconds(),
            worker_after_s=self.worker_after.total_seconds(),
        )
        known = self.store.reader.alerts(repository, kind=SILENT)
        alerts = to_alerts(quiet, repository, known, now)
        self.store.save_alerts(alerts)

    def _tell(self) -> None:
        """Alerts become issues, whoever changed them: a run, a silence, or a person who triaged."""
        repository = self.hub.repository
        waiting = self.store.reader.alerts(repository, states=WAITING)
        if waiting == self._told:
            return
        try:
            whole = sync_issues(self.hub, self.store.reader.alerts(repository))
        except UsageError as error:
            # Issues are switched off, or not ours to write: no reason to stop measuring, nor to ask again.
            log.warning("issues cannot be written: %s", error.what)
            whole = True
        self._told = waiting if whole else None

    def _newest_commit_at(self) -> datetime | None:
        """Of the commits that a run was wanted of."""
        wanted = self.store.jobs.jobs(self.hub.repository, kind=JobKind.RUN, limit=1)
        return wanted[0].created_at if wanted else None
