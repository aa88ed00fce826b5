"""pytest-benchmark `--benchmark-compare-fail`: N % against the latest saved run."""

from __future__ import annotations

from perfsuite.stats.baselines._points import Points, beyond, previous, relative
from perfsuite.stats.baselines._samples import NamedPairRule, least, ratio
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_LIMIT = 0.05
"""There is no default; 5 % is the value of its documentation's examples."""


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    change = relative(points.values, previous(points.values))
    return points.alarms(beyond(change, _LIMIT), change)


RULE = NamedRule("pytest_benchmark_fail", detect)


def compare(compared: Compared) -> int:
    """The minima of two sets of samples."""
    return ratio(compared, _LIMIT, least)


PAIR_RULE = NamedPairRule("pytest_benchmark_fail", compare)
