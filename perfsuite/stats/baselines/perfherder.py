"""Perfherder: a linearly weighted t above 7, higher than at either neighbour, and at least 2 %.

Compared are 12 to 24 points before with the 12 from each point on; the weights fall off linearly with the
distance. The window behind starts at 12 after a point beyond the threshold and grows by one a point.
"""

from __future__ import annotations

import numpy as np

from perfsuite.stats.baselines._points import Floats, Points, relative
from perfsuite.stats.rules import Found, LookingBack, Series

_LEAST_BACK, _MOST_BACK = 12, 24
_FORE = 12
_T = 7.0
_LEAST_CHANGE = 0.02


def find(series: Series) -> list[Found]:
    points = Points.of(series)
    values = points.values
    if len(values) < _LEAST_BACK + _FORE:
        return []
    t, change = _t_values(values)
    neighbours = np.concatenate(([0.0], t, [0.0]))
    peak = (t > _T) & (t >= neighbours[:-2]) & (t >= neighbours[2:])
    enough = np.arange(len(t)) + _FORE <= len(t)
    places = np.flatnonzero(peak & enough & (np.arange(len(t)) >= _LEAST_BACK))
    return points.found([int(i) for i in places if abs(change[i]) >= _LEAST_CHANGE], change)


def _t_values(values: Floats) -> tuple[Floats, Floats]:
    """For each point |t| and the relative change of the plain means."""
    padded = np.concatenate((np.full(_MOST_BACK, np.nan), values, np.full(_FORE, np.nan)))
    places = np.arange(len(values)) + _MOST_BACK
    ahead = padded[places[:, None] + np.arange(_FORE)]
    behind = padded[places[:, None] - 1 - np.arange(_MOST_BACK)]
    fore = _weighted(ahead)
    by_window = [_student(_weighted(behind[:, :w]), fore) for w in range(_LEAST_BACK, _MOST_BACK + 1)]
    change = [
        relative(np.nanmean(ahead, axis=1), _plain_mean(behind[:, :w]))
        for w in range(_LEAST_BACK, _MOST_BACK + 1)
    ]
    window = _windows(by_window)
    rows = np.arange(len(values))
    return np.array(by_window)[window, rows], np.array(change)[window, rows]


def _windows(by_window: list[Floats]) -> list[int]:
    """Which window each point is judged by: longer for each point since t was last above the threshold."""
    chosen, since = [0], 0
    for place in range(1, len(by_window[0])):
        chosen.append(min(max(since, _LEAST_BACK), _MOST_BACK) - _LEAST_BACK)
        since = 0 if by_window[chosen[-1]][place] > _T else since + 1
    return chosen


def _weighted(rows: Floats) -> tuple[Floats, Floats]:
    """Weighted mean, and variance of that mean, of rows whose nearest point comes first."""
    there = ~np.isnan(rows)
    count = np.sum(there, axis=1)
    weights = np.where(there, count[:, None] - np.arange(rows.shape[1]), 0.0)
    filled = np.where(there, rows, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.sum(weights * filled, axis=1) / np.sum(weights, axis=1)
        squares = np.sum(np.where(there, filled - mean[:, None], 0.0) ** 2, axis=1)
        variance = np.where(count > 1, squares / (count - 1), 0.0) / count
    return mean, variance


def _student(behind: tuple[Floats, Floats], fore: tuple[Floats, Floats]) -> Floats:
    apart = np.abs(fore[0] - behind[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        t = apart / np.sqrt(behind[1] + fore[1])
    return np.asarray(np.where(apart > 0, t, 0.0), dtype=np.float64)


def _plain_mean(rows: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nansum(rows, axis=1) / np.sum(~np.isnan(rows), axis=1), dtype=np.float64)


RULE = LookingBack("perfherder", find)
