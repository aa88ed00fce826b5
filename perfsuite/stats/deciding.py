"""What a case that is being measured still needs: asked between pairs, by whoever measures."""

from __future__ import annotations

from dataclasses import dataclass

from perfsuite.model import Comparison, Result
from perfsuite.stats.judge import terms_of
from perfsuite.stats.paired import Effect, paired_effect
from perfsuite.stats.sequential import Direction
from perfsuite.stats.settle import pairs_to_settle

HOPELESS_AFTER = 3
"""Pairs after which a case that even many more would not settle is left as it is."""


@dataclass(frozen=True, slots=True)
class Decider:
    """The rule that stops measuring: the same looks as in the report, so that both agree."""

    comparison: Comparison

    def __call__(self, base: Result, head: Result, family: int) -> int:
        """About how many more pairs the case needs; 0 where it is decided, or nothing would help."""
        effect = paired_effect(base, head, terms_of(head, self.comparison, family))
        return 0 if effect is None else _pairs_needed(effect)


def _pairs_needed(effect: Effect) -> int:
    if not effect.enough:
        return 1
    if effect.within or (effect.direction is not Direction.NEITHER and effect.confirmed):
        return 0
    if effect.direction is not Direction.NEITHER:
        return 1
    more = pairs_to_settle(effect)
    if more is None:
        return 0 if effect.pairs >= HOPELESS_AFTER else 1
    return more
