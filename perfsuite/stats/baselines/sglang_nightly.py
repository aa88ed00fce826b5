"""SGLang's nightly benchmarks: more than 10 % above the mean of the previous 10."""

from __future__ import annotations

from perfsuite.stats.baselines._points import Points, Trailing, beyond, relative
from perfsuite.stats.baselines._samples import NamedPairRule, mean, ratio
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_LIMIT = 0.10
_RUNS = 10


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    history = Trailing.of(points.values, _RUNS)
    change = relative(points.values, history.mean())
    return points.alarms(beyond(change, _LIMIT) & (history.count == _RUNS), change)


RULE = NamedRule("sglang_nightly", detect)


def compare(compared: Compared) -> int:
    """The means of two sets of samples."""
    return ratio(compared, _LIMIT, mean)


PAIR_RULE = NamedPairRule("sglang_nightly", compare)
