"""PyTorch's HUD, operator latency: two points in a row at 1.35 times the median of the days before.

Days are points here: these are nightly benchmarks. The alarm is raised by the second point, for the first.
"""

from __future__ import annotations

import numpy as np

from perfsuite.stats.baselines._points import Points, Trailing, beyond, relative
from perfsuite.stats.rules import Alarm, NamedRule, Series

_LIMIT = 0.35
_DAYS = 7
_LEAST_DAYS = 3


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    history = Trailing.of(points.values, _DAYS)
    baseline = history.median()
    change = relative(points.values, baseline)
    after = relative(np.concatenate((points.values[1:], [np.nan])), baseline)
    raised = beyond(change, _LIMIT) & beyond(after, _LIMIT) & ((change > 0) == (after > 0))
    return points.alarms(raised & (history.count >= _LEAST_DAYS), change, delay=1)


RULE = NamedRule("pytorch_hud", detect)
