"""Each baseline decides as its description says, on both sides of its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from perfsuite.stats.baselines import BASELINES, PAIR_BASELINES, perfherder
from perfsuite.stats.baselines import _two_samples as tests
from perfsuite.stats.baselines._points import Trailing, peaks, relative
from perfsuite.stats.rules import Series
from perfsuite.stats.scoring_pairs import Block, Compared

NAMES = (
    *("github_action_benchmark", "bencher_t", "asv_continuous", "conbench_z", "rustc_perf_iqr", "otava"),
    *("perfherder", "codspeed_fixed", "pytorch_hud", "pytest_benchmark_fail", "nvbench_robust", "pinpoint"),
    *("vllm_nightly", "sglang_nightly", "intel_triton_mad", "aiter_moe_ci"),
)


def noisy(count: int, noise: float = 0.001, seed: int = 1) -> np.ndarray:
    return 100 * np.exp(noise * np.random.default_rng(seed).standard_normal(count))


def stepped(size: float, count: int = 80, at: int = 40, noise: float = 0.001, seed: int = 1) -> Series:
    values = noisy(count, noise, seed)
    values[at:] *= 1 + size
    return Series("s", tuple(values.tolist()))


def found(name: str, series: Series) -> list[int]:
    return [alarm.index for alarm in BASELINES[name](series)]


def test_all_sixteen_are_there() -> None:
    assert sorted(BASELINES) == sorted(NAMES)
    assert all(rule.name == name for name, rule in BASELINES.items())
    assert all(rule.name == name for name, rule in PAIR_BASELINES.items())


@pytest.mark.parametrize(
    ("name", "below", "above"),
    [
        ("github_action_benchmark", 0.95, 1.1),
        ("codspeed_fixed", 0.09, 0.11),
        ("pytest_benchmark_fail", 0.045, 0.055),
        ("aiter_moe_ci", 0.14, 0.16),
        ("sglang_nightly", 0.09, 0.11),
        ("pytorch_hud", 0.33, 0.37),
        ("vllm_nightly", 0.005, 0.02),
        ("intel_triton_mad", 0.045, 0.055),
        ("asv_continuous", 0.09, 0.11),
        ("nvbench_robust", 0.003, 0.02),
        ("perfherder", 0.018, 0.023),
        ("bencher_t", 0.001, 0.005),
        ("rustc_perf_iqr", 0.001, 0.02),
        ("conbench_z", 0.001, 0.02),
        ("pinpoint", 0.0, 0.005),
        ("otava", 0.0, 0.005),
    ],
)
def test_a_step_is_found_above_the_limit_only(name: str, below: float, above: float) -> None:
    near = range(39, 42)
    assert not set(found(name, stepped(below))) & set(near)
    for size in (above, 1 / (1 + above) - 1):
        alarms = [alarm for alarm in BASELINES[name](stepped(size)) if alarm.index in near]
        assert alarms, size
        assert all(alarm.index <= alarm.seen < 80 and (alarm.change > 0) == (size > 0) for alarm in alarms)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "values",
    [
        (),
        (5.0,),
        (5.0, 6.0),
        (0.0,) * 40,
        (7.0,) * 40,
        (math.nan,) * 30,
        (-1.0, 1.0) * 30,
        (1.0, math.nan, 1.01) * 20,
        (0.0,) * 20 + (1.0,) * 20,
    ],
)
def test_odd_series_end_in_finite_indices(name: str, values: tuple[float, ...]) -> None:
    for alarm in BASELINES[name](Series("s", values)):
        assert 0 < alarm.index <= alarm.seen < len(values)
        assert not math.isnan(alarm.change)
    if len(set(values)) < 2:
        assert BASELINES[name](Series("s", values)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_point_moves_no_index(name: str) -> None:
    series = stepped(1.5)
    values = (*series.values[:10], math.nan, *series.values[10:])
    moved = [index + (index >= 10) for index in found(name, series)]
    assert found(name, Series("s", values)) == moved


def test_delays_are_what_each_rule_waits_for() -> None:
    series = stepped(1.5)
    delay = {name: BASELINES[name](series)[0].seen - BASELINES[name](series)[0].index for name in NAMES}
    assert delay["github_action_benchmark"] == delay["bencher_t"] == delay["vllm_nightly"] == 0
    assert delay["pytorch_hud"] == 1
    assert delay["asv_continuous"] == delay["nvbench_robust"] == delay["pinpoint"] == 10
    assert delay["perfherder"] in (11, 12)  # until then the next point's t, of fewer points, is higher
    assert 0 <= delay["otava"] < 5


def test_bencher_says_nothing_of_values_that_never_varied_and_rustc_does() -> None:
    series = Series("s", (5.0,) * 40 + (6.0,) * 10)
    # Its limits are defined once something has varied, and soon after the new level is within them.
    assert found("bencher_t", series)[0] == 41
    assert found("rustc_perf_iqr", series) == [40]


def test_rustc_uses_two_tenths_of_a_percent_while_history_is_short() -> None:
    values = [100.0] * 10 + [100.19] + [100.0] * 5 + [100.21] * 5
    assert found("rustc_perf_iqr", Series("s", tuple(values))) == [16]


def test_the_hud_needs_two_in_a_row() -> None:
    values = noisy(30)
    values[15] *= 2
    assert found("pytorch_hud", Series("s", tuple(values.tolist()))) == []


def test_intel_skips_what_varies_too_much() -> None:
    values = [100.0] * 30
    values[10:30:4] = [200.0] * 5
    assert found("intel_triton_mad", Series("s", (*values, 300.0))) == [10]


def test_conbench_waits_for_residuals() -> None:
    values = (1.0, 1.001, 1.0, 1.001, 5.0, 1.0)
    assert found("conbench_z", Series("s", values)) == []


def test_pinpoint_takes_wider_windows_while_undecided() -> None:
    wide = [BASELINES["pinpoint"](stepped(0.012, noise=0.01, seed=seed)) for seed in range(20)]
    delays = {alarm.seen - alarm.index for alarms in wide for alarm in alarms}
    assert {10, 20} <= delays


def test_otava_finds_both_ends_of_a_plateau_and_drops_weak_points() -> None:
    values = noisy(200, 0.01, seed=3)
    values[60:120] *= 1.05
    indices = found("otava", Series("s", tuple(values.tolist())))
    assert indices == [60, 120]


def test_perfherder_is_what_a_plain_loop_gives() -> None:
    for seed in range(6):
        values = noisy(90, 0.01, seed)
        values[30:] *= 1.08
        values[60:] *= 0.9
        series = Series("s", tuple(values.tolist()))
        assert [one.index for one in perfherder.find(series)] == plain_perfherder(values.tolist())


def plain_perfherder(values: list[float]) -> list[int]:
    """The description, point by point."""

    def side(points: list[float]) -> tuple[float, float]:
        weights = [(len(points) - k) / len(points) for k in range(len(points))]
        mean = sum(w * x for w, x in zip(weights, points, strict=True)) / sum(weights)
        variance = sum((x - mean) ** 2 for x in points) / (len(points) - 1) if len(points) > 1 else 0.0
        return mean, variance / len(points)

    t, back, since = [0.0] * len(values), [0] * len(values), 0
    for i in range(1, len(values)):
        back[i] = min(max(since, 12), 24)
        behind = values[max(0, i - back[i]) : i][::-1]
        (old, spread), (new, other) = side(behind), side(values[i : i + 12])
        t[i] = abs(new - old) / math.sqrt(spread + other) if spread + other else 0.0
        since = 0 if t[i] > 7 else since + 1
    peaked = [
        i
        for i in range(12, len(values) - 11)
        if t[i] > 7 and t[i] >= t[i - 1] and (i + 1 == len(values) or t[i] >= t[i + 1])
    ]
    return [
        i
        for i in peaked
        if abs(np.mean(values[i : i + 12]) / np.mean(values[max(0, i - back[i]) : i]) - 1) >= 0.02
    ]


def test_p_values_are_those_of_the_tables() -> None:
    generator = np.random.default_rng(5)
    for width in (4, 10, 20):
        before = generator.standard_normal((8, width))
        after = generator.standard_normal((8, width)) + generator.uniform(-1.5, 1.5, (8, 1))
        for row in range(8):
            mw = reference.mannwhitneyu(before[row], after[row], method="exact").pvalue
            ks = reference.ks_2samp(before[row], after[row], method="exact").pvalue
            assert tests.mann_whitney_p(before, after)[row] == pytest.approx(mw)
            assert tests.kolmogorov_smirnov_p(before, after)[row] == pytest.approx(ks)


def test_wide_samples_with_ties_use_the_normal_approximation() -> None:
    generator = np.random.default_rng(6)
    before, after = generator.integers(0, 9, (2, 5, 40)).astype(float)
    got = tests.mann_whitney_p(before, after)
    expected = reference.mannwhitneyu(before, after, axis=1, method="asymptotic").pvalue
    assert got == pytest.approx(expected)
    assert tests.mann_whitney_p(np.ones((1, 40)), np.ones((1, 40)))[0] == 1


def test_trailing_windows_hold_what_came_before() -> None:
    values = np.array([3.0, 1.0, 2.0, 10.0, 4.0])
    window = Trailing.of(values, 3)
    assert window.count.tolist() == [0, 1, 2, 3, 3]
    assert window.mean()[3:].tolist() == pytest.approx([2.0, 13 / 3])
    assert window.deviation()[3] == pytest.approx(1.0)
    assert window.median()[1:].tolist() == [3.0, 2.0, 2.0, 2.0]
    assert window.quantile(0.75)[3] == pytest.approx(2.5)
    assert window.mad()[4] == 1.0


def test_relative_changes_of_zero_and_negative_values() -> None:
    change = relative(np.array([0.0, 1.0, -2.0, -1.0]), np.array([0.0, 0.0, -1.0, -2.0]))
    assert change.tolist() == [0.0, math.inf, -1.0, 0.5]


def test_peaks_are_told_once_within_reach() -> None:
    raised = np.array([1, 1, 1, 0, 1, 0, 0, 0, 1], dtype=bool)
    strength = np.array([1, 3, 1, 0, 2, 0, 0, 0, 1.0])
    assert peaks(raised, strength, np.full(9, 3.0)) == [1, 8]
    assert peaks(raised, strength, np.full(9, 2.0)) == [1, 4, 8]


def compared(shift: float, noise: float = 0.002) -> Compared:
    generator = np.random.default_rng(7)

    def side(scale: float) -> np.ndarray:
        return 1000 * scale * np.exp(noise * generator.standard_normal((24, 4)))

    return Compared("case", tuple(tuple(Block(side(1), side(1 + shift)) for _ in range(3)) for _ in range(4)))


@pytest.mark.parametrize("name", sorted(PAIR_BASELINES))
def test_sets_of_samples_are_told_apart_in_the_right_direction(name: str) -> None:
    rule = PAIR_BASELINES[name]
    assert rule(compared(0.0)) == 0
    assert rule(compared(1.5)) == 1
    assert rule(compared(-0.7)) == -1
