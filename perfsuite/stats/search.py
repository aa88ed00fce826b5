"""Which commit to measure next: between a good and a bad one, and over a range that has gaps. Pure.

Commits are numbers in the order of history.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

_SKIP_REACH = 7
"""How much of the balance is given up to get away from a commit that cannot be measured: its neighbours are
often broken as well. A seventh: of 64 commits with the middle one broken, the split is 28 to 36."""


class State(StrEnum):
    """What a measurement says of a commit."""

    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"
    """It does not build, or does not have the case."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """The first bad commit is one of those after `good`, up to `bad`."""

    good: int
    bad: int

    @property
    def suspects(self) -> range:
        return range(self.good + 1, self.bad + 1)


def bracket(count: int, states: Mapping[int, State]) -> Bracket:
    """What is known of commits 0 (good) to `count` (bad)."""
    bad = min((n for n, state in states.items() if state is State.BAD), default=count)
    good = max((n for n, state in states.items() if state is State.GOOD and n < bad), default=0)
    return Bracket(good, bad)


def next_commit(count: int, states: Mapping[int, State]) -> int | None:
    """The commit to measure next; None when the first bad one is known, or nothing more can be.

    Without skipped commits at most ceil(log2(count)) are measured: always the middle one.
    """
    known = bracket(count, states)
    skipped = [n for n, state in states.items() if state is State.SKIPPED]
    candidates = [n for n in range(known.good + 1, known.bad) if n not in states]

    def worth(number: int) -> int:
        balance = min(number - known.good, known.bad - number)
        return min([balance, *(_SKIP_REACH * abs(number - other) for other in skipped)])

    return max(candidates, key=lambda number: (worth(number), -number), default=None)


def coarse_to_fine(count: int, known: Collection[int] = ()) -> list[int]:
    """All commits 0 to `count` - 1 but the known ones: the newest, the oldest, then the middle of every gap,
    the widest and of equals the newest first."""
    order: list[int] = []
    taken = set(known)
    for end in (count - 1, 0):
        if 0 <= end < count and end not in taken:
            order.append(end)
            taken.add(end)
    places = sorted(taken)
    # Negative: the heap gives the smallest, and the widest and newest gap is wanted.
    gaps = [(low - high, -low, -high) for low, high in itertools.pairwise(places)]
    heapq.heapify(gaps)
    while gaps:
        width, low, high = (-number for number in heapq.heappop(gaps))
        if width < 2:
            break
        middle = (low + high) // 2
        order.append(middle)
        for part in ((low, middle), (middle, high)):
            heapq.heappush(gaps, (part[0] - part[1], -part[0], -part[1]))
    return order
