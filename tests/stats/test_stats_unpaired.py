"""Two stored runs of different moments: judged with the noise between runs, or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from stats_example import KERNEL, block, comparison, launches, result, run

from perfsuite.errors import UsageError
from perfsuite.model import CANARY_FAMILY, CaseComparison, Environment, Result, Status, Timer, Verdict
from perfsuite.stats.rules import Series
from perfsuite.stats.unpaired import unpaired_report
from perfsuite.stats.unpaired_series import pair_verdicts, rule_pair

CALM = tuple(1000.0 * (1 + 0.002 * ((7 * index) % 5 - 2)) for index in range(20))


def timed(case: str = "moe/prefill[m=8]", time_ns: float = 1000.0, code: str = "a", **changes: Any) -> Result:
    blocks = (block(0, 0, [time_ns * 0.99, time_ns, time_ns * 1.02]),)
    return replace(result(blocks, code=code, **changes), case=case)


def judged(
    base: Sequence[Result], head: Sequence[Result], history: Mapping[str, Sequence[float]] | None = None
) -> dict[str, CaseComparison]:
    report = unpaired_report(comparison(), base, head, history or {})
    return {c.case: c for c in (*report.comparisons, *report.canaries)}


def one(
    head_ns: float, history: Sequence[float] = (), *, base_ns: float = 1000.0, **changes: Any
) -> CaseComparison:
    base, head = timed(time_ns=base_ns), timed(time_ns=head_ns, code="b", **changes)
    return judged([base], [head], {base.case: history})[base.case]


def test_without_history_and_controls_it_is_inconclusive_and_says_what_it_takes() -> None:
    found = one(2000.0)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.change == pytest.approx(1.0)
    assert (found.low, found.high, found.floor) == (None, None, None)
    assert "5 more earlier runs" in found.why[0] and "perfsuite compare" in found.why[0]
    assert "3 more earlier runs" in one(2000.0, CALM[:2]).why[0]


@pytest.mark.parametrize(
    ("head_ns", "verdict"),
    [
        (1300.0, Verdict.REGRESSED),
        (700.0, Verdict.IMPROVED),
        (1040.0, Verdict.INCONCLUSIVE),
        (1000.0, Verdict.INCONCLUSIVE),
    ],
)
def test_a_history_decides(head_ns: float, verdict: Verdict) -> None:
    found = one(head_ns, CALM)
    assert found.verdict is verdict
    assert "20 earlier changes" in found.why[0] and "noise between runs" in found.why[0]
    assert found.low is not None and found.high is not None and found.low < found.change < found.high  # type: ignore[operator]
    assert found.base_ns == pytest.approx(1000.0) and found.head_ns == pytest.approx(head_ns)


def test_unchanged_needs_the_whole_interval_within_the_threshold() -> None:
    base, head = timed(), timed(time_ns=1001.0, code="b")
    wide = replace(comparison(), threshold=0.2)
    (found,) = unpaired_report(wide, [base], [head], {base.case: CALM}).comparisons
    assert found.verdict is Verdict.UNCHANGED
    # A change that noise does not explain, but that is not relevant.
    head = timed(time_ns=1150.0, code="b")
    (found,) = unpaired_report(wide, [base], [head], {base.case: CALM}).comparisons
    assert found.verdict is Verdict.UNCHANGED and "below the threshold" in found.why[0]


def test_the_spread_within_a_run_does_not_matter() -> None:
    wild = replace(timed(time_ns=1300.0, code="b"), blocks=(block(0, 0, [500.0, 1300.0, 9000.0]),))
    assert judged([timed()], [wild], {timed().case: CALM})[timed().case].verdict is Verdict.REGRESSED


def test_cases_of_equal_machine_code_are_controls() -> None:
    names = [f"quantize/rows[m={index}]" for index in range(40)]
    base = [timed(), *(timed(name) for name in names)]
    head = [
        timed(time_ns=1300.0, code="b"),
        *(timed(name, time_ns=1050.0 + index % 7) for index, name in enumerate(names)),
    ]
    found = judged(base, head, dict.fromkeys((timed().case, *names), CALM))
    assert {found[name].verdict for name in names} == {Verdict.IDENTICAL}
    regressed = found[timed().case]
    assert regressed.verdict is Verdict.REGRESSED
    assert "40 controls" in regressed.why[0]
    # What they have in common is the machine's.
    assert regressed.change == pytest.approx(1300 / 1053 - 1, abs=1e-3)
    assert any("taken out" in line for line in regressed.why)
    report = unpaired_report(comparison(), base, head, {})
    assert "the machine changed" in report.machine and "40 cases" in report.machine


def test_canaries_are_controls_and_no_cases() -> None:
    canary = replace(timed(f"{CANARY_FAMILY}[memory]", code="c"), family=CANARY_FAMILY)
    report = unpaired_report(comparison(), [timed(), canary], [timed(code="b"), canary], {})
    assert [c.case for c in report.canaries] == [canary.case]
    assert [c.case for c in report.comparisons] == [timed().case]
    assert report.canaries[0].verdict is Verdict.IDENTICAL


def test_named_controls_need_no_proof() -> None:
    opaque = launches(KERNEL, opaque=("a library's kernel",))
    names = [f"torch/mm[m={index}]" for index in range(30)]
    base = [timed(), *(timed(name, launches=opaque) for name in names)]
    head = [timed(time_ns=1500.0, code="b"), *base[1:]]
    report = unpaired_report(comparison(), base, head, {}, controls=names)
    assert {c.case: c.verdict for c in report.comparisons}[timed().case] is Verdict.REGRESSED
    report = unpaired_report(comparison(), base, head, {})
    assert {c.verdict for c in report.comparisons} == {Verdict.INCONCLUSIVE}


def test_what_comes_before_statistics() -> None:
    cases = {
        "incorrect": (timed("incorrect"), timed("incorrect", status=Status.INCORRECT, code="b")),
        "failed": (timed("failed"), timed("failed", status=Status.FAILED, code="b")),
        "new": (timed("new"), timed("new", version="v2", code="b")),
        "timers": (timed("timers"), timed("timers", timer=Timer.WALL, code="b")),
        "untimed": (
            timed("untimed", timer=Timer.REFERENCE),
            timed("untimed", timer=Timer.REFERENCE, code="b"),
        ),
        "nothing": (timed("nothing", time_ns=math.nan), timed("nothing", code="b")),
    }
    base, head = ([sides[index] for sides in cases.values()] for index in range(2))
    found = judged([*base, timed("removed")], [*head, timed("added")])
    assert {case: str(c.verdict) for case, c in found.items()} == {
        "incorrect": "incorrect",
        "failed": "failed",
        "new": "new",
        "timers": "inconclusive",
        "untimed": "inconclusive",
        "nothing": "inconclusive",
        "removed": "removed",
        "added": "new",
    }
    assert "not comparable" in found["timers"].why[0] and "GPU" in found["untimed"].why[0]


def test_imported_times_are_judged() -> None:
    base, head = timed(timer=Timer.IMPORTED), timed(time_ns=1300.0, timer=Timer.IMPORTED, code="b")
    assert judged([base], [head], {base.case: CALM})[base.case].verdict is Verdict.REGRESSED


def test_other_environments_are_refused() -> None:
    other = replace(comparison(), head=run("b", Environment("node", gpu="NVIDIA H100")))
    with pytest.raises(UsageError, match="gpu NVIDIA H200 → NVIDIA H100"):
        unpaired_report(other, [timed()], [timed()], {})


def test_a_flip_back_from_an_outlier_at_base_is_no_regression() -> None:
    found = one(1000.0, CALM, base_ns=700.0)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert any("base may be the exception" in line for line in found.why)


def series(name: str, head: float, *, lower_is_better: bool = True) -> Series:
    commits = (*(f"c{index}" for index in range(len(CALM))), "base", "head")
    return Series(name, (*CALM, 1000.0, head), lower_is_better, commits=commits)


def test_series_are_judged_with_what_came_before() -> None:
    base, head = len(CALM), len(CALM) + 1
    controls = [series(f"control{index}", 1000.0 + index % 4) for index in range(30)]
    assert rule_pair(series("a", 1300.0), base, head).verdict is Verdict.REGRESSED
    assert rule_pair(series("a", 1300.0, lower_is_better=False), base, head).verdict is Verdict.IMPROVED
    assert rule_pair(series("a", 1002.0), base, head, controls).verdict is Verdict.UNCHANGED
    found = rule_pair(series("a", 1100.0), base, head, controls)
    assert found.verdict is Verdict.REGRESSED and found.change == pytest.approx(0.0985, abs=2e-3)
    # At the first points there is nothing to judge with.
    assert rule_pair(series("a", 1300.0), 0, 1).verdict is Verdict.INCONCLUSIVE
    negative = replace(series("a", 1300.0), values=(-1.0,) * (len(CALM) + 2))
    assert rule_pair(negative, base, head).verdict is Verdict.INCONCLUSIVE


def test_all_series_at_once_are_judged_as_one_by_one() -> None:
    base, head = len(CALM), len(CALM) + 1
    controls = [series(f"control{index}", 1000.0 + index % 4) for index in range(30)]
    watched = [series(f"a{index}", 1000.0 + 30 * index) for index in range(5)]
    every = [*watched, *controls]
    together = pair_verdicts(every, {s.id: (base, head) for s in every}, {s.id for s in controls})
    for each in watched:
        assert together[each.id] == rule_pair(each, base, head, controls)
