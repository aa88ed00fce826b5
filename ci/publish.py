"""What the store knows of a pull request, as its comment and its check. Written only where it changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from ci.body import Extra, Stage, View, pull_body
from ci.checks import check_of, kernels_to_place
from ci.handling import SEEN, seen_source
from ci.hub import Check, CheckState, Hub, PullRequest
from ci.metrics import metrics
from ci.plan import CLOSED, compared_with
from ci.post import PullComments, upsert
from ci.rules import trunk_of
from ci.sorting import launch_orders, sort_cases
from perfsuite.config import Headline
from perfsuite.model import (
    CaseComparison,
    Command,
    Comparison,
    ComparisonReport,
    Job,
    JobKind,
    JobState,
    Result,
)
from perfsuite.report.conditions import conditions
from perfsuite.stats.judge import judge
from perfsuite.store import Reader, Store

CHECK = "perfsuite"
FINISHED = "finished"
"""Key in what is kept of a head: its check has had its last word."""
SHOWN_ASKED = 5
"""Of what people asked for, the newest so many are in the comment."""
_STAGES = {
    JobState.QUEUED: Stage.QUEUED,
    JobState.RUNNING: Stage.MEASURING,
    JobState.SUCCEEDED: Stage.DONE,
    JobState.FAILED: Stage.FAILED,
    JobState.CANCELLED: Stage.CANCELLED,
}


_ENDED = (Stage.DONE, Stage.FAILED, Stage.NOTHING)
_ACTIVE = (JobState.QUEUED, JobState.RUNNING)


class Sources(Protocol):
    """What git knows: of the main line, and where kernels are defined."""

    def commits_after(self, base: str, branch: str) -> list[str]: ...

    def definitions(self, sha: str, names: set[str]) -> Mapping[str, tuple[str, int, int]]: ...

    def subject(self, sha: str) -> str: ...

    def headlines(self, base: str) -> Sequence[Headline]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the comment's links lead."""

    dashboard: str = ""
    pictures: str = ""
    """Public address below which pictures are served; empty where they are not."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A comparison with its verdicts and the results that they were made of."""

    report: ComparisonReport
    base: Sequence[Result]
    head: Sequence[Result]


def read_shown(reader: Reader, reference: str) -> Shown:
    """Verdicts are computed from the stored samples, each time."""
    comparison = reader.comparison(reference)
    base, head = (reader.results(run.id) for run in (comparison.base, comparison.head))
    return Shown(judge(comparison, base, head), base, head)


