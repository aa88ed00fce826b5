"""Change points of a history: where its level moved, between which commits, and by how much.

The way: missing points and environments apart, logarithms (noise is relative), outliers drawn in
(perfsuite.stats.history_noise), segments (perfsuite.stats.segmentation), slow drift told from steps
(perfsuite.stats.segment_drift). Significance comes from perfsuite.stats.segment_test; the size and its
interval are worked out here, apart from it. Deterministic; nothing is drawn at random.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from perfsuite.stats.history_noise import Floats, Prepared, Whole, prepared
from perfsuite.stats.rules import Found, Series
from perfsuite.stats.segment_drift import drifts
from perfsuite.stats.segment_test import LEAST_POINTS, WINDOW_POINTS, evidence, threshold
from perfsuite.stats.segmentation import profile, segments

Indices = Sequence[int] | NDArray[np.intp]
"""Places in a series."""
CONFIDENCE = 0.95
"""Of the interval of the size; pointwise, for a step whose place is known."""
_QUARTILE_OF_DEVIATION = 1.1503
"""Upper quartile of |z| of a standard normal value."""
_PLACE_DROP = 1.0
"""A place counts as possible while the evidence there is at most so many deviates below the best."""


class Kind(StrEnum):
    """What a change point is. Only steps raise an alarm."""

    STEP = "step"
    DRIFT = "drift"
    """It came too slowly for one commit."""
    BOUNDARY = "boundary"
    """The environment changed there: the levels on its two sides are never held against each other."""
    SMALL = "small"
    """Beyond noise, but below `Settings.relevant`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be set.

    `sensitivity` divides the strength that a change point must reach: 0.5 is quieter, 1 the default.
    `relevant` is the smallest relative change that is a step and raises an alarm.
    """

    sensitivity: float = 1.0
    relevant: float = 0.0025
    """Half of the smallest step that anybody asks this suite to see (0.5 %)."""


DEFAULT = Settings()


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """One move of the level. Indices are those of the series, missing points counted."""

    index: int
    """First point of the new level, as far as one can tell."""
    low_index: int
    """Last point that surely is of the old level: the commit lies after it …"""
    high_index: int
    """… and at the latest at this first point that surely is of the new level."""
    change: float
    """after/before - 1; of values that are not all positive the difference over their magnitude."""
    low: float
    high: float
    """`CONFIDENCE` interval of `change`."""
    strength: float
    """Standard normal deviate of the evidence; `p_value` is its two-sided tail, for this one place."""
    before: float
    after: float
    """Medians of the levels about it (at most `WINDOW_POINTS` points), in the unit of the series."""
    kind: Kind = Kind.STEP
    margin: float = 1.0
    """How far beyond doubt: the evidence over what a step there has to reach, the correlation of neighbours
    held against it."""

    @property
    def p_value(self) -> float:
        return float(2 * ndtr(-self.strength))


def change_points(series: Series, settings: Settings = DEFAULT) -> list[ChangePoint]:
    """All change points in order: steps, drifts, what is too small, and the boundaries themselves."""
    values = np.asarray(series.values, dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(values))
    found: list[ChangePoint] = []
    for first, last in _parts(kept, series.boundaries):
        index = kept[first:last]
        found += points_of(values[index], index, settings)
    found += _boundaries(values, kept, series.boundaries, found)
    return sorted(found, key=lambda point: point.index)


def points_of(
    values: Floats,
    index: Indices,
    settings: Settings = DEFAULT,
    whole: Whole | None = None,
) -> list[ChangePoint]:
    """Change points of finite values of one environment; `index` are their places in the series.

    `whole` says what is known of the series where these values are only its newest.
    """
    if len(values) < 2 * LEAST_POINTS:
        return []
    part = prepared(values, whole)
    found = segments(part, settings.sensitivity)
    slow = drifts(part, found)
    edges = [0, *found, len(part)]
    return [_point(part, values, index, edges[i : i + 3], settings, at in slow) for i, at in enumerate(found)]


def steps(series: Series, settings: Settings) -> list[Found]:
    """The change points that are alarms: neither drifts, nor boundaries, nor too small to matter."""
    points = change_points(series, settings)
    return [Found(point.index, point.change) for point in points if point.kind is Kind.STEP]


def _parts(kept: Indices, boundaries: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of `kept` between the boundaries."""
    edges = [0, *(int(np.searchsorted(kept, b)) for b in sorted(boundaries)), len(kept)]
    yield from ((a, b) for a, b in itertools.pairwise(edges) if b > a)


