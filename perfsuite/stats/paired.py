"""The effect of a lockstep comparison: how much slower head is than base, and how sure that is.

The block is the unit of replication, nested in its pair of processes. Measured on an H200: from allocation to
allocation the log ratio of equal code scatters by 0.06 % to 0.7 % in ordinary kernels, whatever the number of
rounds. So rounds sharpen a block and say nothing about the next one.

1. A block's value is the median of log(head / base) over its matched rounds.
2. The centre is the Hodges–Lehmann estimate over all blocks; the interval is Wilcoxon's, exact.
3. What is constant in a pair of processes scatters about as much again from pair to pair (0.03 % to 0.44 %,
   the same H200), and blocks taken as independent do not see it. So the interval is stretched to hold every
   pair's own centre.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from perfsuite.model import Block, Result, Round
from perfsuite.stats.signed_rank import hodges_lehmann, interval, smallest_count

CONFIDENCE = 0.99
"""Of the interval. Eight blocks are the fewest that reach it; six and seven give their range."""
BLOCKS_FOR_CONFIDENCE = smallest_count(CONFIDENCE)
MINIMUM_BLOCKS = 6
"""Below, no verdict: the range of five blocks misses the effect in 6 % of cases, that of six in 3 %."""
MINIMUM_PAIRS = 2
"""Below, no verdict: what is constant in a process cannot be told from the code: 0.36 % for a copy."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Head against base, as relative changes (slower is positive)."""

    change: float
    low: float
    high: float
    pairs: int
    blocks: int
    rounds: int
    """Matched rounds that were used."""
    confidence: float
    """What the interval reaches: `CONFIDENCE` or more from `BLOCKS_FOR_CONFIDENCE` blocks on."""
    base_ns: float
    head_ns: float
    pair_changes: tuple[float, ...]
    """Each pair's own centre, in order of the pairs."""
    stretched: bool
    """Whether the pairs disagree by more than the blocks' interval."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of the samples, in words."""

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    @property
    def enough(self) -> bool:
        """Whether there are blocks and pairs enough for a verdict."""
        return self.blocks >= MINIMUM_BLOCKS and self.pairs >= MINIMUM_PAIRS


@dataclass(frozen=True, slots=True)
class _Matched:
    """One block's rounds of both sides, those that belong together."""

    pair: int
    rounds: tuple[tuple[Round, Round], ...]
    throttled: bool
    """No round was free of throttling: the throttled ones are used."""

    @property
    def value(self) -> float:
        return median(math.log(head.sample_ns / base.sample_ns) for base, head in self.rounds)


def paired_effect(base: Result, head: Result) -> Effect | None:
    """The effect over all blocks that both sides measured; None where no rounds belong together."""
    matched = _match(base.blocks, head.blocks)
    if not matched:
        return None
    values = [block.value for block in matched]
    centres = [
        hodges_lehmann([block.value for block in group])
        for _, group in groupby(matched, key=lambda block: block.pair)
    ]
    blocks = interval(values, CONFIDENCE)
    low, high = min(blocks.low, *centres), max(blocks.high, *centres)
    rounds = [pair for block in matched for pair in block.rounds]
    return Effect(
        change=math.expm1(hodges_lehmann(values)),
        low=math.expm1(low),
        high=math.expm1(high),
        pairs=len(centres),
        blocks=len(matched),
        rounds=len(rounds),
        confidence=blocks.confidence,
        base_ns=median(base_round.sample_ns for base_round, _ in rounds),
        head_ns=median(head_round.sample_ns for _, head_round in rounds),
        pair_changes=tuple(math.expm1(centre) for centre in centres),
        stretched=low < blocks.low or high > blocks.high,
        notes=_notes(matched, len(base.blocks), len(head.blocks)),
    )


def _match(base: Iterable[Block], head: Iterable[Block]) -> list[_Matched]:
    """Blocks by (pair, block), rounds by index, in that order; what has no counterpart is left out."""
    heads = {(block.pair, block.block): block for block in head}
    matched = []
    for base_block in sorted(base, key=lambda block: (block.pair, block.block)):
        head_block = heads.get((base_block.pair, base_block.block))
        if head_block is None:
            continue
        both = _match_rounds(_by_index(base_block.rounds), _by_index(head_block.rounds))
        free = tuple((a, b) for a, b in both if not (a.throttled or b.throttled))
        if both:
            matched.append(_Matched(base_block.pair, free or both, throttled=not free))
    return matched


def _by_index(rounds: Iterable[Round]) -> dict[int, Round]:
    """The round that counts for each index: a repetition replaces a throttled round, never a good one."""
    chosen: dict[int, Round] = {}
    for current in sorted(rounds, key=lambda r: r.order):
        former = chosen.get(current.index)
        if _usable(current) and (former is None or former.throttled):
            chosen[current.index] = current
    return chosen


def _match_rounds(base: Mapping[int, Round], head: Mapping[int, Round]) -> tuple[tuple[Round, Round], ...]:
    return tuple((base[index], head[index]) for index in sorted(base.keys() & head.keys()))


def _usable(current: Round) -> bool:
    """Below the timer's resolution a round has no time, and no logarithm."""
    return math.isfinite(current.sample_ns) and current.sample_ns > 0


def _notes(matched: list[_Matched], base_blocks: int, head_blocks: int) -> tuple[str, ...]:
    notes = []
    throttled = sum(block.throttled for block in matched)
    if throttled:
        notes.append(f"throttled throughout in {throttled} of {len(matched)} blocks: those rounds are used")
    missing = max(base_blocks, head_blocks) - len(matched)
    if missing:
        notes.append(f"{missing} blocks have no counterpart on the other side and are left out")
    return tuple(notes)
