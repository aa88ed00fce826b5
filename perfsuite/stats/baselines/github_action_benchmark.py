"""github-action-benchmark: the newest value against the one stored before, alert above 2 times."""

from __future__ import annotations

from perfsuite.stats.baselines._points import Points, beyond, previous, relative
from perfsuite.stats.baselines._samples import NamedPairRule, mean, ratio
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_LIMIT = 1.0
"""`alert-threshold: 200%`, its default."""


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    change = relative(points.values, previous(points.values))
    return points.alarms(beyond(change, _LIMIT), change)


RULE = NamedRule("github_action_benchmark", detect)


def compare(compared: Compared) -> int:
    """The means of two sets of samples."""
    return ratio(compared, _LIMIT, mean)


PAIR_RULE = NamedPairRule("github_action_benchmark", compare)
