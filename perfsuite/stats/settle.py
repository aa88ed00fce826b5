"""What it would take to decide an inconclusive case, in words."""

from __future__ import annotations

import math

from perfsuite.stats.paired import BLOCKS_FOR_CONFIDENCE, MINIMUM_BLOCKS, MINIMUM_PAIRS, Effect
from perfsuite.units import format_share

MOST_BLOCKS = 200
"""A pair of processes takes 3 to 6 s to start: beyond, the answer is another threshold, not patience."""


def what_settles(effect: Effect, threshold: float) -> str:
    """One sentence: how many blocks or pairs more, if the half-width shrinks as 1/√blocks."""
    if not effect.enough:
        return (
            f"{effect.blocks} blocks in {effect.pairs} pairs: a verdict needs at least {MINIMUM_BLOCKS} "
            f"blocks in {MINIMUM_PAIRS} pairs"
        )
    limit = format_share(threshold, signed=False)
    needed = _blocks_needed(effect, threshold)
    disagree = _disagreement(effect) if effect.stretched else ""
    if needed > MOST_BLOCKS:
        return (
            f"{disagree}even {MOST_BLOCKS} blocks would hardly settle it against the threshold of {limit}: "
            "the change is too near to it, or the case too noisy"
        )
    where = ", in new pairs," if effect.stretched else ""
    more = needed - effect.blocks
    return f"{disagree}about {more} more blocks{where} would settle it against the threshold of {limit}"


def _disagreement(effect: Effect) -> str:
    low, high = min(effect.pair_changes), max(effect.pair_changes)
    return f"the pairs disagree ({format_share(low)} … {format_share(high)}): "


def confidence_note(effect: Effect) -> str | None:
    """Said where too few blocks for the full confidence decided."""
    if effect.blocks >= BLOCKS_FOR_CONFIDENCE:
        return None
    reached = format_share(effect.confidence, signed=False)
    return f"{effect.blocks} blocks: the interval holds with {reached}, {BLOCKS_FOR_CONFIDENCE} reach 99 %"


def _blocks_needed(effect: Effect, threshold: float) -> float:
    """Blocks until the side of the interval that crosses the threshold no longer does."""
    above, below = effect.high - effect.change, effect.change - effect.low
    if effect.change >= threshold:
        shrink = _ratio(below, effect.change - threshold)
    elif effect.change <= -threshold:
        shrink = _ratio(above, -threshold - effect.change)
    else:
        shrink = max(_ratio(above, threshold - effect.change), _ratio(below, effect.change + threshold))
    needed = effect.blocks * shrink * shrink
    return max(effect.blocks + 1, math.ceil(needed)) if math.isfinite(needed) else math.inf


def _ratio(width: float, room: float) -> float:
    return width / room if room > 0 else math.inf
