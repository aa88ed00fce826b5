"""Intel's Triton backend: modified z-score beyond 3 and a change above 5 %.

0.6745 (x - median) / MAD of the window of 20 values before, at least 8 (Iglewicz & Hoaglin 1993). Windows
whose coefficient of variation exceeds 15 % are skipped. A MAD of 0 makes every change a large one.
"""

from __future__ import annotations

import numpy as np

from perfsuite.stats.baselines._points import Points, Trailing, relative
from perfsuite.stats.baselines._samples import NamedPairRule, median, sign
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_WINDOW = 20
_LEAST_VALUES = 8
_NORMAL_CONSISTENCY = 0.6745
_LIMIT = 3.0
_LEAST_CHANGE = 0.05
_MOST_VARIATION = 0.15


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    history = Trailing.of(points.values, _WINDOW)
    median = history.median()
    change = relative(points.values, median)
    with np.errstate(divide="ignore", invalid="ignore"):
        steady = history.deviation() / np.abs(history.mean()) <= _MOST_VARIATION
    far = _NORMAL_CONSISTENCY * np.abs(points.values - median) > _LIMIT * history.mad()
    raised = far & (np.abs(change) > _LEAST_CHANGE) & steady & (history.count >= _LEAST_VALUES)
    return points.alarms(raised, change)


RULE = NamedRule("intel_triton_mad", detect)


def compare(compared: Compared) -> int:
    """Rounds of the base are the window, the median of head is the newest value."""
    base, head = compared.rounds(head=False), median(compared.rounds(head=True))
    apart = head - median(base)
    far = _NORMAL_CONSISTENCY * abs(apart) > _LIMIT * median(np.abs(base - median(base)))
    steady = float(np.std(base)) <= _MOST_VARIATION * float(np.mean(base))
    return sign(apart) if far and steady and abs(apart) > _LEAST_CHANGE * median(base) else 0


PAIR_RULE = NamedPairRule("intel_triton_mad", compare)
