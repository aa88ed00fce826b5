"""A step, or a slow drift that only looks like one: small changes have to be sudden.

Between its neighbours a step is held against a ramp, a level that turns within `RAMP_POINTS` or more into
another. Where the ramp explains the points better it was drift: a machine that ages or warms, not a commit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from perfsuite.stats.history_noise import Floats, Prepared
from perfsuite.stats.segment_test import PRIOR_FREEDOM, WINDOW_POINTS, threshold

RAMP_POINTS = 20
"""A rise within fewer points is a step: noise alone can make one look as if it took ten."""
DRIFT_CHANGE = 0.05
"""A change of this share or more is worth an alarm, however slowly it came."""
_BETTER = 10.0
"""Twice the log likelihood ratio that counts as strong evidence (Kass & Raftery, JASA 90, 1995)."""
_STAIRS = 3
"""Steps on either side that may belong to the same ramp."""
_GRID = 12
"""Places tried for each end of the ramp."""


def drifts(series: Prepared, found: Sequence[int]) -> set[int]:
    """Those of the change points that a slow drift explains better; large ones never are."""
    edges = [0, *found, len(series)]
    levels = [float(series.clean[a:b].mean()) for a, b in itertools.pairwise(edges)]
    steps = np.diff(levels)
    slow: set[int] = set()
    for i in range(len(found)):
        if steps[i] == 0 or abs(series.change(levels[i], levels[i + 1])) >= DRIFT_CHANGE:
            continue
        stairs = next((s for s in _staircases(steps, i) if _is_ramp(series, edges, *s)), None)
        if stairs is not None:
            slow.update(found[stairs[0] : stairs[1] + 1])
    return slow


def _staircases(steps: Floats, i: int) -> Iterator[tuple[int, int]]:
    """First and last of neighbouring steps about `i` that go its way and are no larger, the widest first."""
    first = last = i
    while first > max(0, i - _STAIRS) and 0 < steps[first - 1] / steps[i] <= 1:
        first -= 1
    while last < min(len(steps) - 1, i + _STAIRS) and 0 < steps[last + 1] / steps[i] <= 1:
        last += 1
    ranges = ((a, b) for a in range(first, i + 1) for b in range(i, last + 1))
    yield from sorted(ranges, key=lambda pair: pair[0] - pair[1])


def _is_ramp(series: Prepared, edges: Sequence[int], first: int, last: int) -> bool:
    """Whether one ramp says more of these neighbouring change points than they do themselves."""
    at, end = edges[first + 1], edges[last + 1]
    start = max(edges[first], at - 2 * WINDOW_POINTS)
    stop = min(edges[last + 2], end + 2 * WINDOW_POINTS)
    if stop - start < 2 * RAMP_POINTS:
        return False
    window = series.clean[start:stop]
    by_ramp = _rest_of_ramp(window - window.mean(), at - start, end - start)
    bounds = [start, *edges[first + 1 : last + 2], stop]
    by_steps = sum(_rest(series.clean[a:b]) for a, b in itertools.pairwise(bounds))
    known = PRIOR_FREEDOM * float(series.noise[at]) ** 2 + np.finfo(float).tiny
    # A ramp has the parameters of one step more its second end: further steps have to earn theirs.
    spared = (last - first) * float(threshold(series.total, 2 * RAMP_POINTS)) ** 2
    return len(window) * math.log((by_steps + known) / (by_ramp + known)) + spared > _BETTER


def _rest(segment: Floats) -> float:
    centred = segment - segment.mean()
    return float(centred @ centred)


def _rest_of_ramp(window: Floats, latest_start: int, earliest_end: int) -> float:
    """Smallest sum of squares about a ramp that begins and ends around the steps; infinite if none fits."""
    count = len(window)
    begin = np.linspace(0, latest_start, _GRID).astype(np.intp)
    end = np.linspace(earliest_end, count - 1, _GRID).astype(np.intp)
    begins, ends = (grid.ravel() for grid in np.meshgrid(begin, end))
    long = ends - begins >= RAMP_POINTS
    begins, ends = begins[long], ends[long]
    if not len(begins):
        return math.inf
    ramp = np.clip((np.arange(count) - begins[:, None]) / (ends - begins)[:, None], 0.0, 1.0)
    ramp -= ramp.mean(axis=1, keepdims=True)
    return float(window @ window - np.max((ramp @ window) ** 2 / np.sum(ramp * ramp, axis=1)))
