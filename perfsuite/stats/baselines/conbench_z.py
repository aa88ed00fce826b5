"""Conbench's lookback z-score: (value - rolling mean) / rolling deviation of the residuals, beyond 5.

The mean is that of at most 100 commits before the value; a residual is a value less its rolling mean, and the
deviation that of the residuals of at most 100 commits before. (Its marks of distribution changes are made by
hand, and there is no hand here.) Residuals that never varied give no z-score.
"""

from __future__ import annotations

import numpy as np

from perfsuite.stats.baselines._points import Points, Trailing, relative
from perfsuite.stats.baselines._samples import NamedPairRule, median, sign
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_COMMITS = 100
_LIMIT = 5.0
_LEAST_RESIDUALS = 5
"""Fewer would alarm by chance at the start of a history, where nobody would look yet."""


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    mean = Trailing.of(points.values, _COMMITS).mean()
    residual = points.values - mean
    history = Trailing.of(residual, _COMMITS)
    deviation = history.deviation()
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(deviation > 0, np.abs(residual) / deviation, 0.0)
    raised = (score > _LIMIT) & (history.count >= _LEAST_RESIDUALS)
    return points.alarms(raised, relative(points.values, mean))


RULE = NamedRule("conbench_z", detect)


def compare(compared: Compared) -> int:
    """Blocks of the base are the history, the median of head is the newest value."""
    base, head = compared.blocks(head=False), median(compared.rounds(head=True))
    deviation = float(np.std(base, ddof=1)) if len(base) > 1 else 0.0
    apart = head - float(np.mean(base))
    return sign(apart) if deviation and abs(apart) > _LIMIT * deviation else 0


PAIR_RULE = NamedPairRule("conbench_z", compare)
