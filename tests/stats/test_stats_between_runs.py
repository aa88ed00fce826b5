"""Noise between runs: what history and controls explain, and that few values explain much."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perfsuite.stats.between_runs import (
    ERROR,
    LEAST_CHANGES,
    LEAST_CONTROLS,
    SMALLEST_SCALE,
    Moments,
    reach,
    steps_between,
)

CALM = (100.0, 101.0, 100.5, 99.5, 100.0, 100.2, 100.8)


def controls(number: int, ratio: float = 1.0, scatter: float = 0.002) -> dict[str, Moments]:
    rng = np.random.default_rng(7)
    return {
        f"control{index}": Moments(
            100.0,
            100.0 * ratio * math.exp(scatter * rng.standard_normal()),
            tuple(100.0 * np.exp(scatter * rng.standard_normal(12))),
        )
        for index in range(number)
    }


def test_without_history_and_controls_nothing_is_known() -> None:
    step = steps_between({"a": Moments(100.0, 300.0)}, set()).cases["a"]
    assert step.change == pytest.approx(math.log(3))
    assert step.limit is None and not step.beyond


def test_a_history_alone_explains_more_the_shorter_it_is() -> None:
    long = tuple(100.0 + (index % 2) for index in range(40))
    limits = [
        steps_between({"a": Moments(100.0, 100.0, long[-length:])}, set()).cases["a"].limit
        for length in (LEAST_CHANGES, 10, 20, 40)
    ]
    known = [limit for limit in limits if limit is not None]
    assert len(known) == 4
    assert known == sorted(known, reverse=True)
    assert steps_between({"a": Moments(100.0, 100.0, long[-4:])}, set()).cases["a"].limit is None


def test_reach_is_the_probability_it_says_for_a_power_law() -> None:
    # P(next > reach * largest of m), both Pareto of index 2: averaged exactly, since P(x > c y) = (c y)^-2.
    rng = np.random.default_rng(3)
    for values, rank in ((13, 1), (50, 1), (400, 4)):
        seen = np.sort(1 / np.sqrt(rng.random((20_000, values))), axis=1)[:, -rank]
        assert np.mean((reach(values, rank) * seen) ** -2.0) == pytest.approx(ERROR, rel=0.1)
    assert reach(100_000) == 1.0


def test_a_step_beyond_everything_is_seen_and_a_usual_one_is_not() -> None:
    cases = {"a": Moments(100.0, 112.0, CALM), "b": Moments(100.0, 101.2, CALM), **controls(100)}
    steps = steps_between(cases, set(controls(100)))
    assert steps.cases["a"].beyond and steps.cases["a"].controls == 100
    assert not steps.cases["b"].beyond
    assert not any(steps.cases[name].beyond for name in controls(100))


def test_controls_that_were_thrown_about_hide_a_step() -> None:
    wild = {
        name: Moments(m.base, m.head * (1.3 if index % 2 else 0.8), m.history)
        for index, (name, m) in enumerate(controls(20).items())
    }
    step = steps_between({"a": Moments(100.0, 112.0, CALM), **wild}, set(wild)).cases["a"]
    assert not step.beyond


def test_a_common_shift_is_the_machines() -> None:
    shifted = controls(20, ratio=1.08)
    steps = steps_between({"a": Moments(100.0, 108.0, CALM), **shifted}, set(shifted))
    assert math.expm1(steps.shift) == pytest.approx(0.08, abs=0.003)
    assert abs(steps.cases["a"].change) < 0.003
    few = dict(list(shifted.items())[: LEAST_CONTROLS - 1])
    assert steps_between({"a": Moments(100.0, 108.0, CALM), **few}, set(few)).shift == 0.0


def test_an_outlier_at_base_is_not_blamed_on_head() -> None:
    cases = {"a": Moments(80.0, 100.0, CALM), **controls(100)}
    step = steps_between(cases, set(controls(100))).cases["a"]
    assert step.change == pytest.approx(math.log(1.25), abs=1e-3)
    assert abs(step.surprise) < 0.003 and not step.beyond


def test_a_case_must_move_more_than_it_ever_did() -> None:
    jumpy = (100.0, 130.0, *(100.0 + 0.1 * (i % 2) for i in range(20)))
    step = steps_between({"a": Moments(100.0, 125.0, jumpy), **controls(200)}, set(controls(200))).cases["a"]
    assert step.limit is not None and step.limit == pytest.approx(math.log(1.3))


def test_a_metric_that_never_moves_is_judged_by_itself() -> None:
    constant = {f"memory{index}": Moments(64.0, 64.0, (64.0,) * 30) for index in range(50)}
    cases = {"a": Moments(100.0, 103.0, CALM), "memory": Moments(64.0, 66.0, (64.0,) * 30), **constant}
    steps = steps_between(cases, set(constant))
    assert steps.cases["memory"].beyond
    # Nor do constant controls make a noisy case look calm.
    assert steps.cases["a"].controls == 0


def test_controls_alone_judge_a_case_without_history() -> None:
    cases = {"a": Moments(100.0, 150.0), "b": Moments(100.0, 100.4), **controls(30)}
    steps = steps_between(cases, set(controls(30)))
    assert steps.cases["a"].beyond and not steps.cases["b"].beyond


def test_missing_and_broken_values_of_a_history_are_left_out() -> None:
    broken = (math.nan, 0.0, -5.0, math.inf, *CALM)
    clean = steps_between({"a": Moments(100.0, 104.0, CALM)}, set())
    assert steps_between({"a": Moments(100.0, 104.0, broken)}, set()) == clean


def test_units_do_not_matter_and_the_direction_mirrors() -> None:
    cases = {"a": Moments(100.0, 112.0, CALM), **controls(30)}
    scaled = {
        name: Moments(m.base * 7, m.head * 7, tuple(7 * v for v in m.history)) for name, m in cases.items()
    }
    one, other = (steps_between(each, set(controls(30))).cases["a"] for each in (cases, scaled))
    assert other.change == pytest.approx(one.change) and other.limit == pytest.approx(one.limit)
    inverted = {
        name: Moments(1 / m.base, 1 / m.head, tuple(1 / v for v in m.history)) for name, m in cases.items()
    }
    mirror = steps_between(inverted, set(controls(30))).cases["a"]
    assert mirror.surprise == pytest.approx(-one.surprise) and mirror.limit == pytest.approx(one.limit)


def test_unchanged_code_with_heavy_tails_is_seldom_called() -> None:
    rng = np.random.default_rng(11)
    called = total = 0
    for _ in range(20):
        scales = 0.002 + 0.01 * rng.random(300)
        logs = scales[:, None] * rng.standard_t(2.5, (300, 16))
        cases = {
            str(index): Moments(*(float(v) for v in np.exp(row[-2:])), tuple(np.exp(row[:-2])))
            for index, row in enumerate(logs)
        }
        steps = steps_between(cases, {str(index) for index in range(0, 300, 2)})
        called += sum(step.beyond for step in steps.cases.values())
        total += len(cases)
    assert called <= 2 * ERROR * total


def test_no_case_is_taken_as_calmer_than_machines_are() -> None:
    still = (100.0,) * 9
    step = steps_between({"a": Moments(100.0, 100.0 * math.exp(SMALLEST_SCALE), still)}, set()).cases["a"]
    assert not step.beyond
