"""Where the scatter of log ratios comes from: rounds in a block, blocks in a pair of processes, pairs.

A one-way analysis of variance with random effects (Searle, Casella and McCulloch, Variance Components,
1992, chapter 3), each mean square moderated by what is known before: the estimates of two pairs are worth
one degree of freedom, what earlier comparisons of unchanged code showed is worth many (Smyth, Statistical
Applications in Genetics and Molecular Biology 3, 2004: moderated t-statistics).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.special import fdtri

from perfsuite.model import Noise, Timer

KNOWN_PAIRS = 6
"""Fewer pairs of unchanged code do not make a case's noise known."""
REFUTED = 0.01
"""Level of the test that drops an assumption about pairs which their scatter contradicts."""
MOST_KNOWN_FREEDOM = 30
"""What was seen in other comparisons weighs at most so much: noise drifts."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed of a case whose noise is not known.

    Args:
        ratio: variance between pairs over variance of blocks within a pair.
        least: scatter between pairs at least, a log ratio.
        alone: scatter between pairs at least, as long as there is one pair alone to judge by.
        freedom: degrees of freedom that the assumption is worth.
    """

    ratio: float
    least: float
    alone: float
    freedom: int = 4


DEVICE_PRIOR = Prior(ratio=0.5, least=0.001, alone=0.005)
"""H200: pairs scatter by 0.0 to 0.7 of what blocks do (twelve kernels, 14 pairs), and by about 0.1 % even in
ops whose blocks agree to 0.02 % (the W4A8 suite); 0.36 % was the most where buffers were not rotated."""
WALL_PRIOR = Prior(ratio=1.0, least=0.005, alone=0.03)
"""Wall-clock times of whole processes: hash seeds, memory layout and the host's other work."""


def prior_of(timer: Timer) -> Prior:
    return DEVICE_PRIOR if timer in (Timer.GRAPH, Timer.EVENTS) else WALL_PRIOR


@dataclass(frozen=True, slots=True)
class Components:
    """Standard deviations of log ratios, and the standard error of their mean."""

    blocks: float
    """Of a block around its pair."""
    pairs: float
    """Of a pair around the effect."""
    error: float
    """Of the mean over all blocks."""
    freedom: int
    """Degrees of freedom of `error`."""

    def error_of(self, pairs: int, blocks: int) -> float:
        """The standard error that so many pairs, with so many blocks in all, would have."""
        return math.sqrt(self.pairs**2 / pairs + self.blocks**2 / blocks)


def is_known(noise: Noise | None) -> bool:
    """Whether a case's noise was seen often enough to go by it."""
    return noise is not None and noise.pairs >= KNOWN_PAIRS


def components(groups: Sequence[Sequence[float]], noise: Noise | None, prior: Prior) -> Components:
    """The variance components of block values grouped by pair.

    Args:
        groups: log ratios of blocks, one group a pair; no group is empty.
    """
    count = sum(len(group) for group in groups)
    size = count / len(groups)
    known = noise if is_known(noise) else None
    centres = [fmean(group) for group in groups]
    blocks = _within(groups, centres, known)
    grand = sum(len(group) * centre for group, centre in zip(groups, centres, strict=True)) / count
    between = sum(len(group) * (centre - grand) ** 2 for group, centre in zip(groups, centres, strict=True))
    expected, freedom = _expected(blocks, size, known, prior, alone=len(groups) == 1)
    if known is None and _refuted(expected, freedom, between, len(groups) - 1):
        freedom = 0
    total = freedom + len(groups) - 1
    square = max((freedom * expected + between) / total, blocks)
    pairs = max(0.0, square - blocks) / size
    # Pairs of unequal sizes weigh unequally in the mean; of equal ones this is square / count.
    weight = sum(len(group) ** 2 for group in groups) / count**2
    error = math.sqrt(pairs * weight + blocks / count)
    return Components(math.sqrt(blocks), math.sqrt(pairs), error, total)


def pooled_noise(groups: Sequence[Sequence[float]], *, same_code: bool = True) -> Noise:
    """What one comparison of unchanged code shows, as sums that add up over comparisons.

    Args:
        groups: log ratios of blocks, one group a pair; no group is empty.
        same_code: the true change is zero. Else it is near zero and unknown: the mean is taken out, at the
            cost of one degree of freedom.
    """
    count = sum(len(group) for group in groups)
    centres = [fmean(group) for group in groups]
    middle = 0.0 if same_code else sum(v for group in groups for v in group) / count
    around = list(zip(groups, centres, strict=True))
    return Noise(
        between=sum(len(group) * (centre - middle) ** 2 for group, centre in around),
        pairs=len(groups) - (not same_code),
        within=sum((value - centre) ** 2 for group, centre in around for value in group),
        freedom=within_freedom(groups),
        comparisons=1,
    )


def pair_size(noise: Noise) -> float:
    """Blocks in a pair, on average: each comparison gave up a degree of freedom for levelling."""
    return 1 + (noise.freedom + noise.comparisons) / noise.pairs


def within_freedom(groups: Sequence[Sequence[float]]) -> int:
    """Degrees of freedom of blocks within pairs: one went into levelling them."""
    return max(0, sum(len(group) - 1 for group in groups) - 1)


def _refuted(expected: float, freedom: int, between: float, pairs: int) -> bool:
    """Whether the pairs scatter so much more than assumed that the assumption is worth nothing: an F test."""
    if not pairs or not freedom or expected <= 0:
        return False
    return between / pairs / expected > float(fdtri(pairs, freedom, 1 - REFUTED))


def _within(groups: Sequence[Sequence[float]], centres: Sequence[float], known: Noise | None) -> float:
    """Variance of blocks within pairs."""
    total = sum(
        (value - centre) ** 2 for group, centre in zip(groups, centres, strict=True) for value in group
    )
    freedom = float(within_freedom(groups))
    if known is not None and known.freedom:
        weight = min(1.0, MOST_KNOWN_FREEDOM / known.freedom)
        total, freedom = total + weight * known.within, freedom + weight * known.freedom
    return total / freedom if freedom else 0.0


def _expected(
    blocks: float, size: float, known: Noise | None, prior: Prior, *, alone: bool
) -> tuple[float, int]:
    """The mean square between pairs that is expected beforehand, and its degrees of freedom."""
    if known is None:
        least = prior.alone if alone else prior.least
        return blocks + size * max(prior.ratio * blocks + prior.least**2, least**2), prior.freedom
    own = known.within / known.freedom if known.freedom else 0.0
    pairs = max(0.0, known.between / known.pairs - own) / pair_size(known)
    return blocks + size * pairs, min(known.pairs, MOST_KNOWN_FREEDOM)
