"""The summary of one case's samples in one run: a median and how its rounds spread. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, median

CONFIDENCE = 0.95
"""Of the interval of the median. Verdicts never use it: they come from paired blocks (stats/paired.py)."""
EXACT_LIMIT = 2000
"""Above so many rounds the binomial is taken as normal: the rank then differs by less than one."""


@dataclass(frozen=True, slots=True)
class TimeSummary:
    """Median time per iteration and its interval, in ns."""

    median_ns: float
    low_ns: float
    high_ns: float
    rounds: int


def summarize(samples_ns: Sequence[float]) -> TimeSummary:
    """Median of the samples with its distribution-free 95 % interval.

    The interval is between two order statistics, exact for any continuous distribution (Hollander, Wolfe and
    Chicken, Nonparametric Statistical Methods, 3rd ed., section 3.6). With fewer than six samples no two of
    them reach 95 %: the range is given. It tells how the rounds of *one* run spread, not how another run
    would turn out.

    Raises:
        ValueError: no samples, or one that is not finite.
    """
    if not samples_ns:
        raise ValueError("no samples to summarize")
    if not all(math.isfinite(sample) for sample in samples_ns):
        raise ValueError("a sample is not a finite number of ns")
    ordered = sorted(samples_ns)
    rank = _rank(len(ordered))
    return TimeSummary(median(ordered), ordered[rank], ordered[-1 - rank], len(ordered))


@lru_cache(maxsize=256)
def _rank(count: int) -> int:
    """How many samples may be left out at each end: the largest r with P(Binomial(count, ½) ≤ r) ≤ 2.5 %.

    [x_(r+1), x_(count−r)] misses the median when r or fewer of the samples lie on one side of it.
    """
    tail = (1 - CONFIDENCE) / 2
    if count > EXACT_LIMIT:
        return max(0, math.floor(count / 2 + NormalDist().inv_cdf(tail) * math.sqrt(count) / 2) - 1)
    # Integers throughout: 2 ** count overflows a float above 1023 samples.
    total, below, term, rank = 1 << count, 0, 1, -1
    while (below + term) * 1000 <= total * round(tail * 1000):
        below += term
        rank += 1
        term = term * (count - rank) // (rank + 1)
    return max(0, rank)
