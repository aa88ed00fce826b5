"""nvbench-compare-robust: intervals [min, Q3] that do not overlap, with a gap of at least 0.5 %.

It compares two sets of samples; of a history these are the 10 points before and from each point on: the
spread within a run (`low`, `high`) says nothing about that between runs and would make a straw man of it. Its
confirmation in cycles needs the clock of each sample, which histories do not have. "Ambiguous" is no alarm.
"""

from __future__ import annotations

import numpy as np

from perfsuite.stats.baselines._points import Points, beside, peaks, relative
from perfsuite.stats.baselines._samples import NamedPairRule, sign
from perfsuite.stats.baselines._two_samples import medians, spread_over
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_POINTS = 10
_GAP = 0.005


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    before, after, places = beside(points.values, _POINTS)
    low_before, high_before = np.min(before, axis=1), np.quantile(before, 0.75, axis=1)
    low_after, high_after = np.min(after, axis=1), np.quantile(after, 0.75, axis=1)
    gap = np.maximum(relative(low_after, high_before), relative(low_before, high_after))
    change = relative(medians(after), medians(before))
    strongest = places[peaks(gap >= _GAP, gap, np.full(len(gap), _POINTS))]
    count = len(points.values)
    mask = spread_over(strongest, 1.0, count, 0.0) > 0
    return points.alarms(mask, spread_over(places, change, count, 0.0), delay=_POINTS)


RULE = NamedRule("nvbench_robust", detect)


def compare(compared: Compared) -> int:
    """The rounds of both sides are the samples."""
    base, head = compared.rounds(head=False), compared.rounds(head=True)
    slower = float(np.min(head) / np.quantile(base, 0.75)) - 1
    faster = float(np.min(base) / np.quantile(head, 0.75)) - 1
    return sign(slower - faster) if max(slower, faster) >= _GAP else 0


PAIR_RULE = NamedPairRule("nvbench_robust", compare)
