"""What times are shown as, and the lines that they come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sample_history import DECODE, GPU, NEW_DRIVER, result
from trend_example import CASE, axis, info, lines, place, point

from dashboard.derive.trend_lines import NO_CLOCK, OFF_MAIN, make_axis, make_lines
from dashboard.derive.trend_units import UNITS, Facts, Unit, scales, shown_change
from perfsuite.model import Status, Timer
from perfsuite.stats.change_points import Kind


def converted(
    unit: str, times_ns: list[float | None], facts: Facts, **options: int
) -> tuple[list[float], str]:
    (line,) = lines(times_ns)
    found, name, _ = scales([line], UNITS[unit], {(CASE, "v1"): facts}, 0, len(times_ns) - 1, **options)
    return found[0].at(line.median_ns, slice(None)).tolist(), name


@pytest.mark.parametrize(
    ("unit", "facts", "values", "name"),
    [
        ("time", Facts(), [50.0, 100.0], "µs"),
        ("tokens", Facts(tokens=8), [160_000.0, 80_000.0], "tok/s"),
        ("bandwidth", Facts(bytes=100_000_000), [2.0, 1.0], "TB/s"),
        ("operations", Facts(operations=5_000_000_000), [100.0, 50.0], "TFLOP/s"),
        ("operations", Facts(operations=5_000_000_000, integer=True), [100.0, 50.0], "TOP/s"),
        ("roofline", Facts(), [0.5, 0.5], "fraction of the roofline"),
    ],
)
def test_each_unit_says_what_a_time_is_worth(unit: str, facts: Facts, values: list[float], name: str) -> None:
    found, said = converted(unit, [50e3, 100e3], facts)
    assert found == pytest.approx(values)
    assert said == name


def test_relative_values_start_from_the_first_visible_runs_or_the_pinned_commit() -> None:
    times: list[float | None] = [100.0, 102.0, 98.0, 100.0, 100.0, 110.0]
    assert converted("relative", times, Facts())[0][-1] == pytest.approx(10.0)
    assert converted("relative", times, Facts(), pinned=5)[0][0] == pytest.approx(-100 / 11)


def test_a_pinned_commit_is_no_reference_across_a_boundary() -> None:
    along = make_axis([(GPU, [place(0), place(1)]), (NEW_DRIVER, [place(2), place(3)])])
    infos = [info(1), info(2, fingerprint=NEW_DRIVER.fingerprint)]
    points = [point(0, 100.0), point(1, 110.0), point(2, 50.0, series=2), point(3, 55.0, series=2)]
    (line,) = make_lines(CASE, along, infos, points)
    (scale,), _, _ = scales([line], UNITS["relative"], {}, 0, 3, pinned=0)
    assert scale.at(line.median_ns, slice(None))[:2].tolist() == pytest.approx([0.0, 10.0])
    assert scale.at(line.median_ns, slice(None))[2:].tolist() == pytest.approx([-100 / 21, 100 / 21])


def test_a_case_without_tokens_says_so() -> None:
    (line,) = lines([1e3, 1e3])
    found, _, missing = scales([line], UNITS["tokens"], {}, 0, 1)
    assert np.isnan(found[0].factor).all()
    assert missing == [f"{CASE} has no axis `m` or `tokens` that would say how many tokens it works on."]


@pytest.mark.parametrize("unit", UNITS.values(), ids=lambda unit: unit.key)
def test_more_time_is_less_work(unit: Unit) -> None:
    assert shown_change(0.25, bigger=unit.bigger) == pytest.approx(-0.2 if unit.bigger else 0.25)


def test_what_a_call_works_on_is_read_from_a_result() -> None:
    measured = replace(result(DECODE, 48e3, 1), bytes=7, operations=9, extra={"precision": "int8"})
    assert Facts.of(measured) == Facts(8, 7, 9, True)
    assert Facts.of(replace(measured, params={"m": "8", "n": 4})).tokens is None
    assert Facts.of(None) == Facts()


def test_a_step_is_found_with_its_levels_and_commits() -> None:
    noise = np.random.default_rng(1).normal(0, 1e-3, 40)
    (line,) = lines([(100e3 if n < 20 else 104e3) * (1 + e) for n, e in enumerate(noise.tolist())])
    (change,) = line.changes
    assert change.kind is Kind.STEP and change.index == 20
    assert [(level.first, level.last) for level in line.levels] == [(0, 19), (20, 39)]
    assert line.levels[1].median_ns == pytest.approx(104e3, rel=1e-3)


def test_a_red_gate_is_a_mark_at_the_level_before_it() -> None:
    (line,) = lines([100.0, 110.0, None, 120.0])
    assert line.x.tolist() == [0, 1, 3]
    (mark,) = line.marks
    assert (mark.x, mark.kind, mark.level_ns) == (2, "incorrect", 110.0)


def test_only_red_gates_are_a_line_without_points() -> None:
    (line,) = make_lines(CASE, axis(1), [info(timer=Timer.NONE)], [point(0, None, status=Status.FAILED)])
    assert line.clock == NO_CLOCK and len(line.x) == 0 and len(line.marks) == 1


def test_device_time_and_wall_clock_are_two_lines() -> None:
    infos = [info(1), info(2, timer=Timer.WALL), info(3, timer=Timer.NONE)]
    points = [point(0, 1e3), point(1, 9e3, series=2), point(2, 1e3), point(2, None, series=3)]
    assert [line.clock for line in make_lines(CASE, axis(3), infos, points)] == ["device time", "wall-clock"]


def test_another_environment_and_another_benchmark_are_boundaries() -> None:
    along = make_axis([(NEW_DRIVER, [place(3), place(4)]), (GPU, [place(0), place(1), place(2)])])
    assert [(b.at, b.text) for b in along.boundaries] == [(3, "driver 580.10 → 590.20")]
    infos = [info(1), info(2, version="v2"), info(3, version="v2", fingerprint=NEW_DRIVER.fingerprint)]
    points = [point(n, 1e3, series=1 + (n > 0) + (n > 2)) for n in range(5)]
    (line,) = make_lines(CASE, along, infos, points)
    assert [(part.start, part.stop) for part in line.parts] == [(0, 1), (1, 3), (3, 5)]
    assert [(b.at, b.text) for b in line.boundaries] == [(1, "benchmark changed")]


def test_working_trees_and_other_branches_are_beside_the_line() -> None:
    clean = [place(n) for n in range(4)]
    tree = replace(clean[1], commit=replace(clean[1].commit, dirty="abc"))
    branch = replace(clean[2], commit=replace(clean[2].commit, branch="feature"))
    stranger = replace(place(5), trusted=False)
    along = make_axis([(GPU, [clean[0], tree, branch, clean[3], stranger])])
    assert len(along) == 4
    (line,) = make_lines(CASE, along, [info()], [point(n, 1e3 + n) for n in range(6)])
    assert line.x.tolist() == [0, 3]
    assert [(mark.x, mark.kind, mark.level_ns) for mark in line.marks] == [
        (1, OFF_MAIN, 1001.0),
        (2, OFF_MAIN, 1002.0),
    ]


def test_where_only_working_trees_were_measured_they_are_the_history() -> None:
    trees = [replace(place(n), commit=replace(place(n).commit, dirty="abc")) for n in range(3)]
    (line,) = make_lines(CASE, make_axis([(GPU, trees)]), [info()], [point(n, 1e3) for n in range(3)])
    assert line.x.tolist() == [0, 1, 2] and not line.marks


def test_a_place_is_found_by_commit_or_run() -> None:
    again = replace(place(1), run_id="again", commit=place(0).commit)
    along = make_axis([(GPU, [place(0), again])])
    sha = along.places[0].commit.sha
    assert (along.find(sha), along.find(sha, newest=False), along.find("again")) == (1, 0, 1)
    assert along.find("") is None and along.find("gone") is None
