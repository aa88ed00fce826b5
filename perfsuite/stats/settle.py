"""What it would take to decide an inconclusive case, in words."""

from __future__ import annotations

import math

from scipy.special import stdtrit

from perfsuite.stats.paired import Effect
from perfsuite.stats.sequential import (
    CONFIDENCE,
    MINIMUM_BLOCKS,
    MINIMUM_KNOWN_BLOCKS,
    MINIMUM_PAIRS,
    Direction,
    spent,
)
from perfsuite.units import format_share

MOST_PAIRS = 24
"""A pair of processes takes 3 to 6 s to start: beyond, the answer is another threshold, not patience."""
_DOMINANT = 2.0
"""One variance component is named where it is at least so many times the other."""


def what_settles(effect: Effect, threshold: float) -> str:
    """One sentence: why the case is not decided, and what would decide it."""
    limit = format_share(threshold, signed=False)
    if not effect.enough:
        blocks, pairs = (MINIMUM_KNOWN_BLOCKS, 1) if effect.known else (MINIMUM_BLOCKS, MINIMUM_PAIRS)
        return (
            f"{_count(effect.blocks, 'block')} in {_count(effect.pairs, 'pair')}: a verdict needs at least "
            f"{blocks} blocks in {_count(pairs, 'pair')}"
        )
    if effect.direction is not Direction.NEITHER:
        word = "slower" if effect.direction is Direction.SLOWER else "faster"
        return (
            f"{word} by more than the threshold of {limit} so far, not yet confirmed by fresh processes: "
            "measure again, or with --profile full"
        )
    more = pairs_to_settle(effect)
    where = _scatter(effect)
    if more is None:
        return (
            f"even {MOST_PAIRS} pairs would hardly settle it against the threshold of {limit}: "
            f"the change is too near to it, or the case too noisy ({where})"
        )
    return (
        f"about {_count(more, 'more pair')} of processes would settle it against the "
        f"threshold of {limit} ({where})"
    )


def _scatter(effect: Effect) -> str:
    """`pairs scatter by 0.31 %, blocks in a pair by 0.08 %`."""
    parts = effect.progression.last.components
    pairs, blocks = (format_share(value, signed=False) for value in (parts.pairs, parts.blocks))
    if parts.pairs > _DOMINANT * parts.blocks:
        low, high = min(effect.pair_changes), max(effect.pair_changes)
        return f"the pairs disagree: {format_share(low)} … {format_share(high)}"
    rounds = effect.round_error
    # Blocks scatter at least by what their rounds leave open: then longer blocks help as much as more pairs.
    share = f", of which rounds {format_share(rounds, signed=False)}" if rounds > parts.blocks / 2 else ""
    return f"pairs scatter by {pairs}, blocks in a pair by {blocks}{share}"


def pairs_to_settle(effect: Effect) -> int | None:
    """How many more pairs until the interval no longer crosses a limit, if the scatter stays what it is.

    None where even `MOST_PAIRS` would not do.
    """
    look, limits = effect.progression.last, effect.limits
    room = min(abs(limits.slower - look.centre), abs(look.centre - limits.faster))
    size = effect.blocks / effect.pairs
    for pairs in range(effect.pairs + 1, MOST_PAIRS + 1):
        freedom = look.components.freedom + pairs - effect.pairs
        quantile = float(stdtrit(freedom, 1 - (1 - CONFIDENCE) * spent(pairs) / 2))
        if quantile * look.components.error_of(pairs, math.ceil(pairs * size)) < room:
            return pairs - effect.pairs
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
