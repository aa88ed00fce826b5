"""Change points of histories: found where they are, not found where there are none, whatever the noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from perfsuite.stats.alerts import SURE
from perfsuite.stats.change_points import ChangePoint, Kind, Settings, change_points
from perfsuite.stats.history_stream import HORIZON_POINTS, Stream
from perfsuite.stats.rulebook import rule_named
from perfsuite.stats.rules import Series

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Floats]


def series(values: Sequence[float] | Floats, boundaries: tuple[int, ...] = ()) -> Series:
    return Series("case", tuple(float(value) for value in values), boundaries=boundaries)


def levels(*parts: tuple[int, float]) -> Floats:
    """Logarithms: so many points at each level."""
    return np.concatenate([np.full(count, math.log(level)) for count, level in parts])


def steps(values: Sequence[float] | Floats, **settings: float) -> list[ChangePoint]:
    found = change_points(series(values), Settings(**settings))
    return [point for point in found if point.kind is Kind.STEP]


def gaussian(generator: np.random.Generator, count: int) -> Floats:
    return generator.normal(0, 0.01, count)


def heavy(generator: np.random.Generator, count: int) -> Floats:
    return 0.005 * generator.standard_t(2, count)


def growing(generator: np.random.Generator, count: int) -> Floats:
    return generator.normal(0, 1, count) * np.linspace(0.002, 0.02, count)


def correlated(generator: np.random.Generator, count: int) -> Floats:
    noise = generator.normal(0, 0.01, count)
    for i in range(1, count):
        noise[i] += 0.4 * noise[i - 1]
    return noise


def two_levels(generator: np.random.Generator, count: int) -> Floats:
    """Flips between two levels 1.5 % apart, run by run."""
    return 0.015 * generator.integers(0, 2, count) + generator.normal(0, 0.001, count)


def spikes(generator: np.random.Generator, count: int) -> Floats:
    """Calm, but one run in eight is far off."""
    return gaussian(generator, count) * 0.2 + np.where(generator.random(count) < 0.125, 0.5, 0.0)


NOISES = (gaussian, heavy, growing, correlated, two_levels, spikes)


@pytest.mark.parametrize("noise", NOISES)
def test_noise_alone_is_seldom_a_step(noise: Noise) -> None:
    generator = np.random.default_rng(1)
    found = [point for _ in range(60) for point in steps(100 * np.exp(noise(generator, 150)))]
    # 9,000 points. Noise that is correlated or has several levels costs some; what raises alerts is surer.
    assert len(found) <= (9 if noise in (gaussian, heavy, growing) else 36)
    assert sum(point.margin >= SURE for point in found) <= {correlated: 4, spikes: 9}.get(noise, 0)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("size", [0.06, -0.06])
def test_a_step_is_found_where_it_is(noise: Noise, size: float) -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(20):
        values = 100 * np.exp(levels((60, 1.0), (60, 1 + size)) + noise(generator, 120))
        hits += any(abs(p.index - 60) <= 5 and p.change * size > 0 for p in steps(values))
    assert hits >= 18


def test_a_step_says_between_which_points_and_how_large() -> None:
    generator = np.random.default_rng(3)
    covered = placed = 0
    for _ in range(60):
        values = 200 * np.exp(levels((40, 1.0), (40, 1.05)) + gaussian(generator, 80))
        found = steps(values)
        (point,) = (p for p in found if abs(p.index - 40) <= 5)
        assert point.margin == max(p.margin for p in found)
        assert point.low_index < point.index <= point.high_index
        assert point.low <= point.change <= point.high
        assert point.before == pytest.approx(200, rel=0.02) and point.after == pytest.approx(210, rel=0.02)
        covered += point.low <= 0.05 <= point.high
        placed += point.low_index < 40 <= point.high_index
    assert covered >= 51 and placed >= 54


def test_a_calm_series_names_the_commit() -> None:
    (point,) = steps([100.0] * 20 + [101.0] * 20)
    assert (point.low_index, point.index, point.high_index) == (19, 20, 20)
    assert point.change == pytest.approx(0.01)
    assert point.p_value < 1e-6


def test_several_steps_are_told_apart() -> None:
    generator = np.random.default_rng(4)
    logs = levels((50, 1.0), (40, 1.1), (10, 1.0), (60, 0.9)) + 0.5 * gaussian(generator, 160)
    assert [point.index for point in steps(np.exp(logs))] == [50, 90, 100]


@pytest.mark.parametrize("burst", [1, 2, 3])
@pytest.mark.parametrize("factor", [0.3, 1.5, 50.0])
def test_outliers_are_no_steps(burst: int, factor: float) -> None:
    generator = np.random.default_rng(5)
    values = 100 * np.exp(gaussian(generator, 100))
    values[30 : 30 + burst] *= factor
    values[70 : 70 + burst] *= factor
    assert all(abs(point.change) < 0.02 and point.margin < SURE for point in steps(values))


@pytest.mark.parametrize("count", [1, 2])
def test_the_newest_points_alone_prove_nothing(count: int) -> None:
    assert steps([100.0] * 40 + [110.0] * count) == []


def test_three_points_of_a_large_step_do() -> None:
    generator = np.random.default_rng(6)
    values = 100 * np.exp(levels((60, 1.0), (3, 1.3)) + gaussian(generator, 63))
    assert [point.index for point in steps(values)] == [60]


def test_slow_drift_is_no_step() -> None:
    generator = np.random.default_rng(7)
    logs = np.concatenate((np.zeros(60), np.linspace(0, 0.045, 60), np.full(80, 0.045)))
    slow = quick = 0
    for _ in range(10):
        found = change_points(series(np.exp(logs + 0.5 * gaussian(generator, 200))))
        assert not any(point.kind is Kind.STEP and point.margin >= SURE for point in found)
        slow += sum(point.kind is Kind.DRIFT for point in found)
        quick += sum(point.kind is Kind.STEP for point in found)
    assert slow > 5 * quick


def test_a_step_within_a_drift_is_one() -> None:
    generator = np.random.default_rng(8)
    logs = np.linspace(0, 0.01, 120) + levels((60, 1.0), (60, 1.08))
    assert [point.index for point in steps(np.exp(logs + 0.3 * gaussian(generator, 120)))] == [60]


def test_constant_series_have_none() -> None:
    for value in (0.0, 1.0, -3.0, 1e-300, 1e300):
        assert change_points(series([value] * 50)) == []


def test_coarse_values_need_more_than_one_flicker() -> None:
    generator = np.random.default_rng(9)
    flicker = np.round(24 + generator.normal(0, 0.3, 200))
    assert steps(flicker) == []
    assert [point.index for point in steps([24.0] * 60 + [26.0] * 40)] == [60]


def test_a_change_below_the_relevant_is_told_but_no_step() -> None:
    (point,) = change_points(series([1000.0] * 30 + [1001.0] * 30))
    assert point.kind is Kind.SMALL and point.change == pytest.approx(0.001)
    assert rule_named("perfsuite")(series([1000.0] * 30 + [1001.0] * 30)) == []
    assert [p.kind for p in change_points(series([1000.0] * 30 + [1001.0] * 30), Settings(relevant=0))] == [
        Kind.STEP
    ]


def test_a_boundary_is_no_regression() -> None:
    generator = np.random.default_rng(10)
    logs = levels((40, 1.0), (40, 1.2), (40, 1.3))
    given = series(100 * np.exp(logs + gaussian(generator, 120)), boundaries=(40,))
    found = change_points(given)
    assert [(point.index, point.kind) for point in found] == [(40, Kind.BOUNDARY), (80, Kind.STEP)]
    assert found[0].change == pytest.approx(0.2, abs=0.02)
    assert (found[0].low_index, found[0].high_index) == (39, 40)
    assert [alarm.index for alarm in rule_named("perfsuite")(given)] == [80]


@pytest.mark.parametrize("boundaries", [(0,), (20,), (5, 5), (19, 1), tuple(range(20))])
def test_odd_boundaries_are_borne(boundaries: tuple[int, ...]) -> None:
    found = change_points(series([1.0, 2.0] * 10, boundaries=boundaries))
    assert all(point.kind is Kind.BOUNDARY for point in found)


def test_missing_points_are_passed_over() -> None:
    generator = np.random.default_rng(11)
    values = 100 * np.exp(levels((40, 1.0), (40, 1.1)) + gaussian(generator, 80))
    (whole,) = steps(values)
    holed = np.full(160, np.nan)
    holed[::2] = values
    holed[1] = math.inf
    (point,) = steps(holed)
    assert (point.index, point.high_index) == (2 * whole.index, 2 * whole.high_index)
    assert point.change == whole.change


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, 2.0], [1.0] * 5, [math.nan] * 20, [math.inf, 1.0, math.nan]]
)
def test_too_few_points_have_no_change_point(values: list[float]) -> None:
    assert change_points(series(values)) == []
    assert rule_named("perfsuite")(series(values)) == []


def test_values_that_are_not_positive_are_judged_as_they_are() -> None:
    generator = np.random.default_rng(12)
    values = np.concatenate((generator.normal(-1, 0.2, 50), generator.normal(1, 0.2, 50)))
    (point,) = steps(values)
    assert abs(point.index - 50) <= 1 and point.change > 0
    assert math.isfinite(point.low) and math.isfinite(point.high)


def test_a_level_near_zero_makes_no_large_changes() -> None:
    values = [-60.0 + i % 3 for i in range(30)] + [-0.005] * 30 + [-0.006] * 30
    assert [point.index for point in steps(values)] == [30]


@pytest.mark.parametrize("noise", NOISES)
def test_scale_does_not_matter_and_direction_mirrors(noise: Noise) -> None:
    generator = np.random.default_rng(13)
    logs = levels((30, 1.0), (40, 1.1), (30, 1.04)) + noise(generator, 100)
    found = steps(np.exp(logs), relevant=0)
    scaled, mirrored = steps(1e6 * np.exp(logs), relevant=0), steps(np.exp(-logs), relevant=0)
    assert [p.index for p in scaled] == [p.index for p in found]
    assert [p.change for p in scaled] == pytest.approx([p.change for p in found])
    # A drift is told from a step by its share, which is not quite the same upwards and downwards.
    assert {p.index for p in mirrored} & {p.index for p in found} or not found
    by_index = {p.index: p for p in mirrored}
    for point in found:
        if point.index in by_index:
            assert 1 / (1 + point.change) == pytest.approx(1 + by_index[point.index].change)


def test_the_same_series_gives_the_same_answer() -> None:
    values = 100 * np.exp(heavy(np.random.default_rng(14), 300))
    assert change_points(series(values)) == change_points(series(values.copy()))


def test_less_sensitive_rules_raise_less() -> None:
    generator = np.random.default_rng(15)
    many = [series(100 * np.exp(two_levels(generator, 60) + levels((30, 1), (30, 1.02)))) for _ in range(40)]
    counts = [sum(len(rule_named(f"perfsuite@{s}")(one)) for one in many) for s in (1.2, 1.0, 0.7, 0.5)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_alarms_say_when_they_could_first_be_raised() -> None:
    generator = np.random.default_rng(16)
    values = 100 * np.exp(levels((60, 1.0), (60, 1.2)) + gaussian(generator, 120))
    (alarm,) = rule_named("perfsuite")(series(values))
    assert alarm.index == 60 and alarm.change == pytest.approx(0.2, abs=0.02)
    assert 62 <= alarm.seen <= 66
    told = steps(values[: alarm.seen + 1])
    assert any(abs(point.index - 60) <= 5 for point in told)
    assert not any(abs(point.index - 60) <= 5 for point in steps(values[: alarm.seen]))


def test_improvements_of_metrics_where_more_is_better_are_steps_too() -> None:
    given = Series("throughput", (100.0,) * 30 + (90.0,) * 30, lower_is_better=False)
    (alarm,) = rule_named("perfsuite")(given)
    assert alarm.change == pytest.approx(-0.1)


@pytest.mark.parametrize("noise", NOISES)
def test_point_by_point_is_the_same_as_at_once(noise: Noise) -> None:
    generator = np.random.default_rng(17)
    count = 3 * HORIZON_POINTS
    sizes = np.cumsum(np.where(generator.random(count) < 1 / 120, generator.choice([-0.1, 0.1], count), 0))
    values = 100 * np.exp(sizes + 0.5 * noise(generator, count))
    stream = Stream.of(values[: -HORIZON_POINTS // 2])
    for value in values[-HORIZON_POINTS // 2 :]:
        stream.add(float(value))
    newest = count - HORIZON_POINTS
    at_once = [p.index for p in change_points(series(values)) if p.index >= newest]
    assert [p.index for p in stream.change_points if p.index >= newest] == at_once


def test_a_stream_tells_a_new_step_once() -> None:
    generator = np.random.default_rng(18)
    values = 100 * np.exp(levels((100, 1.0), (60, 1.2)) + gaussian(generator, 160))
    stream, told, sure = Stream(), [], []
    for at, value in enumerate(values):
        told += [point.index for point in stream.add(value)]
        sure += [(point.index, at) for point in stream.change_points if point.margin >= SURE]
    assert told.count(100) == 1
    assert {index for index, _ in sure} == {100} and sure[0][1] <= 106
    assert stream.add(math.nan) == []
    assert [point.index for point in stream.change_points] == [100]


def test_a_stream_settles_what_lies_behind_its_horizon() -> None:
    stream = Stream()
    for value in [1.0] * 30 + [2.0] * (2 * HORIZON_POINTS) + [-1.0] * 30:
        stream.add(value)
    assert [point.index for point in stream.change_points] == [30, 30 + 2 * HORIZON_POINTS]
