"""asv continuous: worse if the ratio exceeds 1.1 and the samples differ (Mann-Whitney, p < 0.002).

A history has one value a commit, so the samples of base and head are the 10 points before and from each point
on; 10 of either are enough for the test, so its other branch, the 99 % intervals, is not needed.
"""

from __future__ import annotations

import numpy as np

from perfsuite.stats.baselines._points import Points, beside, beyond, peaks, relative
from perfsuite.stats.baselines._samples import NamedPairRule, direction, median
from perfsuite.stats.baselines._two_samples import mann_whitney_p, medians, spread_over
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_POINTS = 10
_FACTOR = 0.10
_P = 0.002


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    before, after, places = beside(points.values, _POINTS)
    p = mann_whitney_p(before, after)
    change = relative(medians(after), medians(before))
    raised = beyond(change, _FACTOR) & (p < _P)
    strongest = places[peaks(raised, -p, np.full(len(p), _POINTS))]
    count = len(points.values)
    mask = spread_over(strongest, 1.0, count, 0.0) > 0
    return points.alarms(mask, spread_over(places, change, count, 0.0), delay=_POINTS)


RULE = NamedRule("asv_continuous", detect)


def compare(compared: Compared) -> int:
    """The rounds of both sides are the samples."""
    base, head = compared.rounds(head=False), compared.rounds(head=True)
    p = float(mann_whitney_p(base[None, :], head[None, :])[0])
    return direction(median(head) / median(base) - 1, _FACTOR) if p < _P else 0


PAIR_RULE = NamedPairRule("asv_continuous", compare)
