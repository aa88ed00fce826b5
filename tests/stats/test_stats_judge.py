from dataclasses import replace

import pytest
from stats_example import CASE, GPU, KERNEL, blocks, comparison, launches, result, run, sides, simulated

from perfsuite.errors import UsageError
from perfsuite.model import CaseComparison, Result, Status, Timer, Verdict
from perfsuite.stats.judge import judge, require_comparable, threshold_of

SLOWER = [[0.05, 0.051, 0.052, 0.053]] * 2
SAME = [[0.0, 0.001, -0.001, 0.002]] * 2
ORDINARY = {"pair": 0.0013, "block": 0.0014}
"""What a W4A8 GEMM shows on an H200, as standard deviations of log ratios."""


def verdict_on(base: Result | None, head: Result | None, threshold: float = 0.02) -> CaseComparison:
    report = judge(comparison(threshold), [base] if base else [], [head] if head else [])
    assert len(report.comparisons) == 1
    return report.comparisons[0]


def timed(log_ratios: list[list[float]], threshold: float = 0.02) -> CaseComparison:
    return verdict_on(*sides(log_ratios), threshold)


def test_regressed_with_the_code_that_changed_as_the_reason() -> None:
    base, head = sides(SLOWER)
    worse = launches(replace(KERNEL, hash="b" * 16, registers=168, spills=12))
    found = verdict_on(base, replace(head, launches=worse))
    assert found.verdict is Verdict.REGRESSED
    assert found.change is not None and found.low is not None and found.high is not None
    assert 0.02 <= found.low <= found.change <= found.high
    assert (found.pairs, found.rounds, found.floor) == (2, 24, None)
    assert found.why == ("_gemm1: registers 128 → 168, spills 0 → 12",)


def test_improved_unchanged_and_inconclusive() -> None:
    assert timed([[-ratio for ratio in pair] for pair in SLOWER]).verdict is Verdict.IMPROVED
    assert timed(SAME).verdict is Verdict.UNCHANGED
    wavering = timed([[0.0, 0.01, 0.03, 0.04]] * 2)
    assert wavering.verdict is Verdict.INCONCLUSIVE
    assert "settle" in wavering.why[0]


def test_improved_needs_minus_the_threshold_itself() -> None:
    # 1 / 1.1 − 1 = −9.09 % would do on a log scale; the threshold that people set is 10 %.
    assert timed([[-0.0953] * 4] * 2, threshold=0.1).verdict is Verdict.UNCHANGED


def test_a_real_change_below_the_threshold_is_unchanged_and_says_so() -> None:
    found = timed([[0.010, 0.011, 0.012, 0.013]] * 2)
    assert found.verdict is Verdict.UNCHANGED
    assert found.why[0] == "slower, but by less than the threshold of 2.00 %"


def test_too_few_blocks_are_inconclusive_without_an_interval() -> None:
    found = timed([[0.5, 0.5, 0.5, 0.5]])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert (found.low, found.high) == (None, None)
    assert found.change is not None


def test_six_blocks_in_two_pairs_decide() -> None:
    found = timed([[0.05, 0.051, 0.052]] * 2)
    assert found.verdict is Verdict.REGRESSED
    assert (found.blocks, found.confirmed) == (6, True)


def test_pairs_that_disagree_are_inconclusive() -> None:
    found = timed([[0.05] * 8, [0.05] * 8, [0.05] * 8, [0.0] * 8])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the pairs disagree" in found.why[0]


def test_incorrect_shows_errors_and_no_time() -> None:
    base, head = sides(SLOWER)
    found = verdict_on(base, replace(head, status=Status.INCORRECT, error_rms=0.31, message="gate is red"))
    assert found.verdict is Verdict.INCORRECT
    assert (found.base_ns, found.head_ns, found.change) == (None, None, None)
    assert found.why[0] == "error (RMS) 0.31, tolerance 0.02"
    assert "error (RMS) at base 0.004" in found.why


def test_incorrect_at_base_already() -> None:
    base = result(status=Status.INCORRECT, error_rms=0.3)
    found = verdict_on(base, result(status=Status.INCORRECT, error_rms=0.31))
    assert found.verdict is Verdict.INCORRECT
    assert "already incorrect at base: error (RMS) 0.3" in found.why


