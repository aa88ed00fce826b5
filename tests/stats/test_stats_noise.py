"""Noise that adds up, floors, and what the canaries say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from stats_example import blocks, comparison, result, sides, simulated

from perfsuite.model import (
    CANARY_FAMILY,
    CaseComparison,
    Comparison,
    Noise,
    Result,
    Status,
    Verdict,
    noise_key,
)
from perfsuite.stats.components import KNOWN_PAIRS, is_known
from perfsuite.stats.deciding import Decider
from perfsuite.stats.judge import judge
from perfsuite.stats.machine import allowance, moved_apart, moved_since
from perfsuite.stats.noise import floor_of, noise_by_case, noise_of

QUIET = {"block": 0.001, "pair": 0.0005}


def seen(comparisons: int, noise: dict[str, float] = QUIET) -> Noise:
    """What so many comparisons of equal code showed."""
    total = Noise()
    for seed in range(comparisons):
        added = noise_of(*sides(simulated(seed, 0.0, noise, (2, 4))), same_code=True)
        assert added is not None
        total += added
    return total


def test_sums_of_a_hand_computed_comparison() -> None:
    # Base allocates first in blocks 0 of pair 0 and 1 of pair 1, and costs nobody anything here.
    found = noise_of(*sides([[0.001, 0.003, 0.001, 0.003], [-0.001, 0.001, -0.001, 0.001]]), same_code=True)
    assert found is not None
    assert (found.pairs, found.freedom, found.comparisons) == (2, 5, 1)
    assert found.within == pytest.approx(8e-6)
    assert found.between == pytest.approx(4 * 0.002**2)


def test_unchanged_code_that_moved_a_little_does_not_count_its_own_change() -> None:
    moved = sides([[0.011, 0.013], [0.008, 0.008]])
    found = noise_of(*moved, same_code=False)
    assert found is not None
    assert found.pairs == 1
    assert found.between == pytest.approx(4 * 0.002**2)


def test_nothing_measured_adds_nothing() -> None:
    assert noise_of(result(), result(), same_code=True) is None


def test_the_floor_is_what_was_planted() -> None:
    floor = floor_of(seen(200))
    assert floor == pytest.approx(3.29 * math.sqrt(0.0005**2 / 2 + 0.001**2 / 8), rel=0.08)
    assert floor_of(seen(200), pairs=8, blocks=32) == pytest.approx(floor / 2, rel=0.01)


def test_a_floor_needs_enough_pairs() -> None:
    few = seen(KNOWN_PAIRS // 2 - 1)
    assert not is_known(few) and floor_of(few) is None
    assert floor_of(seen(KNOWN_PAIRS // 2)) is not None
    assert floor_of(None) is None and floor_of(Noise()) is None


def with_noise(noise: Noise, threshold: float = 0.02) -> Comparison:
    return replace(comparison(threshold), noise={noise_key(result().case, "v1"): noise})


def test_known_noise_decides_unchanged_in_one_pair_and_shows_the_floor() -> None:
    one_pair = sides([[0.0, 0.001, -0.001, 0.0]])
    found = judge(with_noise(seen(10)), [one_pair[0]], [one_pair[1]]).comparisons[0]
    assert found.verdict is Verdict.UNCHANGED
    assert found.floor == floor_of(seen(10))
    unknown = judge(comparison(), [one_pair[0]], [one_pair[1]]).comparisons[0]
    assert unknown.verdict is Verdict.INCONCLUSIVE


def test_noise_of_another_version_of_the_benchmark_is_not_used() -> None:
    other = replace(comparison(), noise={noise_key(result().case, "v0"): seen(10)})
    both = sides([[0.0, 0.001, -0.001, 0.0]])
    assert judge(other, [both[0]], [both[1]]).comparisons[0].floor is None


def test_a_threshold_below_the_floor_says_so() -> None:
    noisy = seen(10, {"block": 0.02, "pair": 0.02})
    both = sides(simulated(1, 0.0, {"block": 0.02, "pair": 0.02}, (3, 4)))
    found = judge(with_noise(noisy), [both[0]], [both[1]]).comparisons[0]
    assert found.verdict is Verdict.INCONCLUSIVE
    assert any("is below this case's noise floor" in line for line in found.why)


def test_what_a_comparison_adds_to_the_noise() -> None:
    same, slow = sides([[0.001, -0.001] * 2] * 2), sides([[0.1, 0.101] * 2] * 2)
    base = [replace(same[0], case="x/same"), replace(slow[0], case="x/slow")]
    head = [replace(same[1], case="x/same"), replace(slow[1], case="x/slow")]
    added = noise_by_case(judge(comparison(), base, head), base, head)
    assert set(added) == {"x/same", "x/slow"}
    assert added["x/slow"][1].pairs == 1, "around its own mean"
    assert added["x/slow"][1].within < 1e-4
    aa = replace(comparison(), kind="noise")
    added = noise_by_case(judge(aa, base, head), base, head)
    assert list(added) == ["x/slow", "x/same"], "of equal commits, what looks changed is noise too"
    assert added["x/same"][0] == "v1"


# --- the rule that stops measuring ---


def needs(log_ratios: list[list[float]], of: Comparison | None = None) -> int:
    return Decider(of or comparison())(*sides(log_ratios), 20)


def test_measuring_stops_when_a_case_is_decided() -> None:
    assert needs([[0.0] * 4] * 2) == 0
    assert needs([[0.1] * 4] * 2) == 0
    assert needs([[0.0] * 4]) == 1, "one pair is not enough where the noise is not known"
    assert needs([[0.0] * 4], with_noise(seen(10))) == 0
    assert needs([[0.1] * 4], with_noise(seen(10))) == 1, "to be confirmed"


def test_measuring_goes_on_while_it_helps_and_stops_where_it_does_not() -> None:
    wavering = [[0.012, 0.014, 0.016, 0.018]] * 2
    assert needs(wavering) > 1
    hopeless = [[-0.2, 0.3, 0.1, -0.1]] * 3
    assert needs(hopeless[:2]) == 1
    assert needs(hopeless) == 0


def test_the_rule_and_the_report_agree() -> None:
    for seed in range(60):
        both = sides(simulated(seed, 0.02, {"block": 0.002, "pair": 0.002}, (3, 4)))
        verdict = judge(comparison(), [both[0]], [both[1]]).comparisons[0].verdict
        more = Decider(comparison())(*both, 1)
        # Inconclusive and yet not gone on with: even many more pairs would not settle it.
        assert more == 0 or verdict is Verdict.INCONCLUSIVE


# --- canaries ---


def canary(name: str, log_ratios: list[list[float]]) -> tuple[Result, Result]:
    made = (result(blocks([[0.0] * len(r) for r in log_ratios])), result(blocks(log_ratios)))
    case = f"{CANARY_FAMILY}[{name}]"
    return replace(made[0], case=case, family=CANARY_FAMILY), replace(
        made[1], case=case, family=CANARY_FAMILY
    )


def judged_beside(canary_ratios: list[list[float]], change: float) -> tuple[CaseComparison, str]:
    case, pinned = sides([[change] * 4] * 2), canary("memory", canary_ratios)
    report = judge(comparison(), [case[0], pinned[0]], [case[1], pinned[1]])
    assert [c.case for c in report.canaries] == [pinned[0].case]
    assert len(report.comparisons) == 1
    return report.comparisons[0], report.machine


def test_quiet_canaries_say_nothing() -> None:
    compared, machine = judged_beside([[0.0001, -0.0001] * 2] * 2, 0.05)
    assert (compared.verdict, machine) == (Verdict.REGRESSED, "")


def test_what_the_machine_did_is_not_blamed_on_the_code() -> None:
    moved = [[0.05, 0.051, 0.05, 0.049]] * 2
    compared, machine = judged_beside(moved, 0.06)
    assert compared.verdict is Verdict.INCONCLUSIVE
    assert "the machine itself moved" in compared.why[0]
    assert machine.startswith("the machine changed between base and head") and "canary memory +5." in machine
    beyond, _ = judged_beside(moved, 0.4)
    assert beyond.verdict is Verdict.REGRESSED, "beyond what the machine explains"


def test_canaries_alone_are_no_family_of_tests() -> None:
    pinned = canary("launch", [[0.0] * 4] * 2)
    report = judge(comparison(), [pinned[0]], [pinned[1]])
    assert (report.comparisons, report.resolution, report.red) == ((), None, False)


def test_a_canary_without_an_interval_accuses_nobody() -> None:
    pinned = canary("launch", [[0.5]])
    report = judge(comparison(), [pinned[0]], [pinned[1]])
    assert moved_apart(report.canaries) == () and allowance(()) == 0.0


def test_a_moved_machine_may_hide_a_regression_too() -> None:
    compared, machine = judged_beside([[-0.03, -0.031, -0.03, -0.029]] * 2, 0.0)
    assert compared.verdict is Verdict.INCONCLUSIVE, "3 % slower on a machine that became 3 % faster"
    assert "the machine itself moved" in compared.why[0] and machine


def test_a_canary_that_computes_wrong_values_ends_all_certainty() -> None:
    case, pinned = sides([[0.05] * 4] * 2), canary("compute", [[0.0] * 4] * 2)
    wrong = replace(pinned[1], status=Status.INCORRECT, message="wrong")
    report = judge(comparison(), [case[0], pinned[0]], [case[1], wrong])
    assert report.comparisons[0].verdict is Verdict.INCONCLUSIVE
    assert report.machine.startswith("suspect the machine") and "canary compute incorrect" in report.machine


def test_a_base_that_failed_while_it_was_timed_hides_nothing() -> None:
    base, head = sides([[0.5] * 4] * 2)
    found = judge(comparison(), [replace(base, status=Status.FAILED, message="lost")], [head]).comparisons[0]
    assert (found.verdict, found.why[0]) == (Verdict.INCONCLUSIVE, "failed at base while it was timed: lost")


def test_canaries_against_their_own_history() -> None:
    name = f"{CANARY_FAMILY}[compute]"
    history = [100.0, 101.0, 99.0, 100.5, 100.0, 99.5]
    assert moved_since({name: 101.5}, {name: history}) == ""
    assert "canary compute +10.0 % against its last 6 runs" in moved_since({name: 110.0}, {name: history})
    assert moved_since({name: 110.0}, {name: history[:4]}) == "", "four runs are no history"
    assert moved_since({name: math.nan}, {name: history}) == ""
