"""Several processes on one database, and processes that die in the middle."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_example import make_result, make_run

from perfsuite.store import Store, check, open_store

ROOT = Path(__file__).parents[2]

_WRITE = """
    import sys
    from dataclasses import replace
    from perfsuite.store import open_store
    from store_example import make_result, make_run
    url, number, results = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = open_store(url)
    run = make_run(number)
    store.start_run(run)
    print("ready", flush=True)
    for index in range(results):
        samples = tuple(float(index + place) for place in range(1000))
        store.save_result(run.id, make_result(f"case{index}", samples))
        print(index, flush=True)
    store.finish_run(run.id, run.started_at)
    store.close()
"""


def start_writer(url: str, number: int, results: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/store'}"}
    command = [sys.executable, "-c", textwrap.dedent(_WRITE), url, str(number), str(results)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=None, text=True)


def test_killed_writers_leave_a_sound_database(store_url: str) -> None:
    rng = random.Random(5)
    told: dict[int, int] = {}
    for number in range(4):
        writer = start_writer(store_url, number, 1_000_000)
        assert writer.stdout is not None
        # At some moment of some save: while it computes, writes or commits.
        lines = [writer.stdout.readline() for _ in range(rng.randrange(2, 30))]
        time.sleep(rng.uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().splitlines()
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        told[number] = len(lines) - 1
    with open_store(store_url) as store:
        assert check(store) == []
        for number, saved in told.items():
            cases = Counter(result.case for result in store.reader.results(make_run(number).id))
            # One more may be stored than was told: it died between the two.
            assert len(cases) in (saved, saved + 1)
            assert set(cases) == {f"case{index}" for index in range(len(cases))}
            assert set(cases.values()) <= {1}
            assert store.reader.run(make_run(number).id).finished_at is None


def test_parallel_writers_create_one_database_and_lose_nothing(store_url: str) -> None:
    # Nobody made the tables before: all of them try to.
    writers = [start_writer(store_url, number, 25) for number in range(3)]
    for writer in writers:
        output, _ = writer.communicate(timeout=120)
        assert writer.returncode == 0
        assert len(output.splitlines()) == 26
    with open_store(store_url) as store:
        assert check(store) == []
        for number in range(3):
            assert len(store.reader.results(make_run(number).id)) == 25
            assert store.reader.run(make_run(number).id).finished_at is not None


@pytest.mark.parametrize("same_run", [True, False])
def test_two_stores_of_one_process_write_in_turn(store: Store, same_run: bool) -> None:
    with open_store(store.url) as other:
        first, second = make_run(1), make_run(1 if same_run else 2)
        store.start_run(first)
        other.start_run(second)
        for index in range(10):
            store.save_result(first.id, make_result(f"a{index}"))
            other.save_result(second.id, make_result(f"b{index}"))
        assert len(store.reader.results(second.id)) == (20 if same_run else 10)


def test_a_writer_in_the_middle_does_not_block_readers(store: Store) -> None:
    store.start_run(make_run())
    with open_store(store.url) as other, other._engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection = connection.execution_options(perfsuite_write=True)
        with connection.begin():
            connection.exec_driver_sql("UPDATE runs SET subject = 'half done'")
            assert store.reader.runs() == [make_run()]
            assert check(store) == []


def test_a_reader_sees_one_state_while_a_writer_goes_on(store: Store) -> None:
    run = make_run()
    store.start_run(run)
    store.save_result(run.id, make_result("a"))
    with store.reader._session() as session:
        before = session.connection().exec_driver_sql("SELECT count(*) FROM results").scalar()
        store.save_result(run.id, make_result("b"))
        after = session.connection().exec_driver_sql("SELECT count(*) FROM results").scalar()
    assert (before, after) == (1, 1)
    assert len(store.reader.results(run.id)) == 2


def test_threads_share_one_store(store: Store) -> None:
    store.start_run(make_run())

    def work(index: int) -> int:
        store.save_result(make_run().id, make_result(f"case{index}"))
        return len(store.reader.results(make_run().id))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(20))) == 20
