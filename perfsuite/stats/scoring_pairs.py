"""Scores rules that compare two sets of samples: false alarms on A/A pairs, recall of planted slow-downs.

A comparison is drawn from measured A/A pairs: some pairs of processes, no block twice, their blocks shuffled,
the sides of each pair swapped or not; a slow-down is planted by multiplying what is head. Every comparison
with a slow-down has one without beside it, drawn apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from perfsuite.stats.injection import SIZES, seeded
from perfsuite.stats.scoring import Row, f1_of

PAIRS = 4
"""Pairs of processes in a comparison, or as many as were measured."""
DRAWS = 25
"""Comparisons drawn for each case and size."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Samples of both sides, ns per iteration, a row a round; odd rounds ran head first."""

    base: NDArray[np.float64]
    head: NDArray[np.float64]

    def swapped(self) -> Block:
        return Block(self.head, self.base)

    def slower(self, size: float) -> Block:
        """`size`: share by which head is slower."""
        return Block(self.base, self.head * (1 + size))


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One case on two sides: pairs of processes, each with its blocks."""

    case: str
    pairs: tuple[tuple[Block, ...], ...]

    def rounds(self, *, head: bool) -> NDArray[np.float64]:
        """The median of each round of one side, in the order measured."""
        return np.concatenate([np.median(side, axis=1) for side in self._sides(head)])

    def blocks(self, *, head: bool) -> NDArray[np.float64]:
        """The median of each block of one side."""
        return np.array([np.median(side) for side in self._sides(head)])

    def _sides(self, head: bool) -> list[NDArray[np.float64]]:
        return [block.head if head else block.base for blocks in self.pairs for block in blocks]


class PairRule(Protocol):
    """Judges a comparison: 1 regressed, -1 improved, 0 anything else."""

    @property
    def name(self) -> str: ...

    def __call__(self, compared: Compared) -> int: ...


@runtime_checkable
class Informed(Protocol):
    """A rule that may know beforehand how noisy the cases are."""

    def informed(self, cases: Sequence[Compared]) -> PairRule: ...


@dataclass(frozen=True, slots=True, eq=False)
class PairedData:
    """A/A pairs of one file, a `Compared` for each case with all that was measured."""

    name: str
    cases: tuple[Compared, ...]


def score_pairs(rule: PairRule, data: PairedData) -> Row | None:
    """A row whose `points` are comparisons; recall counts slow-downs called regressed."""
    if isinstance(rule, Informed):
        rule = rule.informed(data.cases)
    alarms, found, count = 0, dict.fromkeys(SIZES, 0), 0
    for size, quiet, slow in _drawn(data.cases):
        count += 1
        alarms += rule(quiet) != 0
        found[size] += rule(slow) > 0
    if not count:
        return None
    recall = {size: found[size] / (count / len(SIZES)) for size in SIZES}
    true = sum(found.values())
    precision = true / (true + alarms) if true + alarms else None
    return Row(
        rule=rule.name,
        data=data.name,
        series=len(data.cases),
        points=count,
        f1=f1_of(precision or 0.0, fmean(recall.values())),
        precision=precision,
        recall_labels=None,
        false_alarms_per_1000=1000 * alarms / count,
        recall=recall,
        delay=None,
    )


def _drawn(cases: Sequence[Compared]) -> Iterator[tuple[float, Compared, Compared]]:
    """Size, a comparison without and one with a slow-down of that size."""
    for case in cases:
        generator = seeded(f"comparisons of {case.case}")
        for size in SIZES:
            for _ in range(DRAWS):
                quiet, slow = _draw(case, generator), _draw(case, generator)
                pairs = tuple(tuple(block.slower(size) for block in pair) for pair in slow.pairs)
                yield size, quiet, Compared(case.case, pairs)


def _draw(case: Compared, generator: np.random.Generator) -> Compared:
    chosen = generator.permutation(len(case.pairs))[:PAIRS]
    pairs = []
    for index in chosen:
        blocks = case.pairs[index]
        ordered = [blocks[i] for i in generator.permutation(len(blocks))]
        swap = generator.random() < 0.5
        pairs.append(tuple(block.swapped() if swap else block for block in ordered))
    return Compared(case.case, tuple(pairs))
