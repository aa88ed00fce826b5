"""rustc-perf: a relative change is significant at Q3 + 3 IQR of the earlier changes between neighbours.

Absolute relative changes of 30 parents, the change itself not among them; with fewer parents 0.2 %.
"""

from __future__ import annotations

import numpy as np

from perfsuite.stats.baselines._points import Points, Trailing, previous, relative
from perfsuite.stats.rules import Alarm, NamedRule, Series

_PARENTS = 30
_FENCE_IQRS = 3.0
_LIMIT_WITHOUT_HISTORY = 0.002


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    change = relative(points.values, previous(points.values))
    history = Trailing.of(np.abs(change), _PARENTS)
    third = history.quantile(0.75)
    fence = third + _FENCE_IQRS * (third - history.quantile(0.25))
    limit = np.where(history.count >= _PARENTS, fence, _LIMIT_WITHOUT_HISTORY)
    # Where nothing ever changed the fence is 0, and no change is none.
    return points.alarms((np.abs(change) >= limit) & (change != 0), change)


RULE = NamedRule("rustc_perf_iqr", detect)
