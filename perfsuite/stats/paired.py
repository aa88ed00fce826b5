"""The effect of a lockstep comparison: how much slower head is than base, and how sure that is.

The block is the unit of replication, nested in its pair of processes. Measured on an H200: from allocation to
allocation the log ratio of equal code scatters by 0.06 % to 0.7 % in ordinary kernels, whatever the number of
rounds. So rounds sharpen a block and say nothing about the next one. A block's value is a median over its
matched rounds, two by two: A B and B A. Whoever runs second in such a round has just been given the GPU,
which may cost it 2 % (an op of 16 µs, the same H200), and in two rounds both sides pay that once. Blocks are
levelled likewise: what allocating second costs a side is taken out, the order alternates. The rest is in
`components` and `sequential`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, median, stdev

from perfsuite.model import Block, Noise, Result, Round
from perfsuite.stats.components import is_known, prior_of
from perfsuite.stats.sequential import Direction, Limits, Progression, progression
from perfsuite.stats.signed_rank import hodges_lehmann

MEDIAN_ERROR = 1.2533
"""Standard error of a median over that of a mean, of normal values: √(π / 2)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a case is judged against.

    Args:
        threshold: the relevant change.
        noise: what is known of the case's noise, None where nothing is.
        family: how many cases are judged together.
    """

    threshold: float
    noise: Noise | None = None
    family: int = 1


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
    base_ns: float
    head_ns: float
    pair_changes: tuple[float, ...]
    """Each pair's own centre, in order of the pairs."""
    progression: Progression
    limits: Limits
    round_error: float = 0.0
    """Standard error of a block's value that comes from its rounds alone, a log ratio; the median block's."""
    known: bool = False
    """Whether the case's noise is known."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of the samples, in words."""

    @property
    def enough(self) -> bool:
        """Whether there are blocks and pairs enough for a verdict."""
        return self.progression.enough

    @property
    def direction(self) -> Direction:
        """Where the whole interval lies."""
        return self.progression.last.beyond(self.limits)

    @property
    def confirmed(self) -> bool:
        return self.progression.confirmed

    @property
    def within(self) -> bool:
        return self.progression.last.within(self.limits)


@dataclass(frozen=True, slots=True)
class _Matched:
    """One block's rounds of both sides, those that belong together."""

    pair: int
    block: int
    rounds: tuple[tuple[Round, Round], ...]
    throttled: bool
    """No round was free of throttling: the throttled ones are used."""

    @property
    def order(self) -> int:
        """1 where base allocated first, else −1: they take turns."""
        return 1 if (self.pair + self.block) % 2 == 0 else -1

    @property
    def value(self) -> float:
        """The block's log ratio."""
        return median(self._duos())

    @property
    def error(self) -> float:
        """Standard error of the value over the rounds; 0 where one round says nothing of it."""
        duos = self._duos()
        return MEDIAN_ERROR * stdev(duos) / math.sqrt(len(duos)) if len(duos) > 1 else 0.0

    def _duos(self) -> list[float]:
        base_first = [_log_ratio(base, head) for base, head in self.rounds if base.order < head.order]
        head_first = [_log_ratio(base, head) for base, head in self.rounds if base.order > head.order]
        if not base_first or not head_first:
            return [_log_ratio(base, head) for base, head in self.rounds]
        # Neighbours in time as long as no round is missing.
        return [(a + b) / 2 for a, b in zip(base_first, head_first, strict=False)]


def _log_ratio(base: Round, head: Round) -> float:
    # Not the logarithm of a quotient, which could be 0 or infinite.
    return math.log(head.sample_ns) - math.log(base.sample_ns)


def block_values(base: Result, head: Result) -> tuple[tuple[float, ...], ...]:
    """Log ratios of matched blocks, one group a pair, in the order of the pairs."""
    return _grouped(_match(base.blocks, head.blocks))


def paired_effect(base: Result, head: Result, terms: Terms) -> Effect | None:
    """The effect over all blocks that both sides measured; None where no rounds belong together.

    Raises:
        ValueError: the threshold is not a share below 1.
    """
    matched = _match(base.blocks, head.blocks)
    if not matched:
        return None
    groups, limits = _grouped(matched), Limits.of(terms.threshold)
    steps = progression(groups, limits, noise=terms.noise, prior=prior_of(head.timer), family=terms.family)
    rounds = [pair for block in matched for pair in block.rounds]
    return Effect(
        change=_expm1(steps.last.centre),
        low=_expm1(steps.last.low),
        high=_expm1(steps.last.high),
        pairs=len(groups),
        blocks=len(matched),
        rounds=len(rounds),
        base_ns=median(base_round.sample_ns for base_round, _ in rounds),
        head_ns=median(head_round.sample_ns for _, head_round in rounds),
        pair_changes=tuple(_expm1(hodges_lehmann(group)) for group in groups),
        progression=steps,
        round_error=median(block.error for block in matched),
        limits=limits,
        known=is_known(terms.noise),
        notes=_notes(matched, len(base.blocks), len(head.blocks)),
    )


def _expm1(value: float) -> float:
    """Finite whatever the samples: one block against a wild one has an interval without an end."""
    return math.expm1(min(value, 700.0))


def _grouped(matched: Sequence[_Matched]) -> tuple[tuple[float, ...], ...]:
    """Values by pair, levelled: what allocating first or second does is estimated and taken out."""
    groups = [list(group) for _, group in groupby(matched, key=lambda block: block.pair)]
    effect = _order_effect(groups)
    return tuple(tuple(block.value - effect * block.order for block in group) for group in groups)


def _order_effect(groups: Sequence[Sequence[_Matched]]) -> float:
    """Half the log ratio between blocks where head allocated second and those where base did; least squares.

    0 where no pair has blocks of both kinds.
    """
    shared, squares = 0.0, 0.0
    for group in groups:
        values, orders = [block.value for block in group], [float(block.order) for block in group]
        middle, turn = fmean(values), fmean(orders)
        shared += sum((v - middle) * (o - turn) for v, o in zip(values, orders, strict=True))
        squares += sum((o - turn) ** 2 for o in orders)
    return shared / squares if squares else 0.0


def _match(base: Iterable[Block], head: Iterable[Block]) -> list[_Matched]:
    """Blocks by (pair, block), rounds by index, in that order; what has no counterpart is left out."""
    heads = {(block.pair, block.block): block for block in head}
    bases = {(block.pair, block.block): block for block in base}
    matched = []
    for _, base_block in sorted(bases.items()):
        head_block = heads.get((base_block.pair, base_block.block))
        if head_block is None:
            continue
        both = _match_rounds(_by_index(base_block.rounds), _by_index(head_block.rounds))
        free = tuple((a, b) for a, b in both if not (a.throttled or b.throttled))
        if both:
            matched.append(_Matched(base_block.pair, base_block.block, free or both, throttled=not free))
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