@dataclass(frozen=True, slots=True)
class Publisher:
    hub: Hub
    store: Store
    sources: Sources
    now: Callable[[], datetime]
    place: Place = Place()
    main_branch: str = "main"

    def publish(self, pull: PullRequest, *, approved: bool) -> None:
        """Brings the comment and the checks of a pull request up to date. Safe to repeat at any time."""
        view = self.view(pull, approved=approved)
        active = self.store.jobs.jobs(self.hub.repository, pull=pull.number, states=_ACTIVE, limit=1)
        if pull.open or active or view.stage in _ENDED:
            self._publish_comment(pull, pull_body(view))
            self._publish_check(self.seen(pull), self._check(view))
        for seen in self._left_behind(pull):
            self._close_check(seen, pull, f"superseded by {pull.head[:10]}")
        if not pull.open and not active:
            self._close_check(self.seen(pull), pull, CLOSED)

    def forget(self, number: int) -> None:
        """A pull request that is gone has nothing to be brought up to date."""
        for seen in self.store.jobs.commands(self.hub.repository, pull=number, verb=SEEN):
            self._finish(seen)

    def unfinished(self) -> set[int]:
        """Numbers of the pull requests with a check that may not have its last word."""
        seen = self.store.jobs.commands(self.hub.repository, verb=SEEN, without=FINISHED)
        return {command.pull for command in seen}

    def _publish_comment(self, pull: PullRequest, body: str) -> None:
        # Of the pull request, not of its head: all heads share the one comment.
        source = f"comment-of/{pull.number}"
        jobs, repository, digest = self.store.jobs, self.hub.repository, _digest(body)
        known = jobs.command(repository, source)
        if known is not None and known.arguments.get("comment") == digest:
            return
        upsert(PullComments(self.hub, pull.number), body)
        if known is None:
            jobs.add_command(Command(repository, source, "published", pull.number, "", "", self.now()))
        jobs.change_command(repository, source, arguments={"comment": digest})

    def _publish_check(self, seen: Command, check: Check) -> None:
        digest = _digest(repr(check))
        if seen.arguments.get("check") == digest:
            return
        self.hub.publish_check(check)
        self.store.jobs.change_command(seen.repository, seen.source, arguments={"check": digest})

    def _left_behind(self, pull: PullRequest) -> list[Command]:
        """Other heads of a pull request whose check may still be in progress."""
        seen = self.store.jobs.commands(self.hub.repository, pull=pull.number, verb=SEEN, without=FINISHED)
        return [command for command in seen if command.head != pull.head]

    def _close_check(self, seen: Command, pull: PullRequest, words: str) -> None:
        """The last word on a head: what was found of it, or why nothing was."""
        view = self.view(replace(pull, head=seen.head), approved=True)
        if view.stage in _ENDED:
            check = self._check(view)
        else:
            check = Check(CHECK, seen.head, _identity(view), CheckState.DONE, "cancelled", words, words)
        if "check" in seen.arguments:
            self._publish_check(seen, check)
        self._finish(seen)

    def _finish(self, seen: Command) -> None:
        arguments = {**self._arguments(seen), FINISHED: True}
        self.store.jobs.change_command(seen.repository, seen.source, arguments=arguments)

    def _arguments(self, seen: Command) -> dict[str, Any]:
        found = self.store.jobs.command(seen.repository, seen.source)
        return dict(found.arguments) if found else {}

    def view(self, pull: PullRequest, *, approved: bool) -> View:
        """What is to be shown of a pull request's head."""
        jobs = self.store.jobs.jobs(self.hub.repository, pull=pull.number)
        job = next((job for job in jobs if _is_main_job(job) and compared_with(job, pull)), None)
        view = View(
            repository=self.hub.repository,
            pull=pull.number,
            head=pull.head,
            stage=Stage.QUEUED if approved else Stage.UNAPPROVED,
            head_subject=self.sources.subject(pull.head),
            base_branch=pull.base_branch,
        )
        if job is None:
            return view
        view = replace(view, **_stage_of(job), base=job.base, notes=_notes(job))
        accepted = tuple(self.store.jobs.commands(self.hub.repository, pull=pull.number, verb="accept"))
        view = replace(view, accepted=accepted, extras=self._extras(jobs, pull.head))
        reference, previous = _newest_result(jobs, job)
        if reference:
            view = self._with_report(view, reference, previous, accepted, pull)
        return view

    def red_cases(self, pull: PullRequest) -> list[CaseComparison]:
        """The red cases of the newest results of a head: what can be accepted."""
        jobs = self.store.jobs.jobs(self.hub.repository, pull=pull.number, kind=JobKind.COMPARE)
        found: dict[str, CaseComparison] = {}
        for job in reversed([job for job in jobs if job.head == pull.head and job.comparison]):
            report = read_shown(self.store.reader, job.comparison).report
            found |= {compared.case: compared for compared in report.comparisons}
        return [compared for compared in found.values() if compared.verdict.red]

    def _with_report(
        self,
        view: View,
        reference: str,
        previous: str,
        accepted: Sequence[Command],
        pull: PullRequest,
    ) -> View:
        shown = read_shown(self.store.reader, reference)
        comparison = shown.report.comparison
        after = self.sources.commits_after(comparison.base.commit.sha, pull.base_branch)
        fingerprint = comparison.head.environment.fingerprint
        trunk = trunk_of(self.store.reader, self.hub.repository, fingerprint, after)
        sorting = sort_cases(shown.report, launch_orders(shown.head), trunk, accepted, self.now())
        headlines = self.sources.headlines(comparison.base.commit.sha)
        address = f"{self.place.pictures.rstrip('/')}/{comparison.id}.svg" if self.place.pictures else None
        return replace(
            view,
            report=shown.report,
            sorted=sorting,
            metrics=metrics(shown.report, headlines, base=shown.base, head=shown.head),
            previous_head=previous,
            notes=conditions(comparison.head.environment),
            image_url=address,
            at=comparison.finished_at or comparison.started_at,
            **self._links(comparison),
        )

    def _extras(self, jobs: Sequence[Job], head: str) -> tuple[Extra, ...]:
        """What people asked for at this head, the newest first."""
        asked = [job for job in jobs if not _is_main_job(job) and job.head == head]
        return tuple(self._extra(job) for job in asked[:SHOWN_ASKED])

    def _extra(self, job: Job) -> Extra:
        from ci.asked import asked_extra

        shown = read_shown(self.store.reader, job.comparison) if _has_comparison(job) else None
        return asked_extra(job, shown.report if shown else None)

    def _check(self, view: View) -> Check:
        wanted = kernels_to_place(view)
        places = self.sources.definitions(view.head, wanted) if wanted else {}
        return check_of(
            view, _identity(view), CHECK, details_url=view.links.get("dashboard", ""), definitions=places
        )

    def _links(self, comparison: Comparison) -> dict[str, Any]:
        """The pages of `dashboard.pages` about it."""
        if not self.place.dashboard:
            return {}
        address, which = self.place.dashboard.rstrip("/"), f"comparison={quote(comparison.id)}"
        return {
            "links": {"dashboard": f"{address}/compare?{which}"},
            "case_page": f"{address}/case?{which}&case=",
        }

    def seen(self, pull: PullRequest) -> Command:
        """When this head was first seen, by GitHub's clock, and what has been published of it."""
        source = seen_source(pull)
        jobs = self.store.jobs
        found = jobs.command(self.hub.repository, source)
        if found is not None:
            return found
        at = pull.seen_at or self.now()
        jobs.add_command(Command(self.hub.repository, source, SEEN, pull.number, pull.head, "", at))
        return jobs.command(self.hub.repository, source) or self.seen(pull)


