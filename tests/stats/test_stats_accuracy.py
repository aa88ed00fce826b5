"""Accuracy is judged with its own noise: parts of the outputs, exact intervals, defined ends."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stats_example import result

from perfsuite.model import Result
from perfsuite.stats.accuracy import (
    FACTOR,
    MARGIN,
    NEGLIGIBLE,
    accuracy_change,
    accuracy_sentence,
    less_accurate,
)

PARTS = 16
properties = settings(max_examples=150, deadline=None, derandomize=True)
errors = st.one_of(st.just(0.0), st.floats(1e-9, 1.0))
parts = st.lists(errors, min_size=PARTS, max_size=PARTS).map(tuple)


def of(error_parts: tuple[float, ...], tolerance: float | None = 0.02) -> Result:
    total = math.sqrt(sum(part * part for part in error_parts) / len(error_parts))
    return result(error_rms=total, error_parts=error_parts, tolerance=tolerance)


def spread(scale: float, seed: int = 0, noise: float = 0.02) -> tuple[float, ...]:
    draw = random.Random(seed)
    return tuple(scale * math.exp(draw.gauss(0, noise)) for _ in range(PARTS))


def test_parts_that_all_grew_are_an_alarm_far_below_the_factor() -> None:
    base, head = of(spread(0.005, 1)), of(spread(0.006, 2))
    assert head.error_rms is not None and base.error_rms is not None
    assert head.error_rms < FACTOR * base.error_rms
    assert less_accurate(base, head)
    change = accuracy_change(base, head)
    assert change is not None and change.low is not None and change.high is not None
    assert change.low < 1.2 < change.high and change.ratio == pytest.approx(1.2, rel=0.03)
    assert accuracy_sentence(base, head) == (
        "less accurate: error (RMS) 0.00499 → 0.00595 (×1.20 [1.16 … 1.23] over 16 parts), tolerance 0.02"
    )


def test_scatter_and_small_shifts_are_none() -> None:
    base = of(spread(0.005, 1, noise=0.3))
    assert accuracy_sentence(base, of(spread(0.005, 2, noise=0.3))) is None
    sharp = of(spread(0.005, 1, noise=0.001))
    shifted = of(spread(0.005 * (1 + MARGIN * 0.8), 2, noise=0.001))
    change = accuracy_change(sharp, shifted)
    assert change is not None and change.low is not None and change.low > 1
    assert not change.worse, "beyond noise, but not by a relevant amount"


def test_one_part_alone_may_be_the_wrong_one() -> None:
    base = spread(0.005, 1, noise=0.0)
    assert less_accurate(of(base), of((*base[:-1], 0.05)))


def test_errors_far_below_the_tolerance_are_none() -> None:
    serial, pairwise = of(spread(8e-7, 1)), of(spread(5e-8, 2))
    assert not less_accurate(pairwise, serial)
    assert not any(accuracy_sentence(*pair) for pair in ((pairwise, serial), (serial, pairwise)))
    assert less_accurate(pairwise, of(spread(NEGLIGIBLE * 0.02 * 1.1, 3))), "32-bit sums turned into less"
    assert less_accurate(replace(pairwise, tolerance=1e-6), replace(serial, tolerance=1e-6))


def test_without_parts_the_factor_decides() -> None:
    base = result(error_rms=0.004)
    assert less_accurate(base, result(error_rms=0.004 * FACTOR * 1.01))
    assert not less_accurate(base, result(error_rms=0.004 * FACTOR * 0.99))
    short = replace(base, error_parts=(0.004,) * 5)
    assert accuracy_change(short, replace(short, error_parts=(0.005,) * 5)) == accuracy_change(base, base)
    assert accuracy_change(replace(base, error_parts=spread(0.004)), base) == accuracy_change(base, base)


def test_exact_results() -> None:
    exact, other = of((0.0,) * PARTS), of(spread(0.004))
    same = accuracy_change(exact, exact)
    assert same is not None and (same.ratio, same.low, same.high) == (1.0, 1.0, 1.0)
    assert not (same.worse or same.better)
    assert less_accurate(exact, other) and not less_accurate(other, exact)
    gained = accuracy_change(other, exact)
    assert gained is not None and gained.better


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_what_is_no_error_is_defined(bad: float) -> None:
    base = of(spread(0.004))
    assert accuracy_change(base, replace(base, error_rms=bad)) is None
    assert accuracy_change(replace(base, error_rms=None), base) is None
    assert not less_accurate(base, replace(base, error_rms=bad))
    broken = accuracy_change(base, replace(base, error_parts=(*base.error_parts[1:], bad)))
    assert broken is not None and (broken.parts, broken.low, broken.ratio) == (0, None, 1.0)


@properties
@given(parts)
def test_equal_arithmetic_never_alarms(same: tuple[float, ...]) -> None:
    change = accuracy_change(of(same), of(same))
    assert change is not None and change.ratio == 1 and not (change.worse or change.better)


@properties
@given(parts, parts)
def test_swapping_the_sides_mirrors_the_change(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    there, back = accuracy_change(of(first), of(second)), accuracy_change(of(second), of(first))
    assert there is not None and back is not None
    assert (there.worse, there.better) == (back.better, back.worse)
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.low is not None and back.high is not None
    assert there.low * back.high == pytest.approx(1)


@properties
@given(parts, parts, st.floats(1e-3, 1e3))
def test_scale_changes_nothing_without_a_tolerance(
    first: tuple[float, ...], second: tuple[float, ...], scale: float
) -> None:
    one = accuracy_change(of(first, None), of(second, None))
    other = accuracy_change(*(of(tuple(p * scale for p in side), None) for side in (first, second)))
    assert one is not None and other is not None
    assert one.ratio == pytest.approx(other.ratio) and one.parts == other.parts


@properties
@given(parts, parts, st.floats(1.0, 10.0))
def test_more_error_never_ends_an_alarm(
    first: tuple[float, ...], second: tuple[float, ...], factor: float
) -> None:
    if less_accurate(of(first), of(second)):
        assert less_accurate(of(first), of(tuple(part * factor for part in second)))
