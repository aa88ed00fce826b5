"""Jobs: each made once, taken once, and over for good; commands: each handled once; workers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from store_example import COMMAND, NOON, WORKER, make_job, random_value

from perfsuite.errors import StoreError, UsageError
from perfsuite.model import Job, JobKind, JobState
from perfsuite.store import Store, check, open_store

ROOT = Path(__file__).parents[2]
REPOSITORY = "owner/name"
MINUTE = timedelta(minutes=1)


def test_everything_of_a_job_survives(store: Store) -> None:
    rng = random.Random(3)
    nasty = {field.name: random_value(rng, str) for field in fields(Job) if field.type == "str"}
    facts = {"a": [1, 2.5, None, True, {"b": "\x00\udcff😀"}], "\x1a": "x"}
    whole = {"pull": 2**31 - 1, "priority": -5, "attempts": 3, "done": 1, "total": 40}
    times = {"started_at": NOON, "seen_at": NOON + MINUTE, "finished_at": NOON + 2 * MINUTE}
    for state in JobState:
        job = make_job(**{**nasty, **whole, **times, "id": f"{state}-{nasty['id']}", "key": state.value})
        job = replace(job, facts=facts, state=state, kind=JobKind.BISECT)
        assert store.jobs.add(job)
        assert store.jobs.by_key(job.repository, state.value) == job
    assert store.jobs.add(make_job())
    assert store.jobs.job(make_job().id) == make_job()
    assert check(store) == []


def test_a_piece_of_work_is_one_job(store: Store) -> None:
    assert store.jobs.add(make_job(1))
    assert not store.jobs.add(make_job(2, key=make_job(1).key))
    assert store.jobs.add(make_job(3, key=make_job(1).key, repository="x/y"))
    assert store.jobs.jobs(REPOSITORY) == [make_job(1)]
    assert store.jobs.by_key("x/y", "other") is None
    with pytest.raises(StoreError):
        store.jobs.add(make_job(1, key="another"))


def test_jobs_are_newest_first_and_filtered(store: Store) -> None:
    jobs = [
        make_job(1, pull=7),
        make_job(2, state=JobState.FAILED, finished_at=NOON),
        make_job(3, kind=JobKind.RUN, pull=None),
        make_job(4, repository="x/y", pull=7),
    ]
    for job in jobs:
        store.jobs.add(job)
    for reader in (store.jobs, store.reader.jobs):
        assert reader.jobs() == jobs[::-1]
        assert reader.jobs(limit=2) == [jobs[3], jobs[2]]
        assert reader.jobs(REPOSITORY, pull=7) == [jobs[0]]
        assert reader.jobs(kind=JobKind.RUN) == [jobs[2]]
        assert reader.jobs(states=[JobState.FAILED, JobState.RUNNING]) == [jobs[1]]
        assert reader.jobs(states=[]) == []


def test_a_job_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    with pytest.raises(UsageError, match=r"there is no job in .* yet") as caught:
        store.jobs.job("ab")
    assert "ci watch" in caught.value.next_step
    store.jobs.add(make_job(1))
    store.jobs.add(make_job(2))
    assert store.jobs.job("00000002E") == make_job(2)
    with pytest.raises(UsageError, match="is the beginning of 2 jobs"):
        store.jobs.job("0000000")
    with pytest.raises(UsageError, match="there is no job 'ff'") as caught:
        store.reader.jobs.job("ff")
    assert "00000001eeee (pull/1/0000" in caught.value.next_step


def test_the_most_urgent_then_the_oldest_is_taken_first(store: Store) -> None:
    for job in (
        make_job(4),
        make_job(2),
        make_job(3),
        make_job(5, priority=1),
        make_job(1, state=JobState.FAILED),
    ):
        store.jobs.add(job)
    store.jobs.add(make_job(9, repository="x/y", priority=99))
    store.jobs.add(make_job(8, created_at=make_job(2).created_at))
    later = NOON + timedelta(hours=1)
    taken = store.jobs.claim(REPOSITORY, "w", later)
    assert taken == make_job(
        5, priority=1, state=JobState.RUNNING, attempts=1, worker="w", started_at=later, seen_at=later
    )
    assert store.jobs.job(taken.id) == taken
    order = []
    while job := store.jobs.claim(REPOSITORY, "w", later):
        order.append(job.pull)
    assert order == [2, 8, 3, 4]
    assert store.jobs.claim("nobody/nothing", "w", later) is None


def test_fields_are_changed_by_name(store: Store) -> None:
    store.jobs.add(make_job())
    changed = store.jobs.update(make_job().id, done=3, total=40, facts={"network": False}, base="b" * 40)
    assert changed == make_job(done=3, total=40, facts={"network": False}, base="b" * 40)
    assert store.jobs.job(make_job().id) == changed
    assert store.jobs.update(make_job().id) == changed
    with pytest.raises(TypeError, match="colour"):
        store.jobs.update(make_job().id, colour="red")
    with pytest.raises(StoreError, match="plain, finite JSON"):
        store.jobs.update(make_job().id, facts={"speed": float("nan")})
    with pytest.raises(StoreError, match="plain, finite JSON"):
        store.jobs.update(make_job().id, facts={"at": NOON})
    with pytest.raises(StoreError, match="there is no job abc"):
        store.jobs.update("abc", done=1)
    with pytest.raises(StoreError, match="cannot change"):
        store.jobs.update(make_job().id, id="f" * 32)
    assert store.jobs.job(make_job().id) == changed


@pytest.mark.parametrize("state", [state for state in JobState if state.over])
def test_what_is_over_stays_over(store: Store, state: JobState) -> None:
    store.jobs.add(make_job())
    over = store.jobs.update(make_job().id, state=state, finished_at=NOON)
    for other in set(JobState) - {state}:
        with pytest.raises(StoreError, match=f"is {state} and cannot become {other}"):
            store.jobs.update(over.id, state=other)
        with pytest.raises(StoreError, match="cannot become"):
            store.jobs.update_if(over.id, JobState, state=other)
    assert store.jobs.update(over.id, state=state, message="published") == replace(over, message="published")
    assert store.jobs.claim(REPOSITORY, "w", NOON) is None
    assert store.jobs.release(REPOSITORY, "", NOON, stale_before=NOON + MINUTE) == []


def test_a_change_may_depend_on_the_state_and_the_worker(store: Store) -> None:
    store.jobs.add(make_job())
    running = {JobState.RUNNING}
    assert store.jobs.update_if(make_job().id, running, done=1) is None
    store.jobs.claim(REPOSITORY, "w", NOON)
    assert store.jobs.update_if(make_job().id, running, held_by="other", done=1) is None
    changed = store.jobs.update_if(make_job().id, running, held_by="w", state=JobState.CANCELLED)
    assert changed is not None
    assert changed.state is JobState.CANCELLED
    assert store.jobs.update_if(make_job().id, running, done=1) is None
    assert store.jobs.job(make_job().id) == changed
    with pytest.raises(StoreError, match="there is no job abc"):
        store.jobs.update_if("abc", running, done=1)


def test_work_of_workers_that_went_away_is_put_back(store: Store) -> None:
    for number in (1, 2, 3, 4):
        store.jobs.add(make_job(number))
    store.jobs.add(make_job(5, repository="x/y"))
    mine = store.jobs.claim(REPOSITORY, "w", NOON)
    assert mine is not None
    store.jobs.update(mine.id, comparison="c" * 32, base="b" * 40, done=12, total=40)
    store.jobs.claim(REPOSITORY, "gone", NOON)
    alive = store.jobs.claim(REPOSITORY, "alive", NOON + 2 * MINUTE)
    store.jobs.claim("x/y", "w", NOON)
    now = NOON + 10 * MINUTE
    (back,) = store.jobs.release(REPOSITORY, "w", now)
    assert back == make_job(
        1,
        attempts=1,
        started_at=NOON,
        seen_at=NOON,
        comparison="c" * 32,
        base="b" * 40,
        done=12,
        total=40,
        message="put back into the queue at 2025-06-01 12:10 UTC: its worker w went away",
    )
    assert store.jobs.job(back.id) == back
    assert store.jobs.release(REPOSITORY, "w", now, stale_before=NOON) == []
    (stale,) = store.jobs.release(REPOSITORY, "w", now, stale_before=NOON + MINUTE)
    assert (stale.pull, stale.state) == (2, JobState.QUEUED)
    again = store.jobs.claim(REPOSITORY, "v", now)
    assert again is not None
    assert (again.id, again.attempts, again.started_at, again.worker) == (back.id, 2, NOON, "v")
    assert store.jobs.jobs(REPOSITORY, states=[JobState.RUNNING]) == [alive, again]
    assert store.jobs.by_key("x/y", make_job(5).key).state is JobState.RUNNING  # type: ignore[union-attr]


def test_a_command_is_handled_once_and_its_job_comes_with_it(store: Store) -> None:
    assert store.jobs.add_command(COMMAND, job=make_job(1))
    assert not store.jobs.add_command(replace(COMMAND, verb="full"), job=make_job(2))
    assert store.jobs.commands(REPOSITORY) == [COMMAND]
    assert store.reader.jobs.command(REPOSITORY, "comment/1") == COMMAND
    assert store.jobs.command(REPOSITORY, "comment/2") is store.jobs.command("x/y", "comment/1") is None
    assert store.jobs.jobs() == [make_job(1)]
    # What it asks for is wanted already.
    second = replace(COMMAND, source="comment/2", at=NOON - MINUTE)
    assert store.jobs.add_command(second, job=make_job(3, key=make_job(1).key))
    assert store.jobs.jobs() == [make_job(1)]
    third = replace(COMMAND, source="comment/3", pull=8, verb="accept", arguments={"limits": {"a[m=1]": 0.1}})
    assert store.jobs.add_command(third)
    assert store.jobs.add_command(replace(third, repository="x/y"))
    assert store.jobs.commands(REPOSITORY) == [second, COMMAND, third]
    assert store.reader.jobs.commands(REPOSITORY, pull=8) == [third]
    assert store.jobs.commands(REPOSITORY, 7, verb="accept") == []
    assert check(store) == []


def test_commands_are_found_by_their_source_and_by_what_they_lack(store: Store) -> None:
    given = {
        "comment/1": {"told": True},
        "comment/2": {"told": False, "reason": '"told":true', "untold": True},
        "comment/3": {},
        "seen/1": {},
        "seen/2": {"told": True},
    }
    for source, arguments in given.items():
        store.jobs.add_command(replace(COMMAND, source=source, arguments=arguments))

    def sources(**wanted: str) -> list[str]:
        return [command.source for command in store.jobs.commands(REPOSITORY, **wanted)]

    assert sources(without="told") == ["comment/2", "comment/3", "seen/1"]
    assert sources(source="seen/") == ["seen/1", "seen/2"]
    assert sources(source="comment/", without="told") == ["comment/2", "comment/3"]
    assert sources(source="comment_") == []
    assert sources(without="%") == sources() == list(given)


def test_a_job_that_cannot_be_stored_takes_its_command_with_it(store: Store) -> None:
    store.jobs.add(make_job(1))
    with pytest.raises(StoreError):
        store.jobs.add_command(COMMAND, job=make_job(1, key="another"))
    assert store.jobs.commands(REPOSITORY) == []


def test_commands_are_changed_by_name(store: Store) -> None:
    store.jobs.add_command(COMMAND)
    answered = store.jobs.change_command(REPOSITORY, COMMAND.source, answer="No such case.")
    assert answered == replace(COMMAND, answer="No such case.")
    assert store.jobs.commands(REPOSITORY) == [answered]
    with pytest.raises(StoreError, match="there is no command comment/9"):
        store.jobs.change_command(REPOSITORY, "comment/9", answer="")


def test_workers_say_that_they_live(store: Store) -> None:
    store.jobs.beat(WORKER)
    store.jobs.beat(replace(WORKER, seen_at=NOON + MINUTE))
    store.jobs.beat(replace(WORKER, name="a", repository="x/y"))
    assert store.jobs.workers(REPOSITORY) == [replace(WORKER, seen_at=NOON + MINUTE)]
    assert [worker.name for worker in store.reader.jobs.workers()] == ["a", "node-1/gpu0"]
    end = NOON + 2 * MINUTE
    store.jobs.stop_worker(WORKER.name, end)
    store.jobs.stop_worker("never seen", end)
    assert store.jobs.workers(REPOSITORY) == [replace(WORKER, seen_at=end, stopped_at=end)]
    # Started again.
    again = replace(WORKER, started_at=end, seen_at=end)
    store.jobs.beat(again)
    assert store.jobs.workers(REPOSITORY) == [again]


def together(store_url: str, work: Callable[[Store, int], Any], workers: int = 4) -> list[Any]:
    """What each returns when several stores do this at the same moment."""

    def one(number: int) -> Any:
        with open_store(store_url) as mine:
            barrier.wait()
            return work(mine, number)

    barrier = threading.Barrier(workers)
    open_store(store_url).close()
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, range(workers)))


def test_several_watchers_make_each_job_once(store_url: str) -> None:
    def work(store: Store, number: int) -> int:
        jobs = [make_job(key, id=f"{number:016x}{key:016x}") for key in range(10)]
        return sum(map(store.jobs.add, jobs))

    assert sum(together(store_url, work)) == 10


def test_several_watchers_handle_each_command_once(store_url: str) -> None:
    def work(store: Store, number: int) -> int:
        made = [
            store.jobs.add_command(
                replace(COMMAND, source=f"comment/{key}"), make_job(key, id=f"{number:016x}{key:016x}")
            )
            for key in range(10)
        ]
        return sum(made)

    assert sum(together(store_url, work)) == 10
    with open_store(store_url) as store:
        assert len(store.jobs.jobs()) == len(store.jobs.commands(REPOSITORY)) == 10


def test_changes_at_the_same_moment_are_all_kept(store_url: str) -> None:
    with open_store(store_url) as store:
        store.jobs.add(make_job())
    names = ("done", "total", "priority", "attempts")

    def work(store: Store, number: int) -> None:
        for value in range(1, 11):
            store.jobs.update(make_job().id, **{names[number]: value})

    together(store_url, work)
    with open_store(store_url) as store:
        assert store.jobs.job(make_job().id) == make_job(**dict.fromkeys(names, 10))


def test_a_job_ends_in_one_way_only(store_url: str) -> None:
    """A newer head cancels a job at the moment when its worker is done with it."""
    ends = (JobState.SUCCEEDED, JobState.CANCELLED, JobState.FAILED, JobState.SUCCEEDED)
    with open_store(store_url) as store:
        for number in range(10):
            store.jobs.add(make_job(number, state=JobState.RUNNING))

    def work(store: Store, number: int) -> list[Job | None]:
        running = {JobState.RUNNING}
        return [store.jobs.update_if(make_job(key).id, running, state=ends[number]) for key in range(10)]

    told = together(store_url, work)
    with open_store(store_url) as store:
        for key in range(10):
            winners = [result[key] for result in told if result[key] is not None]
            assert winners == [store.jobs.job(make_job(key).id)]


_CLAIM = """
    import sys
    from store_example import NOON
    from perfsuite.store import open_store
    with open_store(sys.argv[1]) as store:
        sys.stdin.readline()
        while job := store.jobs.claim("owner/name", sys.argv[2], NOON):
            print(job.id, flush=True)
"""


def test_two_processes_never_take_the_same_job(store_url: str) -> None:
    with open_store(store_url) as store:
        for number in range(40):
            store.jobs.add(make_job(number))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/store'}"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    workers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(_CLAIM), store_url, name], **pipes)  # type: ignore[call-overload]
        for name in "ab"
    ]
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    taken = [worker.communicate(timeout=120)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(taken[0] + taken[1]) == [make_job(number).id for number in range(40)]
    with open_store(store_url) as store:
        assert {job.worker for job in store.jobs.jobs(states=[JobState.RUNNING])} <= {"a", "b"}
        assert {job.attempts for job in store.jobs.jobs()} == {1}
