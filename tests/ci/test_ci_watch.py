"""The service as a process: pull requests in, one comment and one check out, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakehub import FakeGitHub
from service import Service
from watched import CASE, QUICK_S, SLOW_S, Watched, run, sources

from perfsuite.model import JobKind, JobState


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched.make(tmp_path)


@pytest.fixture
def github(watched: Watched) -> Iterator[FakeGitHub]:
    with FakeGitHub(git=watched.origin, actions=True, permissions={"ann": "write", "bob": "read"}) as fake:
        yield fake


@pytest.fixture
def service(tmp_path: Path, github: FakeGitHub, watched: Watched) -> Iterator[Service]:
    service = Service(tmp_path / "service", github, watched.origin)
    yield service
    service.stop()


def slow_pull(watched: Watched, github: FakeGitHub, branch: str = "slow", seconds: float = SLOW_S) -> int:
    watched.branch(branch)
    watched.commit(f"sleeps {seconds}", sources(seconds))
    watched.push(branch)
    return github.open_pull(branch, author="ann")


def test_a_regression_is_commented_once_and_its_check_is_red(
    watched: Watched, github: FakeGitHub, service: Service
) -> None:
    number = slow_pull(watched, github)
    head = github.items[number].head
    assert service.once() == 0, service.tail()
    body = service.comment(number)
    assert CASE in body and head[:10] in body and "slower" in body
    assert service.conclusion(head) == "failure"
    requests = len(github.writes())
    assert service.once() == 0, service.tail()
    assert len(github.writes()) == requests, "nothing changed, nothing is written"
    with service.store() as store:
        assert [job.state for job in store.jobs.jobs(kind=JobKind.COMPARE)] == [JobState.SUCCEEDED]
        assert len(store.reader.comparisons()) == 1


def test_the_life_of_a_pull_request(watched: Watched, github: FakeGitHub, service: Service) -> None:
    number = slow_pull(watched, github, seconds=600)
    first = github.items[number].head
    service.start()
    service.until(lambda: "measuring" in service.comment(number).casefold(), "a first comment")
    ours = [comment.id for comment in github.our_comments(number)]

    watched.commit("quicker, but slow", sources(SLOW_S))
    second = watched.push("slow")
    github.push(number, second)
    service.until(lambda: service.conclusion(second) == "failure", "the verdict on the second head")
    assert service.conclusion(first) == "cancelled"
    assert [comment.id for comment in github.our_comments(number)] == ours
    with service.store() as store:
        states = {job.head: job.state for job in store.jobs.jobs(kind=JobKind.COMPARE)}
    assert states == {first: JobState.CANCELLED, second: JobState.SUCCEEDED}

    stranger = github.comment(number, "bob", f"/perf accept {CASE} because I say so")
    service.until(lambda: "confused" in github.reactions(stranger), "the stranger's refusal")
    assert service.conclusion(second) == "failure"
    accepting = github.comment(number, "ann", f"/perf accept {CASE} the new format needs it")
    service.until(lambda: service.conclusion(second) == "success", "the acceptance")
    assert github.reactions(accepting) == ["+1"]
    assert "the new format needs it" in service.comment(number)

    merged = github.merge(number)
    service.until(lambda: _measured(service, merged), "the run of main")
    assert service.stop() == 0, service.tail()
    with service.store() as store:
        runs = store.reader.runs(kind="run")
        assert {run.commit.branch for run in runs} == {"main"}
        workers = store.jobs.workers()
    assert [worker.stopped_at is not None for worker in workers] == [True]


def test_commands_ask_for_measurements_and_get_answers(
    watched: Watched, github: FakeGitHub, service: Service
) -> None:
    number = slow_pull(watched, github)
    asked = github.comment(number, "ann", f"Please:\n\n/perf run -k {CASE}\n")
    unknown = github.comment(number, "ann", "/perf faster please")
    helping = github.comment(number, "ann", "/perf help")
    assert service.once() == 0, service.tail()
    assert github.reactions(asked) == ["eyes"]
    assert github.reactions(unknown) == ["confused"]
    assert github.reactions(helping) == ["+1"]
    answers = [c.body for c in github.our_comments(number) if "perfsuite:reply" in c.body]
    assert len(answers) == 2
    assert f"-k {CASE}" in service.comment(number)
    assert service.once() == 0, service.tail()
    assert len([c for c in github.our_comments(number) if "perfsuite:reply" in c.body]) == 2


def test_a_fork_waits_for_a_maintainers_word_about_exactly_its_head(
    watched: Watched, github: FakeGitHub, service: Service
) -> None:
    watched.branch("theirs")
    watched.commit("slower", sources(SLOW_S))
    first = watched.push("theirs", pull=1)
    number = github.open_pull("theirs", first, number=1, author="mallory", head_repository="mallory/kernels")
    assert service.once() == 0, service.tail()
    assert f"/perf approve {first}" in service.comment(number)
    assert service.conclusion(first) == "", "nothing is decided before somebody has approved it"
    with service.store() as store:
        assert store.jobs.jobs(pull=number) == []
    github.clock.advance(5)
    github.comment(number, "mallory", f"/perf approve {first}")
    assert service.once() == 0, service.tail()
    with service.store() as store:
        assert store.jobs.jobs(pull=number) == []
    github.comment(number, "ann", f"/perf approve {first}")
    assert service.once() == 0, service.tail()
    assert service.conclusion(first) == "failure"

    watched.commit("another head", sources(QUICK_S))
    second = watched.push("theirs", pull=1)
    github.push(number, second)
    assert service.once() == 0, service.tail()
    assert f"/perf approve {second}" in service.comment(number)
    github.clock.advance(5)
    github.label(number, "perf-approved", by="ann")
    github.clock.advance(5)
    assert service.once() == 0, service.tail()
    assert service.conclusion(second) in ("success", "neutral")


def _measured(service: Service, sha: str) -> bool:
    with service.store() as store:
        return any(run.commit.sha == sha and run.finished_at for run in store.reader.runs(kind="run"))


def test_a_head_that_comes_back_has_its_own_verdict_again(
    watched: Watched, github: FakeGitHub, service: Service
) -> None:
    number = slow_pull(watched, github)
    first = github.items[number].head
    assert service.once() == 0, service.tail()
    run(watched.clone, "checkout", "--quiet", "-B", "slow", "main")
    watched.commit("harmless", {"toy/more.py": "MORE = 1\n"})
    second = watched.push("slow")
    assert service.once() == 0, service.tail()
    assert second[:10] in service.comment(number)
    assert (service.conclusion(first), service.conclusion(second)) == ("failure", "success")
    run(watched.clone, "checkout", "--quiet", "-B", "slow", first)
    watched.push("slow")
    assert service.once() == 0, service.tail()
    assert first[:10] in service.comment(number) and "slower" in service.comment(number)
    with service.store() as store:
        assert len(store.reader.comparisons()) == 2, "it was not measured again"


def test_another_base_branch_is_another_comparison(
    watched: Watched, github: FakeGitHub, service: Service
) -> None:
    number = slow_pull(watched, github)
    head = github.items[number].head
    assert service.once() == 0, service.tail()
    assert service.conclusion(head) == "failure"
    watched.branch("release")
    watched.commit("slow here too", sources(SLOW_S, **{"toy/more.py": "MORE = 1\n"}))
    watched.push("release")
    run(watched.clone, "checkout", "--quiet", "-B", "slow", "release")
    watched.commit("on release", {"toy/other.py": "OTHER = 1\n"})
    watched.push("slow")
    github.edit(number, base_branch="release")
    assert service.once() == 0, service.tail()
    body = service.comment(number)
    assert "<code>release</code>" in body and "slower" not in body


def test_what_github_refuses_of_one_stops_no_other(
    watched: Watched, github: FakeGitHub, service: Service
) -> None:
    locked = slow_pull(watched, github, "locked")
    other = slow_pull(watched, github, "other")
    order = github.comment(locked, "bob", "/perf run")
    github.fail(403, times=None, method="POST", path=f"issues/{locked}/comments", message="locked")
    github.fail(403, times=None, method="POST", path=f"comments/{order}/reactions", message="locked")
    service.once()
    assert not service.comment(locked)
    assert CASE in service.comment(other)
    assert service.conclusion(github.items[other].head) == "failure"


def test_the_owner_of_the_token_may_give_commands(
    watched: Watched, github: FakeGitHub, service: Service
) -> None:
    github.actions, github.login = False, "ann"
    number = slow_pull(watched, github)
    helping = github.comment(number, "ann", "/perf help")
    assert service.once() == 0, service.tail()
    assert github.reactions(helping) == ["+1"]
    assert len([c for c in github.our_comments(number) if "perfsuite:reply" in c.body]) == 1
    assert service.once() == 0, service.tail()
    assert len([c for c in github.our_comments(number) if "perfsuite:reply" in c.body]) == 1


def test_no_check_stays_in_progress(watched: Watched, github: FakeGitHub, service: Service) -> None:
    number = slow_pull(watched, github, seconds=600)
    head = github.items[number].head
    fork = github.open_pull("theirs", head, author="mallory", head_repository="mallory/kernels")
    service.start()
    service.until(lambda: "measuring" in service.comment(number).casefold(), "the measurement")
    github.close(number)
    github.close(fork)
    service.until(
        lambda: {check.status for check in github.checks(head)} == {"completed"}, "the last word on both"
    )
    assert service.stop() == 0, service.tail()
