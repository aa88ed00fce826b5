"""One job after the other, with the real git, the real store and real measurements of a small suite."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from watched import CASE, SLOW_S, Watched, run, sources

from ci import workplace
from ci.hub import PullRequest
from ci.plan import plan_main, plan_pulls
from ci.runner import MACHINE_TROUBLE, MOST_ATTEMPTS, MOST_CLAIMS, Runner, Terms
from ci.workplace import NothingToMeasure, Workplace
from perfsuite.errors import Exit
from perfsuite.model import Job, JobState, Verdict
from perfsuite.stats.judge import judge
from perfsuite.store import Store, open_store

NAME = "acme/kernels"


def now() -> datetime:
    return datetime.now(UTC)


class Bench:
    """A runner with everything that it needs."""

    def __init__(self, folder: Path, store: Store, watched: Watched, lock: int, **terms: float) -> None:
        self.store, self.watched, self.lock = store, watched, lock
        self.place = Workplace(folder / "state", NAME, lambda: str(watched.origin), lambda: None)
        environ = {**os.environ, "SOME_TOKEN": "secret"}
        self.runner = Runner(store, self.place, Terms("one", environ, confine=False, **terms), now, lock)

    def want_pull(self, head: str, number: int = 7) -> Job:
        pull = PullRequest(number, "title", "ann", head, "topic", NAME, "main", "0" * 40, open=True)
        (job,) = plan_pulls(NAME, [pull], {number}, [], now()).add
        self.store.jobs.add(job)
        return job

    def work(self, job: Job, timeout_s: float = 120.0) -> Job:
        """Turns until a job is over."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.runner.turn()
            found = self.store.jobs.job(job.id)
            if found.state.over:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{job.key} is not over: {self.store.jobs.job(job.id)}")

    def log(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.place.logs.glob("*.log")))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    with open_store(tmp_path / "perfsuite.db") as store:
        bench = Bench(tmp_path, store, Watched.make(tmp_path), lock)
        yield bench
        bench.runner.close()
    os.close(lock)


def slower(bench: Bench, branch: str = "slow") -> str:
    bench.watched.branch(branch)
    bench.watched.commit("slower", sources(SLOW_S))
    return bench.watched.push(branch, pull=7)


def test_a_pull_request_is_measured_and_judged(bench: Bench) -> None:
    base = run(bench.watched.clone, "rev-parse", "main")
    job = bench.work(bench.want_pull(slower(bench)))
    assert job.state is JobState.SUCCEEDED, bench.log()
    assert (job.base, job.done, job.total) == (base, 1, 1)
    comparison = bench.store.reader.comparison(job.comparison)
    assert comparison.head.repository == NAME
    results = [bench.store.reader.results(side.id) for side in (comparison.base, comparison.head)]
    (compared,) = judge(comparison, *results).comparisons
    assert (compared.case, compared.verdict) == (CASE, Verdict.REGRESSED)


def test_what_cannot_move_a_benchmark_is_not_measured(bench: Bench) -> None:
    bench.watched.branch("docs")
    bench.watched.commit("words", {"README.md": "words"})
    job = bench.work(bench.want_pull(bench.watched.push("docs", pull=7)))
    assert job.state is JobState.SUCCEEDED
    assert job.facts["nothing"] == "nothing in toy/** changed"
    assert not job.comparison


def test_a_base_without_benchmarks_is_no_failure(bench: Bench) -> None:
    bench.watched.branch("bare")
    bench.watched.commit("nothing here", {"pyproject.toml": "[project]\nname = 'x'\n"})
    bench.watched.push("main")
    bench.watched.commit("a suite again", {"pyproject.toml": "[tool.perfsuite]\nsuite = 'benchmarks'\n"})
    job = bench.work(bench.want_pull(bench.watched.push("topic", pull=7)))
    assert job.state is JobState.SUCCEEDED
    assert str(job.facts["nothing"]).startswith("no baseline")


def test_a_head_that_was_force_pushed_away_is_cancelled(bench: Bench) -> None:
    lost = slower(bench)
    run(bench.watched.origin, "update-ref", "-d", "refs/pull/7/head")
    run(bench.watched.origin, "reflog", "expire", "--expire=now", "--all")
    run(bench.watched.origin, "gc", "--quiet", "--prune=now")
    job = bench.work(bench.want_pull(lost))
    assert job.state is JobState.CANCELLED
    assert "cannot be fetched" in job.message


def test_a_suite_that_cannot_be_read_fails_with_its_words(bench: Bench) -> None:
    bench.watched.branch("broken")
    files = {"benchmarks/conftest.py": "raise RuntimeError('no such luck')\n"}
    bench.watched.commit("broken", {**sources(SLOW_S), **files})
    job = bench.work(bench.want_pull(bench.watched.push("broken", pull=7)))
    assert job.state is JobState.FAILED
    assert "no such luck" in job.message


