"""Bencher's t-test threshold: a prediction interval for the newest value from the branch's history.

Limits: mean ± t⁻¹ₙ₋₁(0.99) · s · √(1 + 1/n) of at most 64 values before; alert strictly outside. Both of its
boundaries are set. Values that never varied raise no alert.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from perfsuite.stats.baselines._points import Points, Trailing, relative
from perfsuite.stats.baselines._samples import NamedPairRule, median, sign
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_MOST_VALUES = 64
_QUANTILE = 0.99


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    history = Trailing.of(points.values, _MOST_VALUES)
    count, mean, deviation = history.count, history.mean(), history.deviation()
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = stdtrit(count - 1.0, _QUANTILE) * deviation * np.sqrt(1 + 1 / count)
        raised = (deviation > 0) & (np.abs(points.values - mean) > reach)
    return points.alarms(raised, relative(points.values, mean))


RULE = NamedRule("bencher_t", detect)


def compare(compared: Compared) -> int:
    """Blocks of the base are the history, the median of head is the newest value."""
    base, head = compared.blocks(head=False), median(compared.rounds(head=True))
    count, deviation = len(base), float(np.std(base, ddof=1)) if len(base) > 1 else 0.0
    if not deviation:
        return 0
    reach = float(stdtrit(count - 1, _QUANTILE)) * deviation * math.sqrt(1 + 1 / count)
    apart = head - float(np.mean(base))
    return sign(apart) if abs(apart) > reach else 0


PAIR_RULE = NamedPairRule("bencher_t", compare)
