"""Wanted less done: what becomes a job, what is cancelled, and in which order main is measured."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ci.hub import PullRequest
from ci.plan import ASKED, FILLING, NEWEST, PULL, Plan, asked_job, coarse_to_fine, plan_main, plan_pulls
from perfsuite.model import Job, JobKind, JobState

REPOSITORY = "acme/kernels"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def sha(letter: str) -> str:
    return letter * 40


def pull(number: int = 7, head: str = "a", *, source: str | None = REPOSITORY) -> PullRequest:
    return PullRequest(number, "A title", "ann", sha(head), "topic", source, "main", sha("0"), open=True)


def planned(pulls: list[PullRequest], jobs: list[Job], **more: object) -> Plan:
    approved = {one.number for one in pulls}
    return plan_pulls(REPOSITORY, pulls, approved, jobs, NOW, **more)  # type: ignore[arg-type]


def test_a_new_head_is_wanted_once() -> None:
    first = planned([pull()], [])
    assert [(job.kind, job.head, job.pull, job.priority) for job in first.add] == [
        (JobKind.COMPARE, sha("a"), 7, PULL)
    ]
    assert first.add[0].facts == {"base_branch": "main", "foreign": False}
    assert planned([pull()], list(first.add)) == Plan()


def test_what_is_over_is_not_wanted_again() -> None:
    job = planned([pull()], []).add[0]
    for state in (JobState.SUCCEEDED, JobState.FAILED):
        assert planned([pull()], [replace(job, state=state)]) == Plan()


def test_a_push_supersedes_what_is_queued_or_running() -> None:
    jobs = [replace(planned([pull()], []).add[0], state=state) for state in JobState]
    plan = planned([pull(head="b")], jobs)
    assert {cancel.job.state for cancel in plan.cancel} == {JobState.QUEUED, JobState.RUNNING}
    assert all(cancel.why == f"superseded by {sha('b')[:10]}" for cancel in plan.cancel)
    assert [job.head for job in plan.add] == [sha("b")]


def test_a_superseded_head_that_comes_back_is_measured_after_all() -> None:
    job = replace(planned([pull()], []).add[0], state=JobState.CANCELLED)
    again = planned([pull()], [job]).add
    assert [one.key for one in again] == [f"{job.key}#2"]
    assert again[0].id != job.id
    assert planned([pull()], [job, *again]) == Plan()


def test_a_foreign_head_waits_for_approval() -> None:
    fork = pull(source="mallory/kernels")
    assert plan_pulls(REPOSITORY, [fork], set(), [], NOW) == Plan()
    (job,) = plan_pulls(REPOSITORY, [fork], {7}, [], NOW).add
    assert job.facts["foreign"] is True


def test_closing_cancels_but_a_merge_lets_the_running_one_end() -> None:
    job = planned([pull()], []).add[0]
    running = replace(job, state=JobState.RUNNING)
    assert [cancel.job for cancel in planned([], [job, running]).cancel] == [job, running]
    merged = planned([], [job, running], merged={7})
    assert [cancel.job.state for cancel in merged.cancel] == [JobState.QUEUED]


def test_what_a_comment_asks_for_is_one_job_and_goes_first() -> None:
    first, again = (asked_job(REPOSITORY, "comment/5", pull(), NOW, by="ann") for _ in range(2))
    assert first == again
    assert first.priority == ASKED > PULL > NEWEST > FILLING
    assert first.requested_by == "ann"


def test_main_is_measured_newest_first_then_halved() -> None:
    commits = [sha(letter) for letter in "abcde"]
    jobs = plan_main(REPOSITORY, commits, [], NOW).add
    order = [job.head[0] for job in sorted(jobs, key=lambda job: -job.priority)]
    assert order[0] == "e"
    assert sorted(order) == list("abcde")
    assert plan_main(REPOSITORY, commits, jobs, NOW) == Plan()
    later = plan_main(REPOSITORY, commits, jobs[:2], NOW + timedelta(days=1))
    assert {job.head for job in later.add} == {job.head for job in jobs[2:]}


@given(st.integers(0, 300))
def test_coarse_to_fine_visits_everything_once_and_halves_the_gaps(count: int) -> None:
    order = coarse_to_fine(count)
    assert sorted(order) == list(range(count))
    if count > 1:
        assert order[0] == count - 1
        # After 2^k − 1 further commits no unmeasured stretch is longer than count / 2^k.
        for depth in range(1, count.bit_length()):
            seen = sorted({-1, *order[: 2**depth]})
            longest = max(after - before - 1 for before, after in itertools.pairwise(seen))
            assert longest <= count / 2**depth + 1
