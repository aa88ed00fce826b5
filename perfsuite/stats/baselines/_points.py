"""What the baselines share: points without gaps, windows behind and beside each of them, alarms from masks.

A rule that knows regressions only is applied to both directions here, so that all answer the same question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from perfsuite.stats.rules import Alarm, Found, Series

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a series that are there: their values and their indices in the series."""

    values: Floats
    index: NDArray[np.intp]

    @classmethod
    def of(cls, series: Series) -> Points:
        values = np.asarray(series.values, dtype=np.float64)
        index = np.flatnonzero(np.isfinite(values))
        return cls(values[index], index)

    def alarms(self, raised: Bools, change: Floats, delay: int = 0) -> list[Alarm]:
        """An alarm for each point of the mask; `delay` points more were needed to raise it."""
        last = len(self.index) - 1
        return [
            Alarm(int(self.index[i]), int(self.index[min(last, int(i) + delay)]), float(change[i]))
            for i in np.flatnonzero(raised)
        ]

    def found(self, places: Sequence[int], change: Floats) -> list[Found]:
        return [Found(int(self.index[i]), float(change[i])) for i in places]


def relative(new: Floats, old: Floats) -> Floats:
    """new/old - 1, on the size of `old` where that is negative; infinite where it is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change = (new - old) / np.abs(old)
    return np.asarray(np.where(new == old, 0.0, change), dtype=np.float64)


def beyond(change: Floats, limit: float) -> Bools:
    """Slower than 1 + limit times the old value, or faster by the same factor."""
    return np.asarray((change > limit) | (change < -limit / (1 + limit)), dtype=np.bool_)


def previous(values: Floats) -> Floats:
    """For each point the one before; NaN for the first."""
    return np.concatenate(([np.nan], values[:-1]))


@dataclass(frozen=True, slots=True)
class Trailing:
    """For each point the values before it, at most `width`: a row each, NaN where there are none."""

    rows: Floats
    count: NDArray[np.intp]

    @classmethod
    def of(cls, values: Floats, width: int) -> Trailing:
        padded = np.concatenate((np.full(width, np.nan), values))
        rows = sliding_window_view(padded, width)[: len(values)]
        return cls(rows, np.sum(~np.isnan(rows), axis=1))

    def mean(self) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.nansum(self.rows, axis=1) / self.count, dtype=np.float64)

    def deviation(self) -> Floats:
        """Sample standard deviation; NaN of fewer than two."""
        squares = np.nansum((self.rows - self.mean()[:, None]) ** 2, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.sqrt(np.where(self.count > 1, squares / (self.count - 1), np.nan)))

    def quantile(self, share: float) -> Floats:
        """Linearly interpolated; NaN of none."""
        return _quantile(np.sort(self.rows, axis=1), self.count, share)

    def median(self) -> Floats:
        return self.quantile(0.5)

    def mad(self) -> Floats:
        """Median absolute deviation from the median."""
        apart = np.sort(np.abs(self.rows - self.median()[:, None]), axis=1)
        return _quantile(apart, self.count, 0.5)


def _quantile(ordered: Floats, count: NDArray[np.intp], share: float) -> Floats:
    place = np.maximum(count - 1, 0) * share
    low = np.floor(place).astype(np.intp)
    rows = np.arange(len(ordered))
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    below, above = ordered[rows, low], ordered[rows, high]
    return np.asarray(below + (place - low) * (above - below), dtype=np.float64)


def beside(values: Floats, width: int) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Windows of `width` points before and from each point that has both; and the places of these points."""
    if len(values) < 2 * width:
        empty = np.empty((0, width))
        return empty, empty, np.empty(0, dtype=np.intp)
    windows = sliding_window_view(values, width)
    places = np.arange(width, len(values) - width + 1)
    return windows[places - width], windows[places], places


def peaks(raised: Bools, strength: Floats, reach: Floats) -> list[int]:
    """Of each run of raised neighbours the strongest, the middle of equals, unless a stronger one is near.

    Windows beside a step see it from as far away as they reach: this is where it is, once.
    """
    found = []
    edges = np.flatnonzero(np.diff(np.concatenate(([False], raised, [False])).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        best = np.flatnonzero(strength[start:stop] == strength[start:stop].max())
        found.append(int(start + best[(len(best) - 1) // 2]))
    kept: list[int] = []
    for place in sorted(found, key=lambda i: (-strength[i], i)):
        if all(abs(place - other) > reach[place] for other in kept):
            kept.append(place)
    return sorted(kept)