def _identity(view: View) -> str:
    """How the one check of a head is found again, whichever job looks after it."""
    return f"{view.pull}-{view.head}"


def _is_main_job(job: Job) -> bool:
    """Whether a job decides the verdict on its head: the service's own, or all of it measured on request."""
    return job.kind is JobKind.COMPARE and (not job.requested_by or not job.pattern)


def _has_comparison(job: Job) -> bool:
    return bool(job.comparison) and job.kind is JobKind.COMPARE and job.state is JobState.SUCCEEDED


def _newest_result(jobs: Sequence[Job], job: Job) -> tuple[str, str]:
    """The comparison to show, and whose head's it is where it is not this job's."""
    if job.comparison and job.state is JobState.SUCCEEDED:
        return job.comparison, ""
    for other in jobs:
        if _is_main_job(other) and _has_comparison(other):
            return other.comparison, other.head if other.head != job.head else ""
    return "", ""


def _stage_of(job: Job) -> dict[str, Any]:
    stage, words = _STAGES[job.state], job.message
    if job.state is JobState.SUCCEEDED and "nothing" in job.facts:
        stage, words = Stage.NOTHING, str(job.facts["nothing"])
    elif job.state is JobState.RUNNING and words:
        stage = Stage.WAITING
    trouble = bool(job.facts.get("machine_trouble"))
    counts = {"done": job.done, "total": job.total}
    return {"stage": stage, "stage_text": words, "machine_trouble": trouble, **counts}


def _notes(job: Job) -> tuple[str, ...]:
    return tuple(str(job.facts[name]) for name in ("confinement", "machine") if job.facts.get(name))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
