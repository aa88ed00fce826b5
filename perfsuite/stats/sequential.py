"""Looking at a comparison again and again while it grows, without being fooled by looking often.

A look is taken after every pair of processes. The interval of the j-th look spends the share 6 / (π² j²)
of the error, which sums to one over any number of looks: the intervals of all looks hold together with
`CONFIDENCE`, whenever measuring stops and for whatever reason (alpha spending: Lan and DeMets, Biometrika
70, 1983; a union bound over looks, so nothing is assumed of how they depend on each other).

Each interval is the wider of two: Student's t over the variance components (pairs, blocks in pairs), and
the exact signed-rank interval over blocks, which assumes symmetry alone.

A change is reported when a look finds it and *fresh* processes, started after that look, find it too. The
second test sees none of the samples of the first (only the levelling of blocks is shared), so both errors
multiply: with m cases the confirmation is held at 1 / m, and the chance of a false *regressed* anywhere in
the suite is at most m · (1 − CONFIDENCE) / 2 · 1 / m, one in 200.

That holds as far as the scatter between pairs is known: from the case's own noise, or from many pairs. With
two pairs of a case seen for the first time it rests on the prior (`components`): processes that differ by
much more than it allows, and agree by luck, can fool it. A single pair is therefore judged by the most that
processes were ever seen to differ by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from scipy.special import stdtrit

from perfsuite.model import Noise
from perfsuite.stats.components import Components, Prior, components, is_known
from perfsuite.stats.signed_rank import hodges_lehmann, interval

CONFIDENCE = 0.99
"""Of all intervals of a case together."""
MINIMUM_BLOCKS = 6
MINIMUM_PAIRS = 2
"""Below, no verdict where the case's noise is not known: what is constant in a process cannot be told from
the code."""
MINIMUM_KNOWN_BLOCKS = 3
"""Of a case whose noise is known, in one pair."""
LEAST_FAMILY = 16
"""A confirmation errs at most once in so many, however few cases there are: with `CONFIDENCE` at most one
false change in 1,600 comparisons of a case."""


class Direction(IntEnum):
    FASTER = -1
    NEITHER = 0
    SLOWER = 1


@dataclass(frozen=True, slots=True)
class Look:
    """What is known after a number of pairs; log ratios."""

    centre: float
    low: float
    high: float
    components: Components

    def beyond(self, limits: Limits) -> Direction:
        if self.low >= limits.slower:
            return Direction.SLOWER
        return Direction.FASTER if self.high <= limits.faster else Direction.NEITHER

    def within(self, limits: Limits) -> bool:
        return limits.faster < self.low and self.high < limits.slower


@dataclass(frozen=True, slots=True)
class Limits:
    """The threshold on both sides, as log ratios: what people set is the relative change that they read."""

    slower: float
    faster: float

    @classmethod
    def of(cls, threshold: float) -> Limits:
        """Raises: ValueError, a threshold of 100 % or more has no faster side."""
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold {threshold!r} is not a share below 1")
        return cls(math.log1p(threshold), math.log1p(-threshold))


@dataclass(frozen=True, slots=True)
class Progression:
    """Every look at one case, and what they say together."""

    looks: tuple[Look, ...]
    enough: bool
    """Blocks and pairs suffice for a verdict."""
    found: int | None
    """Pairs after which the change was first found, in the direction that the last look shows."""
    confirmed: bool
    """Fresh pairs found it too."""

    @property
    def last(self) -> Look:
        return self.looks[-1]


def spent(look: int) -> float:
    """The share of the error that the look (1, 2, …) may spend."""
    return 6 / (math.pi * look) ** 2


def progression(
    groups: Sequence[Sequence[float]],
    limits: Limits,
    *,
    noise: Noise | None,
    prior: Prior,
    family: int,
) -> Progression:
    """All looks at a case.

    Args:
        groups: log ratios of blocks, one group a pair, in the order of the pairs.
        noise: what is known of the case's noise.
        family: how many cases are judged together.
    """
    looks = tuple(
        look_at(groups[:count], (1 - CONFIDENCE) * spent(count), noise, prior)
        for count in range(1, len(groups) + 1)
    )
    direction = looks[-1].beyond(limits)
    found = None
    if direction is not Direction.NEITHER:
        found = next(count for count, look in enumerate(looks, 1) if look.beyond(limits) is direction)
    fresh = groups[found:] if found else ()
    return Progression(
        looks,
        _enough(groups, noise),
        found,
        confirmed=_confirmed(fresh, direction, limits, noise, prior, max(family, LEAST_FAMILY)),
    )


def look_at(groups: Sequence[Sequence[float]], error: float, noise: Noise | None, prior: Prior) -> Look:
    """The interval that misses the effect with at most the given error."""
    values = [value for group in groups for value in group]
    parts = components(groups, noise, prior)
    centre = hodges_lehmann(values)
    half = float(stdtrit(parts.freedom, 1 - error / 2)) * parts.error
    blocks = interval(values, 1 - error)
    return Look(centre, min(centre - half, blocks.low), max(centre + half, blocks.high), parts)


def _enough(groups: Sequence[Sequence[float]], noise: Noise | None) -> bool:
    count = sum(map(len, groups))
    if is_known(noise):
        return count >= MINIMUM_KNOWN_BLOCKS
    return count >= MINIMUM_BLOCKS and len(groups) >= MINIMUM_PAIRS


def _confirmed(
    fresh: Sequence[Sequence[float]],
    direction: Direction,
    limits: Limits,
    noise: Noise | None,
    prior: Prior,
    family: int,
) -> bool:
    """Whether any look at the fresh pairs alone finds the change, one-sided, at 1 / family in all."""
    return any(
        look_at(fresh[:count], 2 * spent(count) / family, noise, prior).beyond(limits) is direction
        for count in range(1, len(fresh) + 1)
    )
