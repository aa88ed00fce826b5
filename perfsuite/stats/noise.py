"""Noise floors: what comparisons of unchanged code showed, and what a gate can see because of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from perfsuite.model import ComparisonReport, Noise, Result
from perfsuite.stats.components import is_known, pair_size, pooled_noise
from perfsuite.stats.paired import block_values

FLOOR_ERROR = 3.29
"""Standard normal quantile of 99.9 %, two-sided: at most one comparison of equal code in 1,000 is beyond."""
STANDARD_PAIRS, STANDARD_BLOCKS = 2, 8
"""What the floor is told for: the shortest ordinary comparison, two pairs of four blocks."""


def noise_of(base: Result, head: Result, *, same_code: bool) -> Noise | None:
    """What one comparison of unchanged code adds to what is known of a case; None without matched blocks.

    Args:
        same_code: the true change is zero. Else it is near zero and unknown: its own mean is taken out, at
            the cost of one degree of freedom.
    """
    groups = block_values(base, head)
    return pooled_noise(groups, same_code=same_code) if groups else None


def floor_of(noise: Noise | None, pairs: int = STANDARD_PAIRS, blocks: int = STANDARD_BLOCKS) -> float | None:
    """The relative change that a comparison of unchanged code stays within, 999 times in 1,000.

    None where too little of it was seen.
    """
    if noise is None or not is_known(noise):
        return None
    within = noise.within / noise.freedom if noise.freedom else 0.0
    size = pair_size(noise)
    between = max(0.0, noise.between / noise.pairs - within) / size
    return math.expm1(min(700.0, FLOOR_ERROR * math.sqrt(between / pairs + within / blocks)))


def noise_by_case(
    report: ComparisonReport, base: Sequence[Result], head: Sequence[Result]
) -> dict[str, tuple[str, Noise]]:
    """Case → version, and what this comparison adds to what is known of its noise.

    All timed cases count, changed ones too, each around its own mean: leaving out those that look changed, or
    that were not decided, would make the noise look smaller than it is. Around none at all where both sides
    are the same code.
    """
    bases = {result.case: result for result in base}
    heads = {result.case: result for result in head}
    found = {}
    for compared in (*report.comparisons, *report.canaries):
        before, after = bases.get(compared.case), heads.get(compared.case)
        if before is None or after is None or before.version != after.version:
            continue
        same = report.comparison.kind == "noise" or before.launches.same_code(after.launches)
        noise = noise_of(before, after, same_code=same) if compared.change is not None else None
        if noise is not None and noise.pairs:
            found[compared.case] = (after.version, noise)
    return found
