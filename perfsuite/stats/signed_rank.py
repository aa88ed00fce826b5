"""The Hodges–Lehmann centre and its exact interval from Wilcoxon's signed-rank test.

Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd ed., sections 3.2 and 3.3; Lehmann,
Nonparametrics: Statistical Methods Based on Ranks, chapter 4. The only assumption is that values lie
symmetrically about the effect. Log ratios of base and head in alternating order do: under equal code the two
sides are exchangeable. Ties make the interval wider than needed, never narrower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval with the confidence that it really reaches."""

    low: float
    high: float
    confidence: float


def hodges_lehmann(values: Sequence[float]) -> float:
    """The median of all Walsh averages (x_i + x_j) / 2, i ≤ j.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values to take the centre of")
    return median(_walsh_averages(values))


def interval(values: Sequence[float], confidence: float) -> Interval:
    """The shortest exact signed-rank interval that reaches the confidence; the range where none does.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values to take the interval of")
    averages = _walsh_averages(values)
    left_out, reached = _left_out(len(values), confidence)
    return Interval(averages[left_out], averages[-1 - left_out], reached)


def _walsh_averages(values: Sequence[float]) -> list[float]:
    return sorted((a + b) / 2 for index, a in enumerate(values) for b in values[index:])


@lru_cache(maxsize=512)
def _left_out(count: int, confidence: float) -> tuple[int, float]:
    """How many Walsh averages may be left out at each end, and the confidence that this reaches.

    [W_(c+1), W_(M−c)] misses the effect with probability 2 · P(T⁺ ≤ c), T⁺ being Wilcoxon's statistic.
    """
    ways, total = _ways(count), 1 << count
    tail = (1 - confidence) / 2
    below = ways[0]
    left_out = 0
    while (below + ways[left_out + 1]) / total <= tail:
        left_out += 1
        below += ways[left_out]
    return left_out, max(0.0, 1 - 2 * below / total)


def _ways(count: int) -> list[int]:
    """How many subsets of the ranks 1 … count have each sum: the exact null distribution of T⁺, times 2ⁿ."""
    ways = [1] + [0] * (count * (count + 1) // 2)
    for rank in range(1, count + 1):
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    return ways
