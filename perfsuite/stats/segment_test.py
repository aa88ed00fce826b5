"""Whether two neighbouring segments of a history differ: the significance, apart from the size.

Three tests look at each step, and the strongest speaks: a t-test on winsorized values whose variances are
moderated (it sees a clear step after three points), the rank-sum test (a small step under heavy tails) and
Kolmogorov and Smirnov's (a narrow peak that moves beneath wide noise: most runs agree, some are far off). All
are said as a *strength*: the standard normal deviate of equal tail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from perfsuite.stats.history_noise import Floats, Prepared

LEAST_POINTS = 3
"""A level has at least so many points: one or two are outliers until a third says the same."""
MOST_LEAST_POINTS = 12
"""However insensitive: more waiting would make a rule blind in short histories."""
WINDOW_POINTS = 50
"""Points of either side that a step is judged by: what lies further back says more of drift than of it."""
RANK_POINTS = 30
"""The same for the ranks, where more add cost and hardly power."""
LEAST_RANKED = 4
"""Below that the smallest possible p of the rank-sum test is no evidence."""
PRIOR_FREEDOM = 3.0
"""Weight, in degrees of freedom, of the neighbourhood's noise in the variance of a segment: three points that
happen to agree are no proof of silence (moderated t: Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004)."""
COST_OF_PLACES = 6.0
BASE = -19.0
SHORTNESS = 60.0
"""A step counts when strength² ≥ COST_OF_PLACES · log n + BASE + SHORTNESS / m, of n points with m on the
shorter side. The form is the modified BIC's (Zhang & Siegmund, Biometrics 63, 2007: a multiple of log n for
each change, and a term for ends that are close together); the constants were chosen on the tuning half of
public histories. In 30 points with 15 on both sides it asks for 2.3, in 400 with 100 for 4.2; for three
points alone for 4.6 and 6.1."""
LEAST_STRENGTH = 2.0
CERTAIN = 8.0
"""Above any threshold: a t-test this strong needs no second opinion."""
FEWEST_POINTS = 20
"""n counts from here: while a history is young it is asked anew with each point, which is many looks too."""
MOST_POINTS = 1000
"""n counts up to here: beyond, more history is not more doubt about the newest points."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the tests say of one step."""

    strength: float
    inflation: float
    """Of the variance of a mean, by the correlation of neighbours."""
    cautious: float
    """`strength` with that correlation held against the ranks too: what raises alerts has to be sure."""


def least_points(sensitivity: float = 1.0) -> int:
    """Points that a level needs: a `sensitivity` below 1 asks for lasting steps, half of it for 12 points."""
    return min(MOST_LEAST_POINTS, math.ceil(LEAST_POINTS / min(1.0, sensitivity) ** 2))


def threshold(total: int, shorter: NDArray[np.intp] | int, sensitivity: float = 1.0) -> Floats:
    """Strength that a step must reach, for the points of its shorter side."""
    places = COST_OF_PLACES * math.log(min(max(total, FEWEST_POINTS), MOST_POINTS)) + BASE
    asked = np.sqrt(np.maximum(places + SHORTNESS / np.maximum(shorter, 1), LEAST_STRENGTH**2))
    return np.asarray(np.where(shorter < least_points(sensitivity), np.inf, asked / sensitivity))


def evidence(series: Prepared, start: int, at: int, stop: int) -> Evidence:
    """The step at `at` between the segments `start … at` and `at … stop`."""
    moved = _moderated_t(series, max(start, at - WINDOW_POINTS), at, min(stop, at + WINDOW_POINTS))
    first, last = max(start, at - RANK_POINTS), min(stop, at + RANK_POINTS)
    if min(at - first, last - at) < LEAST_RANKED or moved.strength >= CERTAIN:
        return moved
    shapes = Ranks.of(series.raw[first:last]).strength(np.array([at - first]))
    ranked = float(shapes[0])
    cautious = max(moved.strength, ranked / math.sqrt(moved.inflation))
    return replace(moved, strength=max(moved.strength, ranked), cautious=cautious)


def deviate(t_squared: Floats, freedom: Floats | float) -> Floats:
    """Normal deviate with the tail of Student's t, to three digits (Wallace, Ann. Math. Stat. 30, 1959)."""
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return np.asarray(scale * np.sqrt(freedom * np.log1p(t_squared / freedom)), dtype=np.float64)