def test_failed_at_head_and_already_at_base() -> None:
    failed = result(status=Status.FAILED, message="illegal address\nTraceback …")
    assert verdict_on(result(), failed).why == ("illegal address",)
    both = verdict_on(failed, failed)
    assert both.verdict is Verdict.FAILED
    assert both.why == ("illegal address", "already failed at base")


def test_failed_or_incorrect_at_base_only_is_new() -> None:
    for status in (Status.FAILED, Status.INCORRECT):
        found = verdict_on(result(status=status, message="broken"), result(blocks(SAME)))
        assert found.verdict is Verdict.NEW
        assert found.why == (f"{status} at base, ok at head: broken",)


def test_new_removed_and_changed_benchmarks() -> None:
    assert verdict_on(None, result()).verdict is Verdict.NEW
    assert verdict_on(result(), None).verdict is Verdict.REMOVED
    changed = verdict_on(result(), result(version="v2"))
    assert changed.verdict is Verdict.NEW
    assert changed.why[0].startswith("benchmark changed")


def test_a_red_gate_comes_before_new() -> None:
    assert verdict_on(None, result(status=Status.INCORRECT)).verdict is Verdict.INCORRECT
    changed = verdict_on(result(), result(version="v2", status=Status.FAILED))
    assert changed.verdict is Verdict.FAILED


def test_skipped_cases_are_named_not_compared() -> None:
    skipped = result(status=Status.SKIPPED, message="needs 80 GB")
    assert verdict_on(result(), skipped).verdict is Verdict.REMOVED
    assert verdict_on(skipped, result()).verdict is Verdict.NEW
    both = verdict_on(skipped, skipped)
    assert (both.verdict, both.why) == (Verdict.INCONCLUSIVE, ("skipped at head: needs 80 GB",))


def test_identical_comes_before_times_and_suspects_the_machine() -> None:
    untimed = verdict_on(result(), result())
    assert (untimed.verdict, untimed.why, untimed.change) == (Verdict.IDENTICAL, (), None)
    moved = verdict_on(result(blocks([[0.0] * 4] * 2)), result(blocks(SLOWER)))
    assert moved.verdict is Verdict.IDENTICAL
    assert moved.why[0].startswith("same machine code, yet +5.2")


def test_equal_launches_that_may_be_incomplete_are_timed() -> None:
    opaque = launches(KERNEL, opaque=["cuBLAS was not captured"])
    base, head = (replace(side, launches=opaque) for side in sides(SLOWER))
    found = verdict_on(base, head)
    assert found.verdict is Verdict.REGRESSED
    assert "suspect the machine" in found.why[0]
    assert "cuBLAS was not captured" in found.why[0]


def test_reference_times_are_never_compared() -> None:
    base, head = sides(SLOWER)
    found = verdict_on(replace(base, timer=Timer.REFERENCE), replace(head, timer=Timer.REFERENCE))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.change is None
    assert found.why[0] == "no device times: needs a GPU"
    assert found.why[1] == "machine code of _gemm1 differs, same registers/spills/shared memory"


def test_different_timers_are_not_comparable() -> None:
    base, head = sides(SLOWER)
    found = verdict_on(base, replace(head, timer=Timer.EVENTS))
    assert (found.verdict, found.change) == (Verdict.INCONCLUSIVE, None)
    assert "cuda-graph at base and cuda-events at head" in found.why[0]


def test_plain_benchmarks_are_compared_by_wall_clock() -> None:
    base, head = (replace(side, timer=Timer.WALL, device="cpu") for side in sides(SLOWER * 2))
    assert verdict_on(base, head).verdict is Verdict.REGRESSED
    # Two pairs of processes are not enough for 5 % of wall-clock time: processes differ by as much.
    base, head = (replace(side, timer=Timer.WALL, device="cpu") for side in sides(SLOWER))
    assert verdict_on(base, head).verdict is Verdict.INCONCLUSIVE


def test_faster_but_less_accurate_is_a_verdict_of_its_own() -> None:
    base, head = sides([[-ratio for ratio in pair] for pair in SLOWER])
    found = verdict_on(base, replace(head, error_rms=0.015))
    assert found.verdict is Verdict.LESS_ACCURATE
    assert not found.verdict.red
    assert "0.004 → 0.015" in found.why[0]
    assert verdict_on(base, replace(head, error_rms=0.0041)).verdict is Verdict.IMPROVED


