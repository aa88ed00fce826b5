"""What an earlier comparison timed of the same machine code is taken over; processes are real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import toy_suite as toy

from perfsuite.measure import comparing
from perfsuite.measure.settings import Settings, Silent, Timed, Tree
from perfsuite.measure.timings import Timings
from perfsuite.model import REUSED, Block, Launches, Result, Round, Side, Status, Timer

CASE = "toy/right[n=1]"
CHANGED = toy.OPS.replace("512", "1024")
Results = dict[tuple[Side, str], Result]


def earlier(scale: float) -> Result:
    """What a comparison kept of a side: two pairs of three blocks."""
    blocks = tuple(
        Block(pair, block, 1, 1, tuple(Round(scale * 1000.0 + i, 2 * i, i) for i in range(4)))
        for pair in range(2)
        for block in range(3)
    )
    result = Result(CASE, "v", "toy/right", {"n": 1}, "cpu", Status.OK, Timer.REFERENCE, blocks=blocks)
    return replace(result, error_rms=0.0, extra={"host_ns": 7.0, "compile_s": 9.0})


TIMED = Timed("abc123def456", earlier(1.0), earlier(1.1))


class Told(Silent):
    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.stages: list[str] = []

    def case(self, case: str, stage: str) -> None:
        self.stages.append(stage)

    def done(self, case: str, status: Status | str) -> None:
        self.statuses[case] = str(status)


class Known:
    """Answers for one case, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Launches, Launches]] = []

    def __call__(self, case: str, version: str, base: Launches, head: Launches) -> Timed | None:
        self.asked.append((case, version, base, head))
        return TIMED if case == CASE else None


def compare(base: Path, head: Path, settings: Settings, told: Told | None = None) -> Results:
    results: Results = {}

    def sink(name: Side, result: Result) -> None:
        results[name, result.case] = result

    comparing.compare_suites(Tree(base, "bench"), Tree(head, "bench"), settings, sink, told or Told())
    return results


@pytest.fixture
def as_with_gpu(as_with_gpu: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(comparing, "CANARY_PAIRS", 1)
    return replace(as_with_gpu, pairs=None, needs=lambda base, head, family: 0, timings=Timings())


def test_what_was_timed_is_taken_over_and_head_is_checked(tmp_path: Path, as_with_gpu: Settings) -> None:
    base = toy.write_tree(tmp_path / "base", toy.PLAIN)
    head = toy.write_tree(tmp_path / "head", toy.PLAIN, ops=CHANGED)
    known, told = Known(), Told()
    results = compare(base, head, replace(as_with_gpu, pattern="n=1 or plain", known=known), told)
    of_base, of_head = results[Side.BASE, CASE], results[Side.HEAD, CASE]
    assert (of_base.blocks, of_head.blocks) == (TIMED.base.blocks, TIMED.head.blocks)
    assert of_base.extra[REUSED] == of_head.extra[REUSED] == "abc123def456"
    assert (of_head.extra["host_ns"], of_head.timer) == (7.0, Timer.REFERENCE)
    assert of_head.extra.get("compile_s") != 9.0, "compiled now"
    assert (of_head.status, of_head.error_rms) == (Status.OK, 0.0)
    ((case, version, base_code, head_code),) = known.asked
    assert (case, version) == (CASE, of_head.version)
    assert (base_code, head_code) == (of_base.launches, of_head.launches)
    assert base_code.order != head_code.order
    assert "rounds" not in {name for name, _, _ in as_with_gpu.timings.rows()}, "no kernel was timed"
    assert results[Side.HEAD, "toy/plain"].blocks, "of a plain benchmark the code is not known"
    assert {case for _, case in results} == {CASE, "toy/plain"}, "no canary beside nothing"
    assert told.statuses == {CASE: "reused", "toy/plain": "ok"} and "timed before, checking" in told.stages


def test_more_pairs_are_measured_where_the_rule_wants_them(tmp_path: Path, as_with_gpu: Settings) -> None:
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=CHANGED)
    looks: list[int] = []

    def needs(of_base: Result, of_head: Result, family: int) -> int:
        return 3 - len({block.pair for block in of_head.blocks})

    settings = replace(as_with_gpu, pattern="n=1", known=Known(), needs=needs, look=lambda: looks.append(1))
    results = compare(base, head, settings)
    for name, timed in ((Side.BASE, TIMED.base), (Side.HEAD, TIMED.head)):
        blocks = results[name, CASE].blocks
        assert blocks[:6] == timed.blocks
        assert [(block.pair, block.block) for block in blocks[6:]] == [(2, 0), (2, 1), (2, 2)]
        assert results[name, CASE].extra[REUSED] == "abc123def456"
    assert results[Side.HEAD, "perfsuite/canary[memory]"].blocks, "canaries beside what is timed"
    assert looks == [1], "between pairs it is asked who else uses the GPU"


def test_a_head_that_is_wrong_now_is_not_believed(tmp_path: Path, as_with_gpu: Settings) -> None:
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("+ tl.load(y", "- tl.load(y"))
    told = Told()
    results = compare(base, head, replace(as_with_gpu, pattern="n=1", known=Known()), told)
    of_base, of_head = results[Side.BASE, CASE], results[Side.HEAD, CASE]
    assert (of_head.status, of_head.blocks) == (Status.INCORRECT, ())
    assert REUSED not in of_head.extra and REUSED not in of_base.extra
    assert (of_base.status, of_base.error_rms) == (Status.OK, 0.0), "base is checked too"
    assert told.statuses == {CASE: "incorrect"}