def _moderated_t(series: Prepared, start: int, at: int, stop: int) -> Evidence:
    """Welch's t on winsorized values, its variances moderated, its freedom reduced by correlation."""
    before, after = series.clean[start:at], series.clean[at:stop]
    n, m = len(before), len(after)
    centre, new = float(before.mean()), float(after.mean())
    rest = np.concatenate((before - centre, after - new))
    squares = rest * rest
    left, right = float(squares[:n].sum()), float(squares[n:].sum())
    known = PRIOR_FREEDOM * float(series.noise[at]) ** 2
    pooled = (left + right + known) / (n + m - 2 + PRIOR_FREEDOM)
    freedom_n, freedom_m = n - 1 + PRIOR_FREEDOM, m - 1 + PRIOR_FREEDOM
    error_n = (left + PRIOR_FREEDOM * pooled) / freedom_n / n
    error_m = (right + PRIOR_FREEDOM * pooled) / freedom_m / m
    squared = error_n + error_m
    if squared <= 0:
        sure = math.inf if new != centre else 0.0
        return Evidence(sure, 1.0, sure)
    inflation = _inflation(rest, left + right)
    freedom = max(1.5, squared**2 / (error_n**2 / freedom_n + error_m**2 / freedom_m) / inflation)
    squared *= inflation
    strength = float(deviate(np.asarray((new - centre) ** 2 / squared), freedom))
    return Evidence(strength, inflation, strength)


def _inflation(rest: Floats, total: float) -> float:
    """How much correlation of neighbours inflates a mean's variance: (1 + r)/(1 - r) of an AR(1) noise.

    r is taken at the lower end of its standard error: short series do not prove correlation.
    """
    count = len(rest)
    if total <= 0 or count < 2 * LEAST_POINTS:
        return 1.0
    correlation = float(rest[1:] @ rest[:-1]) / total + 1 / count - 1 / math.sqrt(count)
    correlation = min(max(correlation, 0.0), 0.95)
    return (1 + correlation) / (1 - correlation)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The order of a window's values, ready to be split anywhere."""

    place: NDArray[np.intp]
    """Which of the distinct values each point has."""
    ties: NDArray[np.intp]
    """How many points have each distinct value."""

    @classmethod
    def of(cls, window: Floats) -> Ranks:
        _, place, ties = np.unique(window, return_inverse=True, return_counts=True)
        return cls(place, ties)

    def strength(self, splits: NDArray[np.intp]) -> Floats:
        """The stronger of the two tests for each number of points before the step; 0 where there are too few.

        The rank sum with its corrections for ties and continuity (Mann & Whitney, Ann. Math. Statist. 18,
        1947); the largest distance of the distributions with Stephens' correction (JRSS B 32, 1970).
        """
        count = len(self.place)
        after = count - splits
        if len(self.ties) < 2:
            return np.zeros(len(splits))
        ranks = (np.cumsum(self.ties) - (self.ties - 1) / 2)[self.place] - (count + 1) / 2
        spread = float(ranks @ ranks) / (count * (count - 1))
        apart = np.maximum(np.abs(np.cumsum(ranks)[splits - 1]) - 0.5, 0.0)
        by_sum = apart / np.sqrt(splits * after * spread)
        strength = np.maximum(by_sum, self._by_distance(splits, after))
        return np.where((splits < LEAST_RANKED) | (after < LEAST_RANKED), 0.0, strength)

    def _by_distance(self, splits: NDArray[np.intp], after: NDArray[np.intp]) -> Floats:
        count = len(self.place)
        below = self.place[:, None] <= np.arange(len(self.ties))
        if len(splits) == 1:
            low = below[: splits[0]].sum(axis=0)[None, :]
        else:
            low = np.cumsum(below, axis=0)[splits - 1]
        n, m = splits[:, None], after[:, None]
        distance = np.max(np.abs(low / n - (below.sum(axis=0) - low) / m), axis=1)
        root = np.sqrt(splits * after / count)
        scaled = (root + 0.12 + 0.11 / root) * distance
        tail = np.clip(np.exp(-2 * scaled * scaled), 1e-300, 0.5)
        return np.asarray(-ndtri(tail), dtype=np.float64)
