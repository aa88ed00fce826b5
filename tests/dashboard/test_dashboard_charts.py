"""What the figures hold: the numbers, the breaks, the symbols."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import pytest
from sample_history import DECODE, GPU, LAPTOP, NEW_DRIVER, sample_run

from dashboard import charts, frames
from dashboard.words import verdict_label
from perfsuite.model import Environment, Status, Timer, Verdict
from perfsuite.store import SeriesPoint


def point(
    day: int, median_ns: float | None, environment: Environment = GPU, **changes: object
) -> SeriesPoint:
    good = median_ns is not None
    low, high = (median_ns * 0.99, median_ns * 1.02) if median_ns is not None else (None, None)
    made = SeriesPoint(
        sample_run(f"day {day}", day, environment),
        Status.OK if good else Status.INCORRECT,
        "v1",
        Timer.GRAPH if good else Timer.NONE,
        median_ns,
        low,
        high,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def draw(points: list[SeriesPoint]) -> go.Figure:
    return charts.trend(frames.series_frame(points), "device time")


def lines(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.mode == "lines+markers"]


def boundaries(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_the_line_is_the_median_and_the_band_its_interval_in_one_unit() -> None:
    figure = draw([point(0, 1.0e6), point(1, 1.5e6)])
    (line,) = lines(figure)
    assert list(line.y) == [1.0, 1.5]
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert list(band.y) == pytest.approx([1.02, 1.53, 1.485, 0.99])
    assert "(ms)" in figure.layout.yaxis.title.text


def test_a_new_environment_breaks_the_line_and_is_marked() -> None:
    figure = draw([point(0, 1e6), point(1, 1e6), point(2, 2e6, NEW_DRIVER)])
    assert [list(line.x) for line in lines(figure)] == [[0, 1], [2]]
    assert boundaries(figure) == ["new environment"]
    first, second = lines(figure)
    assert first.marker.symbol != second.marker.symbol
    assert {first.name, second.name} == {GPU.label, NEW_DRIVER.label}


def test_environments_that_alternate_are_two_unbroken_lines() -> None:
    order = [GPU, NEW_DRIVER, GPU, NEW_DRIVER]
    figure = draw([point(day, 1e6, environment) for day, environment in enumerate(order)])
    assert [list(line.x) for line in lines(figure)] == [[0, 2], [1, 3]]
    assert boundaries(figure) == ["new environment"]


def test_another_version_of_the_benchmark_or_timer_breaks_the_line() -> None:
    points = [point(0, 1e6), point(1, 1e6, version="v2"), point(2, 1e6, version="v2", timer=Timer.EVENTS)]
    figure = draw(points)
    assert len(lines(figure)) == 3
    assert boundaries(figure) == ["benchmark changed", "timer changed"]


def test_a_red_gate_has_no_time_but_is_seen_and_breaks_nothing() -> None:
    figure = draw([point(0, 1e6), point(1, None), point(2, 1e6)])
    (line,) = lines(figure)
    assert list(line.x) == [0, 2]
    gone = next(trace for trace in figure.data if trace.name == "incorrect")
    assert list(gone.x) == [1]
    assert not boundaries(figure)


def test_only_red_gates_draw_without_a_time() -> None:
    figure = draw([point(0, None), point(1, None)])
    assert not lines(figure)


def test_subjects_of_others_are_not_markup() -> None:
    (line,) = lines(draw([point(0, 1e6)]))
    assert "&lt;b&gt;" in line.text[0]


def test_points_without_a_time_go_with_their_environment() -> None:
    wall = point(1, 3e7, LAPTOP, timer=Timer.REFERENCE)
    groups = frames.by_clock([point(0, 1e6), wall, point(2, None), point(3, None, LAPTOP)])
    assert {clock: len(points) for clock, points in groups.items()} == {
        "device time": 2,
        "wall clock of reference, CPU": 2,
    }


def cases(*rows: tuple[str, Verdict, float | None, float | None, float | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["case", "verdict", "change", "low", "high"])
    return frame.assign(threshold=0.02)


def test_the_forest_shows_each_change_with_its_interval_and_the_threshold() -> None:
    figure = charts.forest(
        cases(
            ("a", Verdict.REGRESSED, 0.05, 0.04, 0.07),
            (DECODE, Verdict.IMPROVED, -0.03, -0.035, -0.021),
            ("new", Verdict.NEW, None, None, None),
        )
    )
    band, slower, faster = figure.data
    assert (list(band.base), list(band.x)) == ([-2.0, -2.0], [4.0, 4.0])
    assert list(slower.x) == pytest.approx([5.0])
    assert slower.error_x.array[0] == pytest.approx(2.0)
    assert slower.error_x.arrayminus[0] == pytest.approx(1.0)
    assert slower.marker.symbol != faster.marker.symbol
    assert figure.layout.yaxis.categoryarray == (DECODE, "a")


def test_a_change_without_an_interval_is_a_point() -> None:
    figure = charts.forest(cases(("a", Verdict.INCONCLUSIVE, 0.03, None, None)))
    assert list(figure.data[1].error_x.array) == [0.0]


def test_a_large_comparison_draws_the_first_rows_only() -> None:
    rows = [(f"case {n}", Verdict.UNCHANGED, 0.001, 0.0, 0.002) for n in range(500)]
    figure = charts.forest(cases(*rows))
    assert len(figure.data[1].x) == charts.MOST_ROWS


def test_faster_but_less_accurate_looks_like_neither_of_its_neighbours() -> None:
    rows = [("a", Verdict.LESS_ACCURATE), ("b", Verdict.IMPROVED), ("c", Verdict.REGRESSED)]
    figure = charts.forest(cases(*((case, verdict, -0.03, -0.04, -0.02) for case, verdict in rows)))
    markers = {(trace.marker.symbol, trace.marker.color) for trace in figure.data[1:]}
    assert len(markers) == 3 and "less accurate" in {trace.name for trace in figure.data}


def test_every_verdict_has_a_sign() -> None:
    assert all(verdict_label(verdict).endswith(f" {verdict.value}") for verdict in Verdict)
