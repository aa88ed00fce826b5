"""otava (formerly Hunter): E-divisive in windows, Student's t in place of permutations, weak points merged.

Split: in windows of 50 points (step 25, or from the last change found), the interval and the place τ with the
largest Q(τ, κ) are tested until one is not significant at p < 0.01. Merge: the weakest point goes, and its
neighbours are judged anew, until all have p < 0.001. No filter of magnitudes, its default. As described, that
is: its code divides variances by n, and after a merge judges the wrong one of two neighbours anew. With these
two slips this file gives the indices that its tests expect of their series; without, most scores are better.
Matteson & James, arXiv 1306.4933; Fleming et al., "Hunter", ICPE 2023, doi 10.1145/3578244.3583719.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr

from perfsuite.stats.baselines._points import Floats, Points, relative
from perfsuite.stats.rules import Found, LookingBack, Series

_WINDOW = 50
_WEAK_P, _P = 0.01, 0.001
_CONTEXT = 2 * _WINDOW
"""Points before a change that its delay is searched with: the windows reach no further."""


def find(series: Series) -> list[Found]:
    points = Points.of(series)
    values = points.values
    kept = _merged(values, _weak(values))
    change = np.zeros(len(values))
    for before, place, after in _neighbourhoods(kept, len(values)):
        old, new = np.mean(values[before:place]), np.mean(values[place:after])
        change[place] = relative(np.array([new]), np.array([old]))[0]
    return points.found(kept, change)


def _weak(values: Floats) -> list[int]:
    """Places significant at the first, relaxed level."""
    found: set[int] = set()
    start = 0
    while start < len(values):
        inside = [start + place for place in _divided(values[start : start + _WINDOW])]
        found.update(inside)
        # Goes on from the last change found, where that lies in the second half.
        start = max(max(inside, default=0), start + _WINDOW // 2)
    return sorted(found)


def _divided(window: Floats) -> list[int]:
    """Splits where Q is largest as long as the split is significant."""
    found: list[int] = []
    best = {(0, len(window)): _largest_q(window)}
    while best:
        (start, stop), (q, place) = max(best.items(), key=lambda item: item[1][0])
        del best[start, stop]
        if q < 0 or not _p_value(window[start : start + place], window[start + place : stop]) <= _WEAK_P:
            break
        place += start
        found.append(place)
        for left, right in ((start, place), (place, stop)):
            best[left, right] = _largest_q(window[left:right])
    return sorted(found)


def _largest_q(part: Floats) -> tuple[float, int]:
    """The largest Q(τ, κ) and its τ, the first point of the second side; (-1, 0) of fewer than two points.

    From the sums of distances between the first τ and the first κ points, Q follows for all (τ, κ) at once.
    """
    count = len(part)
    if count < 2:
        return -1.0, 0
    sums = np.zeros((count + 1, count + 1))
    sums[1:, 1:] = np.abs(part[:, None] - part).cumsum(axis=0).cumsum(axis=1)
    tau, kappa = np.arange(1, count)[:, None], np.arange(2, count + 1)[None, :]
    n, m = tau, kappa - tau
    inside = sums.diagonal()
    between = sums[1:count, 2:] - inside[1:count, None]
    left = inside[1:count, None] / 2
    right = inside[None, 2:] / 2 - left - between
    with np.errstate(divide="ignore", invalid="ignore"):
        within = np.where(n > 1, m * left / (n - 1), 0.0) + np.where(m > 1, n * right / (m - 1), 0.0)
        q = np.where(m > 0, 2 / (n + m) * (between - within), -np.inf)
    i, j = np.unravel_index(np.argmax(q), q.shape)
    return float(q[i, j]), int(i) + 1


def _merged(values: Floats, weak: Sequence[int]) -> list[int]:
    """Drops the weakest until all are strong."""
    kept = list(weak)
    p = [_p_value(values[a:b], values[b:c]) for a, b, c in _neighbourhoods(kept, len(values))]
    while kept and max(p) >= _P:
        weakest = int(np.argmax(p))
        del kept[weakest], p[weakest]
        around = _neighbourhoods(kept, len(values))
        for index in range(max(0, weakest - 1), min(len(kept), weakest + 1)):
            a, b, c = around[index]
            p[index] = _p_value(values[a:b], values[b:c])
    return kept


def _neighbourhoods(places: Sequence[int], count: int) -> list[tuple[int, int, int]]:
    """For each change the start of the level before, itself, and the end of the level after."""
    edges = [0, *places, count]
    return list(zip(edges, edges[1:], edges[2:], strict=False))


def _p_value(left: Floats, right: Floats) -> float:
    """Student's two-sided t-test with one variance for both; 1 of fewer than three points."""
    n, m = len(left), len(right)
    if not n or not m or n + m < 3:
        return 1.0
    apart = float(right.mean() - left.mean())
    squares = float(((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum())
    if not squares:
        return 0.0 if apart else 1.0
    t = apart / math.sqrt(squares / (n + m - 2) * (1 / n + 1 / m))
    return float(2 * stdtr(n + m - 2, -abs(t)))


RULE = LookingBack("otava", find, _CONTEXT)