def test_environments_that_differ_are_refused_by_name() -> None:
    other = replace(GPU, gpu="NVIDIA H100", driver="570.2")
    with pytest.raises(UsageError) as refusal:
        require_comparable(run("a"), run("b", other))
    assert "gpu NVIDIA H200 → NVIDIA H100" in refusal.value.what
    assert "driver 580.1 → 570.2" in refusal.value.what
    with pytest.raises(UsageError):
        judge(replace(comparison(), head=run("b", other)), [], [])


def test_another_host_of_the_same_kind_is_comparable() -> None:
    require_comparable(run("a"), run("b", replace(GPU, host="other", gpu_uuid="GPU-2")))


def test_case_thresholds_first_match_wins_and_brackets_are_literal() -> None:
    some = replace(
        comparison(0.02), case_thresholds={CASE: 0.01, "moe/*": 0.05, "*": 0.1, "moe/prefill[m=8*": 0.9}
    )
    assert threshold_of(CASE, some) == 0.01
    assert threshold_of("moe/prefill[m=9,g=128]", some) == 0.05
    assert threshold_of("gemm[m=1]", some) == 0.1
    assert threshold_of("gemm", comparison(0.02)) == 0.02


def test_resolution_is_the_median_half_width_of_timed_cases() -> None:
    widths = {"x/a": 0.001, "x/b": 0.002, "x/c": 0.03}
    pairs = [(name, sides([[-w, 0.0, 0.0, w]] * 2)) for name, w in widths.items()]
    base = [replace(both[0], case=name) for name, both in pairs]
    head = [replace(both[1], case=name) for name, both in pairs]
    report = judge(comparison(), [*base, result(case="x/d")], [*head, result(case="x/d")])
    halves = sorted(
        (c.high - c.low) / 2 for c in report.comparisons if c.low is not None and c.high is not None
    )
    assert len(halves) == 3 and halves[0] < halves[1] < halves[2]
    assert report.resolution == halves[1]
    assert judge(comparison(), [result()], [result()]).resolution is None


def test_report_is_worst_first_and_deterministic() -> None:
    base = [replace(sides(SAME)[0], case=name) for name in ("x/same", "x/slow", "x/slower", "x/bad")]
    head = [
        replace(sides(SAME)[1], case="x/same"),
        replace(sides(SLOWER)[1], case="x/slow"),
        replace(sides([[0.2] * 4] * 2)[1], case="x/slower"),
        result(case="x/bad", status=Status.INCORRECT),
    ]
    report = judge(comparison(), base, head)
    assert [c.case for c in report.comparisons] == ["x/bad", "x/slower", "x/slow", "x/same"]
    assert report.red
    assert judge(comparison(), base[::-1], head[::-1]) == report


def test_equal_code_raises_no_alarm_in_400_simulated_comparisons() -> None:
    verdicts = [timed(simulated(seed, 0.0, ORDINARY, (3, 4)), 0.01).verdict for seed in range(400)]
    assert verdicts.count(Verdict.REGRESSED) + verdicts.count(Verdict.IMPROVED) == 0
    assert verdicts.count(Verdict.UNCHANGED) >= 390


@pytest.mark.parametrize(("planted", "threshold"), [(0.03, 0.02), (0.1, 0.02), (0.02, 0.01)])
def test_planted_slow_downs_are_found(planted: float, threshold: float) -> None:
    cases = [timed(simulated(seed, planted, ORDINARY, (4, 4)), threshold) for seed in range(50)]
    assert sum(c.verdict is Verdict.REGRESSED for c in cases) >= 45
    assert all(c.verdict in (Verdict.REGRESSED, Verdict.INCONCLUSIVE) for c in cases)


def test_a_planted_percent_is_unchanged_at_two_and_never_called_faster() -> None:
    cases = [timed(simulated(seed, 0.01, ORDINARY, (3, 4)), 0.02) for seed in range(50)]
    assert sum(c.verdict is Verdict.UNCHANGED for c in cases) >= 45
    assert not any(c.verdict in (Verdict.REGRESSED, Verdict.IMPROVED) for c in cases)
