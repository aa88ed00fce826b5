"""What is wanted, less what is done, is the work. Pure: what GitHub says and what the store holds come in,
jobs to add and jobs to cancel come out; asking again with them in the store gives nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ci.hub import PullRequest
from perfsuite.model import Job, JobKind, JobState

ASKED, PULL, NEWEST, FILLING = 30, 20, 10, 0
"""Priorities: what a person waits for, a pull request, the newest commit of main, the commits between."""
CLOSED = "the pull request was closed"


@dataclass(frozen=True, slots=True)
class Cancel:
    job: Job
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    add: tuple[Job, ...] = ()
    cancel: tuple[Cancel, ...] = ()


def job_id(repository: str, key: str) -> str:
    """The same wish has the same id, whoever has it."""
    return hashlib.sha256(f"{repository}\n{key}".encode()).hexdigest()[:32]


def plan_pulls(
    repository: str,
    pulls: Iterable[PullRequest],
    approved: Collection[int],
    jobs: Sequence[Job],
    now: datetime,
    *,
    pattern: str = "",
    profile: str = "pr",
    merged: Collection[int] = (),
) -> Plan:
    """The heads of open pull requests that nobody has measured, and the jobs that nobody wants any more.

    Args:
        pulls: all open pull requests.
        approved: numbers of those whose head may be run: our own branches, and forks that a writer approved.
        jobs: of pull requests, over or not, in any order.
        merged: pull requests that are closed because they were merged: what runs for them may end.
    """
    present = {pull.number: pull for pull in pulls}
    add = []
    for pull in present.values():
        if pull.number in approved:
            key = _free_key(pull, jobs)
            if key:
                add.append(_job(repository, JobKind.COMPARE, key, pull.head, now, pattern, profile, pull))
    cancel = [
        Cancel(job, why)
        for job in jobs
        if not job.state.over and job.pull is not None and (why := _unwanted(job, present, merged))
    ]
    return Plan(tuple(add), tuple(cancel))


def plan_main(
    repository: str,
    commits: Sequence[str],
    jobs: Iterable[Job],
    now: datetime,
    *,
    pattern: str = "",
    profile: str = "pr",
) -> Plan:
    """The commits of the main line that wait to be measured: the newest first, then every gap halved.

    Args:
        commits: those that can move a benchmark and are newer than the newest measured one, oldest first.
        jobs: of kind `run`, over or not.
    """
    known = {job.head for job in jobs}
    add = []
    for place, index in enumerate(coarse_to_fine(len(commits))):
        sha = commits[index]
        if sha not in known:
            priority = NEWEST if place == 0 else FILLING - place
            job = _job(repository, JobKind.RUN, f"main/{sha}", sha, now, pattern, profile, None)
            add.append(replace(job, priority=priority))
    return Plan(tuple(add))


def coarse_to_fine(count: int) -> list[int]:
    """All of 0 … count − 1: the last one first, then the middles of ever smaller gaps, newer gaps first."""
    if count == 0:
        return []
    order = [count - 1]
    gaps = [(0, count - 1)]
    while gaps:
        halves = []
        for low, high in gaps:
            if low < high:
                middle = (low + high) // 2
                order.append(middle)
                halves += [(middle + 1, high), (low, middle)]
        gaps = halves
    return order


def asked_job(
    repository: str,
    source: str,
    pull: PullRequest,
    now: datetime,
    *,
    kind: JobKind = JobKind.COMPARE,
    pattern: str = "",
    profile: str = "pr",
    by: str = "",
    facts: Mapping[str, object] | None = None,
) -> Job:
    """What a comment asks for: one job a comment, however often it is read."""
    key = f"pull/{pull.number}/{source}"
    return Job(
        job_id(repository, key),
        repository,
        kind,
        key,
        pull.head,
        now,
        pull=pull.number,
        pattern=pattern,
        profile=profile,
        requested_by=by,
        priority=ASKED,
        facts={**_facts(repository, pull), **(facts or {})},
    )


def compared_with(job: Job, pull: PullRequest) -> bool:
    """Whether a job is of a pull request's present head and base branch."""
    return job.head == pull.head and job.facts.get("base_branch", pull.base_branch) == pull.base_branch


def _free_key(pull: PullRequest, jobs: Sequence[Job]) -> str | None:
    """The key under which a head is still to be measured; None where it is, or is going to be.

    A head that was superseded and comes back (a force-push to and fro) gets another job, and so does one
    whose pull request goes to another branch now.
    """
    key = f"pull/{pull.number}/{pull.head}"
    mine = [job for job in jobs if job.key == key or job.key.startswith(f"{key}#")]
    if any(job.state is not JobState.CANCELLED and compared_with(job, pull) for job in mine):
        return None
    return f"{key}#{len(mine) + 1}" if mine else key


def _unwanted(job: Job, present: Mapping[int, PullRequest], merged: Collection[int]) -> str:
    assert job.pull is not None
    pull = present.get(job.pull)
    if pull is None:
        return "" if job.pull in merged and job.state is JobState.RUNNING else CLOSED
    if job.head != pull.head:
        return f"superseded by {pull.head[:10]}"
    return "" if compared_with(job, pull) else f"the base branch is {pull.base_branch} now"


def _job(
    repository: str,
    kind: JobKind,
    key: str,
    head: str,
    now: datetime,
    pattern: str,
    profile: str,
    pull: PullRequest | None,
) -> Job:
    return Job(
        job_id(repository, key),
        repository,
        kind,
        key,
        head,
        now,
        pull=pull.number if pull else None,
        pattern=pattern,
        profile=profile,
        priority=PULL,
        facts=_facts(repository, pull) if pull else {},
    )


def _facts(repository: str, pull: PullRequest) -> dict[str, object]:
    """What the runner has to know, whether or not GitHub can be asked by then."""
    return {"base_branch": pull.base_branch, "foreign": pull.foreign(repository)}
