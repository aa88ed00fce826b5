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
SHOWN_ASKED = 5
"""Of what people asked for, the newest so many are in the comment."""
_STAGES = {
    JobState.QUEUED: Stage.QUEUED,
    JobState.RUNNING: Stage.MEASURING,
    JobState.SUCCEEDED: Stage.DONE,
    JobState.FAILED: Stage.FAILED,
    JobState.CANCELLED: Stage.CANCELLED,
}


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
        """Brings the comment and the check of a pull request up to date. Safe to repeat at any time."""
        seen = self.seen(pull)
        view, job = self.view(pull, approved=approved)
        body = pull_body(view)
        check = self._check(view, job)
        told = dict(seen.arguments)
        for name, value in (("comment", _digest(body)), ("check", _digest(repr(check)))):
            if told.get(name) == value:
                continue
            if name == "comment":
                upsert(PullComments(self.hub, pull.number), body)
            else:
                self.hub.publish_check(check)
            told[name] = value
            self.store.jobs.change_command(seen.repository, seen.source, arguments=told)
        self.close_checks(pull.number)

    def close_checks(self, number: int) -> None:
        """Checks of heads that were left behind do not stay in progress for ever."""
        jobs = self.store.jobs.jobs(self.hub.repository, pull=number, states=[JobState.CANCELLED])
        for job in jobs:
            if _is_main_job(job) and not job.facts.get("closed"):
                title = job.message.splitlines()[0] if job.message else "cancelled"
                self.hub.publish_check(
                    Check(CHECK, job.head, job.id, CheckState.DONE, "cancelled", title[:140], title)
                )
                self.store.jobs.update(job.id, facts={**job.facts, "closed": True})

    def view(self, pull: PullRequest, *, approved: bool) -> tuple[View, Job | None]:
        """What is to be shown of its head, and the job that does it."""
        jobs = self.store.jobs.jobs(self.hub.repository, pull=pull.number)
        job = next((job for job in jobs if _is_main_job(job) and job.head == pull.head), None)
        view = View(
            repository=self.hub.repository,
            pull=pull.number,
            head=pull.head,
            stage=Stage.QUEUED if approved else Stage.UNAPPROVED,
            head_subject=self.sources.subject(pull.head),
            base_branch=pull.base_branch,
        )
        if job is None:
            return view, None
        view = replace(view, **_stage_of(job), base=job.base, notes=_notes(job))
        accepted = tuple(self.store.jobs.commands(self.hub.repository, pull=pull.number, verb="accept"))
        view = replace(view, accepted=accepted, extras=self._extras(jobs, pull.head))
        reference, previous = _newest_result(jobs, job)
        if reference:
            view = self._with_report(view, reference, previous, accepted, pull)
        return view, job

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
            links=self._links(comparison),
        )

    def _extras(self, jobs: Sequence[Job], head: str) -> tuple[Extra, ...]:
        """What people asked for at this head, the newest first."""
        asked = [job for job in jobs if not _is_main_job(job) and job.head == head]
        return tuple(self._extra(job) for job in asked[:SHOWN_ASKED])

    def _extra(self, job: Job) -> Extra:
        from ci.asked import asked_extra

        shown = read_shown(self.store.reader, job.comparison) if _has_comparison(job) else None
        return asked_extra(job, shown.report if shown else None)

    def _check(self, view: View, job: Job | None) -> Check:
        wanted = kernels_to_place(view)
        places = self.sources.definitions(view.head, wanted) if wanted else {}
        identity = job.id if job else f"{view.pull}-{view.head}"
        return check_of(view, identity, details_url=view.links.get("dashboard", ""), definitions=places)

    def _links(self, comparison: Comparison) -> dict[str, str]:
        if not self.place.dashboard:
            return {}
        address = self.place.dashboard.rstrip("/")
        return {"dashboard": f"{address}/?comparison={quote(comparison.id)}"}

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
    return {"stage": stage, "stage_text": words, "done": job.done, "total": job.total}


def _notes(job: Job) -> tuple[str, ...]:
    return tuple(str(job.facts[name]) for name in ("confinement", "machine") if job.facts.get(name))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
