"""Pinpoint: p = min(Mann-Whitney, Kolmogorov-Smirnov); below 0.01 different, above a simulated bound the
same.

Between the two it measures more: 10 up to 160 samples a side. In a history the samples are the points before
and from each point on, and measuring more is to take wider windows; where these end it stays unknown.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from perfsuite.stats.baselines._points import Bools, Floats, Points, beside, peaks, relative
from perfsuite.stats.baselines._samples import NamedPairRule, median, sign
from perfsuite.stats.baselines._two_samples import kolmogorov_smirnov_p, mann_whitney_p, medians
from perfsuite.stats.injection import seeded
from perfsuite.stats.rules import Alarm, NamedRule, Series
from perfsuite.stats.scoring_pairs import Compared

_SIZES = (10, 20, 40, 80, 160)
_DIFFERENT = 0.01
_SHIFT = 1.0
"""The bound for "same" is made for a difference of one spread, the magnitude that it assumes by default."""
_MISSED = 0.01
_SIMULATIONS = 1000


def detect(series: Series) -> list[Alarm]:
    points = Points.of(series)
    different, p, change, size = _decided(points.values)
    alarms = []
    # Wider windows see a step from further away and with a smaller p: the narrowest one says where it is.
    for place in peaks(different, -size - p, size):
        mask = np.arange(len(p)) == place
        alarms += points.alarms(mask, change, delay=int(size[place]))
    return alarms


def _decided(values: Floats) -> tuple[Bools, Floats, Floats, Floats]:
    """For each point whether it differs, and p, change and window of that decision."""
    count = len(values)
    different, undecided = np.zeros(count, dtype=np.bool_), np.ones(count, dtype=np.bool_)
    p, change, size = np.ones(count), np.zeros(count), np.zeros(count)
    for width in _SIZES:
        before, after, places = beside(values, width)
        kept = undecided[places]
        before, after, places = before[kept], after[kept], places[kept]
        undecided[:] = False
        if not len(places):
            break
        p[places] = _p(before, after)
        change[places] = relative(medians(after), medians(before))
        size[places] = width
        different[places] = (p[places] < _DIFFERENT) & (change[places] != 0)
        undecided[places] = (p[places] >= _DIFFERENT) & (p[places] <= _same_above(width))
    return different, p, change, size


def _p(before: Floats, after: Floats) -> Floats:
    return np.minimum(mann_whitney_p(before, after), kolmogorov_smirnov_p(before, after))


@cache
def _same_above(width: int) -> float:
    """The p-value that all but `_MISSED` of the simulated pairs with a true shift stay below."""
    generator = seeded(f"pinpoint {width}")
    before = generator.standard_normal((_SIMULATIONS, width))
    after = generator.standard_normal((_SIMULATIONS, width)) + _SHIFT
    return max(_DIFFERENT, float(np.quantile(_p(before, after), 1 - _MISSED)))


RULE = NamedRule("pinpoint", detect)


def compare(compared: Compared) -> int:
    """Blocks are the samples, for an attempt is a fresh run; in the order measured until it is decided."""
    base, head = compared.blocks(head=False), compared.blocks(head=True)
    for width in _SIZES:
        if width > min(len(base), len(head)):
            break
        p = float(_p(base[None, :width], head[None, :width])[0])
        if p < _DIFFERENT:
            return sign(median(head[:width]) - median(base[:width]))
        if p > _same_above(width):
            break
    return 0


PAIR_RULE = NamedPairRule("pinpoint", compare)