def test_cancelling_ends_the_measurement_with_all_its_processes(bench: Bench) -> None:
    bench.watched.branch("endless")
    bench.watched.commit("endless", sources(600))
    job = bench.want_pull(bench.watched.push("endless", pull=7))
    while not bench.store.jobs.job(job.id).total:
        bench.runner.turn()
        time.sleep(0.02)
    assert processes_in(bench.place.home)
    ended = bench.runner.cancel("superseded by something")
    assert ended is not None and ended.state is JobState.CANCELLED
    assert not processes_in(bench.place.home)
    assert bench.runner.turn() is None


def taken_over(bench: Bench, job: Job) -> Job:
    """Another worker gives ours up for dead and takes its job."""
    bench.store.jobs.release(NAME, "two", now(), stale_before=now() + timedelta(hours=1))
    taken = bench.store.jobs.claim(NAME, "two", now())
    assert taken is not None and taken.id == job.id
    return taken


def test_a_worker_that_was_given_up_for_dead_lets_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.watched.branch("endless")
    bench.watched.commit("endless", sources(600))
    job = bench.want_pull(bench.watched.push("endless", pull=7))
    while not bench.store.jobs.job(job.id).total:
        bench.runner.turn()
        time.sleep(0.02)
    taken = taken_over(bench, job)
    monkeypatch.setattr("ci.runner.BEAT_S", 0.0)
    assert processes_in(bench.place.home)
    assert bench.runner.turn() == taken
    assert bench.runner.job is None
    assert not processes_in(bench.place.home)
    assert bench.runner.turn() is None
    bench.runner.close()
    assert bench.store.jobs.job(job.id) == taken


@pytest.mark.parametrize("ending", ["it ends", "it is cancelled", "the machine fails", "it is closed"])
def test_nothing_is_written_into_what_another_has(bench: Bench, ending: str) -> None:
    job = bench.want_pull(slower(bench))
    bench.runner.turn()
    child = bench.runner._child
    assert child is not None
    taken = taken_over(bench, job)
    child.stop()
    if ending == "it is cancelled":
        assert bench.runner.cancel("superseded") == taken
    elif ending == "it is closed":
        bench.runner.close()
    else:
        status = Exit.OK if ending == "it ends" else Exit.MACHINE
        assert bench.runner._ended(taken, status, {"done": 1}) == taken
    assert bench.runner.job is None
    assert bench.runner._child is None
    assert bench.store.jobs.job(job.id) == taken


def test_a_time_limit_ends_it(bench: Bench) -> None:
    bench.runner._terms = Terms("one", os.environ, confine=False, time_limit_s=3)
    bench.watched.branch("endless")
    bench.watched.commit("endless", sources(600))
    job = bench.work(bench.want_pull(bench.watched.push("endless", pull=7)))
    assert job.state is JobState.FAILED
    assert "longer than 3 s" in job.message


def test_a_machine_that_fails_is_tried_again_and_then_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci.runner.PAUSE_S", 0.0)
    head = slower(bench)
    bench.watched.origin.rename(bench.watched.origin.with_suffix(".away"))
    job = bench.want_pull(head)
    attempts = []
    for _ in range(MOST_ATTEMPTS):
        changed = bench.runner.turn()
        assert changed is not None
        attempts.append(changed.state)
    assert attempts == [JobState.QUEUED] * (MOST_ATTEMPTS - 1) + [JobState.FAILED]
    given_up = bench.store.jobs.job(job.id)
    assert given_up.attempts == MOST_ATTEMPTS
    assert given_up.facts[MACHINE_TROUBLE] is True
    assert str(bench.place.folder.parents[1]) not in given_up.message


def test_a_job_that_ends_its_service_is_given_up(bench: Bench) -> None:
    job = bench.want_pull(slower(bench))
    for _ in range(MOST_CLAIMS):
        assert bench.store.jobs.claim(NAME, "one", now()) is not None
        bench.store.jobs.release(NAME, "one", now())
    ended = bench.runner.turn()
    assert ended is not None and (ended.id, ended.state) == (job.id, JobState.FAILED)
    assert ended.message.startswith(f"it ended its service {MOST_CLAIMS} times")
    assert MACHINE_TROUBLE not in ended.facts


