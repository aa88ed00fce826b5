"""A side's processes: prepared ahead, swapped, replaced when they die, and none left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from toy_suite import write_tree

from perfsuite.measure.process import Ended, Trial
from perfsuite.measure.sandbox_launch import descendants
from perfsuite.measure.settings import Settings, Tree
from perfsuite.measure.side import SidePlan, TreeSide
from perfsuite.model import Environment

SUITE = """
import os

def test_who(benchmark):
    benchmark.pedantic(len, args=("",), rounds=1)
    raise AssertionError(f"process {os.getpid()}")
"""


@pytest.fixture
def side(tmp_path: Path, settings: Settings) -> Iterator[TreeSide]:
    (tmp_path / "tree" / "bench").mkdir(parents=True)
    (tmp_path / "tree" / "bench" / "test_who.py").write_text(SUITE)
    plan = SidePlan(Tree(tmp_path / "tree", "bench"), replace(settings, cores=1), 1, tmp_path / "cache")
    with TreeSide(plan) as started:
        started.collect()
        yield started


def who(side: TreeSide) -> int:
    ended = side.trial().start("who/who")
    assert isinstance(ended, Ended)
    return int(ended.message.splitlines()[0].rpartition(" ")[2])


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def pid_of(trial: Trial) -> int:
    """Of the process below its launcher."""
    while not (below := list(descendants(trial._process.pid))):
        assert trial.running
        time.sleep(0.01)
    return below[0]


def prepared(side: TreeSide) -> Trial:
    side.prepare()
    assert side._next is not None
    return side._next


def test_a_prepared_process_takes_over_and_the_old_one_ends(side: TreeSide) -> None:
    first = who(side)
    waiting = prepared(side)
    side.prepare()
    assert side._next is waiting, "one is enough"
    assert who(side) == first, "it only waits"
    side.restart()
    expected = pid_of(waiting)
    second = who(side)
    assert second == expected
    assert gone(first)
    side.restart()
    assert who(side) not in (first, second), "without preparation one is started"
    assert gone(second)


def test_a_prepared_process_that_died_is_not_used(side: TreeSide) -> None:
    waiting = prepared(side)
    died = pid_of(waiting)
    waiting._process.kill()
    waiting._process.wait()
    side.restart()
    assert who(side) != died


def test_an_abandoned_process_is_replaced_by_the_prepared_one(side: TreeSide) -> None:
    waiting = prepared(side)
    side.abandon()
    assert who(side) == pid_of(waiting)


def test_each_process_has_a_log_of_its_own(side: TreeSide) -> None:
    waiting = prepared(side)
    assert waiting.plan.log != side.trial().plan.log
    assert waiting.plan.log.exists()


@pytest.mark.gpu
def test_a_waiting_process_does_not_touch_the_gpu(tmp_path: Path, settings: Settings) -> None:
    parts = (
        "\ndef test_touched(benchmark):\n    raise AssertionError(f'touched {torch.cuda.is_initialized()}')\n"
    )
    root = write_tree(tmp_path / "tree", parts)
    gpu = replace(settings, environment=Environment("here", gpu="any"), cores=1)
    with TreeSide(SidePlan(Tree(root, "bench"), gpu, 1, tmp_path / "cache")) as started:
        assert len(started.collect().canaries) == 3
        ended = started.trial().start("toy/touched")
        assert isinstance(ended, Ended)
        assert "touched False" in ended.message


def test_leaving_leaves_no_process(side: TreeSide) -> None:
    first = who(side)
    side.prepare()
    side.restart()
    waiting = prepared(side)
    pids = [first, pid_of(waiting), *(trial._process.pid for trial in (waiting, side._trial))]
    side.__exit__()
    assert all(gone(pid) for pid in pids)
