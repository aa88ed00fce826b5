"""vLLM's nightly benchmarks: beyond 2 standard deviations of the last 7 days, and at least 1 %.

Days are points here: these are nightly benchmarks.
"""

from __future__ import annotations

import numpy as np

from perfsuite.stats.baselines._points import Points, Trailing, relative
from perfsuite.stats.baselines._samples import NamedPairRule, mean, sign
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_DAYS = 7
_DEVIATIONS = 2.0
_LEAST_CHANGE = 0.01


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    history = Trailing.of(points.values, _DAYS)
    mean = history.mean()
    change = relative(points.values, mean)
    outside = np.abs(points.values - mean) > _DEVIATIONS * history.deviation()
    return points.alarms(outside & (np.abs(change) >= _LEAST_CHANGE) & (history.count == _DAYS), change)


RULE = NamedRule("vllm_nightly", detect)


def compare(compared: Compared) -> int:
    """Blocks of the base are the days before, the mean of head is the newest."""
    base, head = compared.blocks(head=False), mean(compared.rounds(head=True))
    apart = head - mean(base)
    outside = len(base) > 1 and abs(apart) > _DEVIATIONS * float(np.std(base, ddof=1))
    return sign(apart) if outside and abs(apart) >= _LEAST_CHANGE * mean(base) else 0


PAIR_RULE = NamedPairRule("vllm_nightly", compare)
