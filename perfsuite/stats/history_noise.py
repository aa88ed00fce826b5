"""The noise of a history: what a point may wander without its level having moved.

Everything here is local: a value depends on its neighbours within `NOISE_POINTS`, so that noise may grow or
shrink along a series, and a new point changes nothing far behind it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOISE_POINTS = 51
"""Width of the window in which the noise is estimated: about a quarter of a year of working days."""
LEVEL_POINTS = 7
"""Width of the running median that outliers are held against: up to three in a row are outliers."""
END_POINTS = 5
"""The same at both ends of a series, where waiting for more would only delay a real step."""
CLIP_SPREADS = 1.25
"""Values count at most so many spreads from the running median: Huber's winsorizing, between his constants
for 5 % (1.40) and 10 % (1.14) of contamination (Huber, Ann. Math. Stat. 35, 1964)."""
_QUARTILE_OF_DIFFERENCE = 1.627
"""Upper quartile of |a - b| for two standard normal values: √2 · 1.1503. The quartile, not the median, as
noise that flips between two levels has no difference at all in half of its pairs."""
_SMALLEST = 1e-12
"""Of the largest value: noise below what a double can tell apart is none."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A series made ready for testing; all arrays have one entry a point."""

    raw: Floats
    """Logarithms of positive values, else the values themselves."""
    clean: Floats
    """`raw`, with outliers drawn in to `CLIP_SPREADS` about the running median."""
    noise: Floats
    """Standard deviation of one point around its level, as far as neighbours tell."""
    logarithmic: bool
    total: int
    """Points of the series that these are the newest of: what an alarm has to hold its own against."""
    magnitude: float
    """Mean magnitude of the values: the scale of changes where there are no logarithms."""

    def __len__(self) -> int:
        return len(self.raw)

    def change(self, before: float, after: float) -> float:
        """Relative change of two levels in the unit of `raw`, bigger is positive.

        Of values that are not all positive it is the difference over the largest of the two levels' and the
        series' magnitude: a level near zero would make everything a large change.
        """
        if self.logarithmic:
            return float(np.expm1(after - before))
        scale = max(abs(before), abs(after), self.magnitude)
        return (after - before) / scale if scale else 0.0


@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of a whole series while only its newest points are looked at."""

    total: int
    smallest_step: float
    magnitude: float
    logarithmic: bool

    @classmethod
    def of(cls, values: Floats) -> Whole:
        logarithmic = bool((values > 0).all())
        raw = np.log(values) if logarithmic else values
        magnitude = float(np.mean(np.abs(values))) if len(values) else 0.0
        return cls(len(values), resolution(raw), magnitude, logarithmic)

    def with_next(self, previous: float, value: float) -> Whole:
        """The same with one more value, not the first and of the same sort: logarithmic stays what it is."""
        old, new = (math.log(previous), math.log(value)) if self.logarithmic else (previous, value)
        step = abs(new - old)
        real = step > _SMALLEST * max(abs(old), abs(new))
        steps = [s for s in (self.smallest_step, step if real else 0.0) if s > 0]
        magnitude = self.magnitude + (abs(value) - self.magnitude) / (self.total + 1)
        return Whole(self.total + 1, min(steps, default=0.0), magnitude, self.logarithmic)


def prepared(values: Floats, whole: Whole | None = None) -> Prepared:
    """Prepares finite values; `whole` where they are only the newest of a series."""
    whole = whole or Whole.of(values)
    raw = np.log(values) if whole.logarithmic else values
    differences = np.abs(np.diff(raw))
    floor = max(whole.smallest_step / np.sqrt(12), _SMALLEST * float(np.max(np.abs(raw), initial=0.0)))
    spread = np.maximum(_rolling_spread(differences, len(raw)), floor)
    level = running_level(raw)
    clean = np.clip(raw, level - CLIP_SPREADS * spread, level + CLIP_SPREADS * spread)
    noise = np.maximum(_rolling_spread(np.abs(np.diff(clean)), len(raw)), floor)
    return Prepared(raw, clean, noise, whole.logarithmic, whole.total, whole.magnitude)


def resolution(raw: Floats) -> float:
    """Smallest difference of neighbours: the step of a counter or a coarse clock; 0 where all are equal.

    A value rounded to multiples of it has a standard deviation of at least 1/√12 of it.
    """
    differences = np.abs(np.diff(raw))
    tiny = _SMALLEST * float(np.max(np.abs(raw), initial=0.0))
    return (
        float(np.min(differences[differences > tiny], initial=np.inf)) if (differences > tiny).any() else 0.0
    )


def running_level(raw: Floats) -> Floats:
    """Running median; it keeps steps and forgets up to three outliers in a row, two at the ends."""
    if len(raw) < LEVEL_POINTS:
        return np.full(len(raw), np.median(raw)) if len(raw) else raw
    middle = np.median(sliding_window_view(raw, LEVEL_POINTS), axis=1)
    half = LEVEL_POINTS // 2
    first, last = np.median(raw[:END_POINTS]), np.median(raw[-END_POINTS:])
    return np.concatenate((np.full(half, first), middle, np.full(half, last)))


def _rolling_spread(differences: Floats, count: int) -> Floats:
    """One spread a point from the upper quartile of the differences about it."""
    if len(differences) <= NOISE_POINTS:
        quartile = float(np.quantile(differences, 0.75)) if len(differences) else 0.0
        return np.full(count, quartile / _QUARTILE_OF_DIFFERENCE)
    half, rank = NOISE_POINTS // 2, (NOISE_POINTS * 3) // 4
    windows = sliding_window_view(differences, NOISE_POINTS)
    quartiles = np.partition(windows, rank, axis=1)[:, rank] / _QUARTILE_OF_DIFFERENCE
    behind = count - half - len(quartiles)
    return np.concatenate(
        (np.full(half, quartiles[0]), quartiles, np.full(behind, quartiles[-1])),
    )
