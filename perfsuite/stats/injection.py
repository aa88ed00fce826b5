"""Steps of known size planted into real series whose truth nobody knows, and copies without any step.

Each series gives one trial: a segment as it was recorded, *steady* copies of it, one for each size of step, a
seeded place, and all of them with one step there. The two views answer different doubts:

- A steady copy has the segment's noise and no level shift, so every alarm elsewhere is false. Its noise is
  what remains after a running median (`_LEVEL_POINTS` wide, so that a shift of more than half of that is
  taken out with the level), resampled in blocks of random length (stationary bootstrap, Politis & Romano
  1994), which keeps outliers, heavy tails, ties and the correlation of neighbours. Slow wandering is lost.
- The recorded segment has everything, real changes too, which nobody has labelled: alarms there are an upper
  bound of the false ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from perfsuite.stats.rules import Series

SIZES = (0.005, 0.01, 0.02, 0.05, 0.10)
"""Planted steps, as shares; the direction is slower."""
SEGMENT_POINTS = 100
"""Longest segment: as much history as the longest window of a baseline (conbench)."""
LEAST_SIDE_POINTS = 12
"""Points before and after a planted step: as many as the rule that needs most (perfherder)."""
_LEVEL_POINTS = 11
"""Width of the running median: one more than the two margins that a score forgives."""
_MEAN_BLOCK_POINTS = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """A segment of a series, a steady copy for each of `SIZES`, and where steps are planted into them."""

    recorded: Series
    steady: tuple[Series, ...]
    at: int


def trials(many: Iterable[Series]) -> Iterator[Trial]:
    """One trial for each series that is long enough and positive, the same in every call."""
    for series in many:
        values = np.asarray(series.values)
        kept = np.flatnonzero(np.isfinite(values))
        if len(kept) < 2 * LEAST_SIDE_POINTS + 1 or (values[kept] <= 0).any():
            continue
        generator = seeded(series.id)
        segment = _segment(_picked(series, kept), generator)
        at = int(generator.integers(LEAST_SIDE_POINTS, len(segment) - LEAST_SIDE_POINTS + 1))
        yield Trial(segment, tuple(steady(segment, generator) for _ in SIZES), at)


def planted(series: Series, at: int, size: float) -> Series:
    """A copy that is slower by `size`, a share, from index `at` on."""
    factor = 1 + size if series.lower_is_better else 1 / (1 + size)
    scale = np.where(np.arange(len(series)) < at, 1.0, factor)
    return _scaled(series, scale)


def steady(series: Series, generator: np.random.Generator) -> Series:
    """A copy of a positive series with its noise and without its level shifts: see above."""
    logs = np.log(np.asarray(series.values))
    half = _LEVEL_POINTS // 2
    level = np.median(sliding_window_view(np.pad(logs, half, mode="reflect"), _LEVEL_POINTS), axis=1)
    order = _blocks(len(series), generator)
    noise = (logs - level)[order]
    copy = _picked(series, order)
    values = np.exp(np.median(logs) + noise)
    return _scaled(copy, values / np.asarray(copy.values))


def seeded(text: str) -> np.random.Generator:
    """The random numbers that belong to a name: the same on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def _blocks(count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Indices of a stationary bootstrap: circular blocks of geometric length."""
    starts = generator.random(count) < 1 / _MEAN_BLOCK_POINTS
    starts[0] = True
    first = np.flatnonzero(starts)
    begin = generator.integers(0, count, len(first))
    block = np.cumsum(starts) - 1
    return np.asarray((begin[block] + np.arange(count) - first[block]) % count, dtype=np.intp)


def _segment(series: Series, generator: np.random.Generator) -> Series:
    start = int(generator.integers(0, max(1, len(series) - SEGMENT_POINTS + 1)))
    return series.part(start, start + SEGMENT_POINTS)


def _picked(series: Series, order: NDArray[np.intp]) -> Series:
    """The points of `order`; times and commits stay in their places, boundaries go."""

    def pick(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(np.asarray(values)[order].tolist()) if values else ()

    count = len(order)
    return dataclasses.replace(
        series,
        values=pick(series.values),
        low=pick(series.low),
        high=pick(series.high),
        times=series.times[:count],
        commits=series.commits[:count],
        boundaries=(),
    )


def _scaled(series: Series, scale: NDArray[np.float64]) -> Series:
    def scaled(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple((np.asarray(values) * scale).tolist()) if values else ()

    return dataclasses.replace(
        series, values=scaled(series.values), low=scaled(series.low), high=scaled(series.high)
    )
