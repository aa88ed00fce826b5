"""AITER's MoE check in CI: warns at 1.10 and fails at 1.15 times a file from another run.

The file is the run before. The alarm is the failure: a warning turns nothing red.
"""

from __future__ import annotations

from perfsuite.stats.baselines._points import Points, beyond, previous, relative
from perfsuite.stats.baselines._samples import NamedPairRule, mean, ratio
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_FAIL = 0.15


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    change = relative(points.values, previous(points.values))
    return points.alarms(beyond(change, _FAIL), change)


RULE = NamedRule("aiter_moe_ci", detect)


def compare(compared: Compared) -> int:
    """The means of two sets of samples."""
    return ratio(compared, _FAIL, mean)


PAIR_RULE = NamedPairRule("aiter_moe_ci", compare)
