"""Which points of a long line are drawn."""

from __future__ import annotations

import numpy as np

from dashboard.charts.decimate import decimate


def test_a_short_line_is_drawn_whole() -> None:
    assert decimate(np.arange(7.0), 7).tolist() == list(range(7))
    assert decimate(np.zeros(0), 100).tolist() == []


def test_a_long_line_keeps_its_ends_extremes_and_what_it_is_told_to() -> None:
    values = np.random.default_rng(1).normal(100, 1, 10_000)
    values[[1234, 8765]] = 200, 20
    drawn = decimate(values, 1500, keep=[4321, 4322])
    assert len(drawn) <= 1502
    assert set(drawn.tolist()) >= {0, 9999, 1234, 8765, 4321, 4322}
    assert drawn.tolist() == sorted(set(drawn.tolist()))


def test_the_outline_is_that_of_all_points() -> None:
    values = np.random.default_rng(2).normal(100, 1, 8_000)
    drawn = decimate(values, 400)
    for first in range(0, 8_000, 80):
        inside = drawn[(drawn >= first) & (drawn < first + 80)]
        assert values[inside].max() == values[first : first + 80].max()
        assert values[inside].min() == values[first : first + 80].min()


def test_gaps_are_no_extremes() -> None:
    values = np.full(1000, np.nan)
    values[500:510] = np.arange(10.0)
    drawn = decimate(values, 40)
    assert {500, 509} <= set(drawn.tolist())


def test_places_beyond_the_line_are_not_kept() -> None:
    assert decimate(np.arange(100.0), 4, keep=[-5, 100, 4000]).max() == 99