def test_an_end_in_order_costs_no_attempt(bench: Bench) -> None:
    job = bench.want_pull(slower(bench))
    for _ in range(MOST_ATTEMPTS + 1):
        bench.runner.turn()
        assert bench.store.jobs.job(job.id).attempts == 1
        bench.runner.close()
    left = bench.store.jobs.job(job.id)
    assert (left.state, left.attempts) == (JobState.QUEUED, 0)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            "noise\nerror: no such luck\n  next: {state}/home is full\n",
            "no such luck\n  next: …/home is full",
        ),
        ("bug: KeyError\n  next: report {home}/crash.txt\n", "KeyError\n  next: report …/crash.txt"),
        ("some error: words\n{home}/private\n", "exit status 3; the log of this worker says more"),
        ("", "exit status 3; the log of this worker says more"),
    ],
)
def test_only_an_error_is_told_and_without_this_machines_folders(
    bench: Bench, tmp_path: Path, printed: str, told: str
) -> None:
    state, home = bench.place.folder.parents[1], tmp_path / "people" / "ann"
    environ = {**os.environ, "HOME": str(home)}
    bench.runner = Runner(bench.store, bench.place, Terms("one", environ, confine=False), now, bench.lock)
    bench.want_pull(slower(bench))
    taken = bench.runner.turn()
    child = bench.runner._child
    assert taken is not None and child is not None
    child.stop()
    child._log.write_text(printed.format(state=state, home=home))
    ended = bench.runner._ended(taken, Exit.MACHINE, {})
    assert (ended.state, ended.message) == (JobState.QUEUED, told)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("[project]\nname = 'x'\n", "there is no [tool.perfsuite] table in pyproject.toml at {sha}"),
        (
            "[tool.perfsuite]\nsuite = 'b'\nwrong = 1\n",
            "at {sha} pyproject.toml: tool.perfsuite.wrong is not a key",
        ),
    ],
)
def test_a_baseline_that_is_none_is_told_without_its_folder(bench: Bench, config: str, words: str) -> None:
    sha = bench.watched.commit("bare", {"pyproject.toml": config})
    bench.watched.push("main")
    with pytest.raises(NothingToMeasure) as reason:
        bench.place.prepare_commit(sha, "main")
    assert str(reason.value).startswith(f"no baseline: {words.format(sha=sha[:10])}")


def test_cleaning_up_keeps_the_newest_logs_and_small_caches(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workplace, "_MOST_LOGS", 2)
    base = run(bench.watched.clone, "rev-parse", "main")
    head = slower(bench)
    bench.place.prepare_pull(7, head, "main")
    state = bench.place.home / ".perfsuite"
    for folder in (bench.place.logs, state / "logs"):
        folder.mkdir(parents=True)
        for age in range(4):
            file = folder / f"{age}.log"
            file.write_text("words")
            os.utime(file, (1000 - age, 1000 - age))
    caches = [state / name / "kept" for name in ("triton", "submodules")]
    for file in caches:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 1000)
    bench.place.clean_up([7])
    for folder in (bench.place.logs, state / "logs"):
        assert sorted(file.name for file in folder.iterdir()) == ["0.log", "1.log"]
    assert all(file.exists() for file in caches)
    assert bench.place.mirror.pull_head(7) == head
    # Above the limit the first cache goes; what is within it then stays.
    monkeypatch.setattr(workplace, "CACHE_LIMIT_BYTES", 1500)
    bench.place.clean_up([])
    assert [file.exists() for file in caches] == [False, True]
    assert bench.place.mirror.pull_head(7) is None
    monkeypatch.setattr(workplace, "CACHE_LIMIT_BYTES", 0)
    bench.place.clean_up([])
    assert not caches[1].exists()
    assert bench.place.prepare_pull(7, head, "main").base == base


def test_cleaning_up_before_anything_was_done_is_no_error(bench: Bench) -> None:
    bench.place.clean_up()


def test_commits_of_main_are_measured_for_the_series(bench: Bench) -> None:
    bench.watched.branch("main")
    bench.watched.commit("words", {"README.md": "words"})
    bench.watched.commit("slower", sources(SLOW_S))
    bench.watched.push("main")
    bench.place.fetch()
    (only,) = bench.place.waiting_commits("main", set(), 100)
    assert only.subject == "slower"
    for job in plan_main(NAME, [only.sha], [], now()).add:
        bench.store.jobs.add(job)
        done = bench.work(job)
        assert done.state is JobState.SUCCEEDED, bench.log()
        stored = bench.store.reader.run(done.comparison)
        assert (stored.commit.sha, stored.commit.branch, stored.kind) == (only.sha, "main", "run")
    bench.watched.commit("more words", {"README.md": "more words"})
    bench.watched.push("main")
    bench.place.fetch()
    assert bench.place.waiting_commits("main", {only.sha}, 100) == []


def test_no_token_reaches_a_measurement(bench: Bench) -> None:
    bench.watched.branch("curious")
    curious = """\
import os, pathlib
parent = pathlib.Path("/proc", str(os.getppid()), "environ").read_bytes()
raise RuntimeError("secret" if b"SOME_TOKEN" in parent or "SOME_TOKEN" in os.environ else "nothing")
"""
    bench.watched.commit("curious", {**sources(SLOW_S), "benchmarks/conftest.py": curious})
    job = bench.work(bench.want_pull(bench.watched.push("curious", pull=7)))
    assert job.state is JobState.FAILED
    assert "RuntimeError: nothing" in job.message


def processes_in(folder: Path) -> list[str]:
    """Processes that work below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
