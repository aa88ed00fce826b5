"""CodSpeed: 10 % against the base report. The base of a point of the main branch is the point before."""

from __future__ import annotations

from perfsuite.stats.baselines._points import Points, beyond, previous, relative
from perfsuite.stats.baselines._samples import NamedPairRule, median, ratio
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_LIMIT = 0.10
"""The regression threshold that it starts with."""


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    change = relative(points.values, previous(points.values))
    return points.alarms(beyond(change, _LIMIT), change)


RULE = NamedRule("codspeed_fixed", detect)


def compare(compared: Compared) -> int:
    """The medians of two sets of samples."""
    return ratio(compared, _LIMIT, median)


PAIR_RULE = NamedPairRule("codspeed_fixed", compare)