def _boundaries(
    values: Floats, kept: Indices, boundaries: Sequence[int], found: Sequence[ChangePoint]
) -> list[ChangePoint]:
    """One change point for each boundary with points on both sides, whether or not the level moved.

    Its levels reach to the nearest change point on either side.
    """
    moves = [int(np.searchsorted(kept, point.index)) for point in found]
    edges = sorted({0, len(kept), *moves, *(int(np.searchsorted(kept, b)) for b in boundaries)})
    points = []
    for start, at, stop in zip(edges, edges[1:], edges[2:], strict=False):
        if at in moves:
            continue
        index = kept[start:stop]
        part = prepared(values[index])
        points.append(_sized(part, values[index], index, (0, at - start, stop - start), Kind.BOUNDARY))
    return points


def _point(
    part: Prepared, values: Floats, index: Indices, edges: Sequence[int], settings: Settings, slow: bool
) -> ChangePoint:
    point = _sized(part, values, index, edges, Kind.DRIFT if slow else Kind.STEP)
    if abs(point.change) < settings.relevant:
        return dataclasses.replace(point, kind=Kind.SMALL)
    return point


def _sized(part: Prepared, values: Floats, index: Indices, edges: Sequence[int], kind: Kind) -> ChangePoint:
    """The change point with its size: robust levels, and an interval about their difference."""
    start, at, stop = edges
    test = evidence(part, start, at, stop)
    nearest = slice(max(start, at - WINDOW_POINTS), at), slice(at, min(stop, at + WINDOW_POINTS))
    before, after = (float(np.median(part.raw[side])) for side in nearest)
    half = _half_width(part.raw[nearest[0]] - before, part.raw[nearest[1]] - after, test.inflation)
    change, low, high = (part.change(before, after + shift) for shift in (0.0, -half, half))
    earliest, latest = (at, at) if kind is Kind.BOUNDARY else _place(part, start, at, stop)
    return ChangePoint(
        index=int(index[at]),
        low_index=int(index[earliest - 1]),
        high_index=int(index[latest]),
        change=change,
        low=low,
        high=high,
        strength=test.strength,
        before=float(np.median(values[nearest[0]])),
        after=float(np.median(values[nearest[1]])),
        kind=kind,
        margin=test.cautious / float(threshold(part.total, min(at - start, stop - at))),
    )


def _half_width(before: Floats, after: Floats, inflation: float) -> float:
    """Of the interval of a difference of medians, from what both sides deviate from theirs.

    The spread comes from the upper quartile of the deviations, which neither outliers nor ties decide; a
    median's variance is π/2 times a mean's, and more where neighbours are correlated.
    """
    rest = np.concatenate((before, after))
    spread = float(np.quantile(np.abs(rest), 0.75)) / _QUARTILE_OF_DEVIATION
    variance = math.pi / 2 * inflation * spread**2 * (1 / len(before) + 1 / len(after))
    freedom = max(1, len(rest) - 2)
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)


def _place(part: Prepared, start: int, at: int, stop: int) -> tuple[int, int]:
    """The earliest and latest first point of the new level that the evidence leaves possible."""
    places, excess = profile(part, start, at, stop)
    if not len(places):
        return at, at
    possible = places[excess >= excess.max() - _PLACE_DROP]
    return min(at, int(possible[0])), max(at, int(possible[-1]))
