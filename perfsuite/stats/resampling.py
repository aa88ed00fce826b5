"""How often our sequential comparison is wrong, and what it takes: measured A/A pairs, drawn again and again.

A comparison is walked as it would be measured: a pair of processes is drawn (with its blocks, in random order
and the sides swapped or not), judged, and if undecided the next is drawn, up to `MOST_PAIRS`. A slow-down is
planted by adding its logarithm to every block of head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from perfsuite.model import Noise
from perfsuite.stats.components import DEVICE_PRIOR, pooled_noise
from perfsuite.stats.injection import seeded
from perfsuite.stats.noise import floor_of
from perfsuite.stats.scoring_pairs import Block, Compared
from perfsuite.stats.sequential import Direction, Limits, progression

MOST_PAIRS = 8
"""As in the profile `pr`."""
FAMILY = 29
"""Cases judged together: what a confirmation is held to. The W4A8 suite has so many."""
THRESHOLD = 0.0025
"""Half of the smallest slow-down that is to be seen."""
SIZES = (0.0, 0.005, 0.01, 0.02)
Groups = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Resampled:
    """What came of the comparisons of one case with one planted size."""

    case: str
    size: float
    draws: int
    slower: int
    faster: int
    unchanged: int
    covered: int
    """Comparisons whose interval holds the planted change."""
    pairs: float
    """Pairs to the end of a comparison, on average."""
    blocks: float
    floor: float | None


def block_ratio(block: Block) -> float:
    """Log ratio of a block: rounds two by two, A B and B A, as in a comparison."""
    ratios = np.log(np.median(block.head, axis=1)) - np.log(np.median(block.base, axis=1))
    even, odd = ratios[0::2], ratios[1::2]
    count = min(len(even), len(odd))
    return float(median((even[:count] + odd[:count]) / 2)) if count else float(median(ratios))


def groups_of(case: Compared) -> Groups:
    """Log ratios of blocks by pair."""
    return tuple(tuple(block_ratio(block) for block in pair) for pair in case.pairs)


def resample(
    case: Compared, size: float, draws: int, *, known: bool, threshold: float = THRESHOLD
) -> Resampled:
    """Draw comparisons of one case.

    Args:
        size: planted slow-down, 0: equal code.
        known: judged with the noise that all measured pairs show, as after `perfsuite noise`; else without.
    """
    groups = groups_of(case)
    noise = pooled_noise(groups) if known else None
    generator = seeded(f"{case.case} {size} {known}")
    limits, planted = Limits.of(threshold), math.log1p(size)
    counts = dict.fromkeys(Direction, 0)
    unchanged = covered = pairs = blocks = 0
    for _ in range(draws):
        walked = _walk(groups, planted, limits, noise, generator)
        counts[walked.direction] += 1
        unchanged += walked.unchanged
        covered += walked.low <= planted <= walked.high
        pairs, blocks = pairs + walked.pairs, blocks + walked.blocks
    return Resampled(
        case.case,
        size,
        draws,
        counts[Direction.SLOWER],
        counts[Direction.FASTER],
        unchanged,
        covered,
        pairs / draws,
        blocks / draws,
        floor_of(noise),
    )


@dataclass(frozen=True, slots=True)
class _Walked:
    direction: Direction
    unchanged: bool
    low: float
    high: float
    pairs: int
    blocks: int


def _walk(
    groups: Groups, planted: float, limits: Limits, noise: Noise | None, generator: np.random.Generator
) -> _Walked:
    drawn: list[tuple[float, ...]] = []
    while True:
        pair = groups[generator.integers(len(groups))]
        sign = 1 if generator.random() < 0.5 else -1
        drawn.append(tuple(sign * pair[i] + planted for i in generator.permutation(len(pair))))
        steps = progression(drawn, limits, noise=noise, prior=DEVICE_PRIOR, family=FAMILY)
        last = steps.last
        unchanged = steps.enough and last.within(limits)
        changed = steps.enough and steps.confirmed
        if unchanged or changed or len(drawn) == MOST_PAIRS:
            direction = last.beyond(limits) if changed else Direction.NEITHER
            return _Walked(direction, unchanged, last.low, last.high, len(drawn), sum(map(len, drawn)))


def permits(floor: float | None, size: float, threshold: float = THRESHOLD) -> bool:
    """Whether a case's noise floor permits seeing a size: it fits twice between size and threshold."""
    return floor is not None and 2 * floor <= size - threshold


@dataclass(frozen=True, slots=True)
class SequentialRule:
    """Ours on two sets of samples measured together: any change at all, confirmed.

    Args:
        noise: case → what is known of it; a case without is judged as in a new store.
    """

    noise: Mapping[str, Noise] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "perfsuite"

    def informed(self, cases: Sequence[Compared]) -> SequentialRule:
        """With the noise that all measured pairs of equal code show, as after `perfsuite noise`."""
        return SequentialRule({case.case: pooled_noise(groups_of(case)) for case in cases})

    def __call__(self, compared: Compared) -> int:
        """1 regressed, −1 improved, 0 anything else."""
        limits, noise = Limits.of(0.0), self.noise.get(compared.case)
        steps = progression(groups_of(compared), limits, noise=noise, prior=DEVICE_PRIOR, family=FAMILY)
        return int(steps.last.beyond(limits)) if steps.enough and steps.confirmed else 0
