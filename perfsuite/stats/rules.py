"""What a rule on histories is given and what it answers: ours and every baseline speak these types.

A rule is asked one question: where did the level of this series change? Rules that only know regressions are
asked it for both directions, so that all can be scored on the same marks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

SAME_EVENT_POINTS = 5
"""An alarm this close after another of the same direction belongs to it: the margin of the scores."""


SENSITIVITIES = (0.4, 0.43, 0.46, 0.5, 0.55, 0.6, 0.7)
"""What a rule with a sensitivity is scored at beside its default of 1: less of it, fewer alarms."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one case in one environment, in history order.

    `values` may be zero or negative; NaN is a missing point. `low` and `high` are the spread within a run
    (p20 and p80 and the like); they, `times` (epoch seconds) and `commits` are as long as `values` or empty.
    `boundaries` are the first points of a new environment: a boundary, no regression.
    """

    id: str
    values: tuple[float, ...]
    lower_is_better: bool = True
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    times: tuple[float, ...] = ()
    commits: tuple[str, ...] = ()
    boundaries: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Series:
        """The points `start` up to, not including, `stop`."""
        return dataclasses.replace(
            self,
            values=self.values[start:stop],
            low=self.low[start:stop],
            high=self.high[start:stop],
            times=self.times[start:stop],
            commits=self.commits[start:stop],
            boundaries=tuple(b - start for b in self.boundaries if start < b < stop),
        )


@dataclass(frozen=True, slots=True)
class Alarm:
    """One change that a rule reports.

    `index` is the first point of the new level; `seen` the newest point that was needed to raise the alarm,
    so `seen - index` is its delay; `change` the relative change, new/old - 1, as the rule estimates it (where
    that has no meaning, as for negative values, only its sign counts).
    """

    index: int
    seen: int
    change: float


class Rule(Protocol):
    """A decision rule on one series. The same series gives the same alarms, in order of their index."""

    @property
    def name(self) -> str: ...

    def __call__(self, series: Series) -> list[Alarm]: ...


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule from a function."""

    name: str
    function: Callable[[Series], list[Alarm]]

    def __call__(self, series: Series) -> list[Alarm]:
        return self.function(series)


@dataclass(frozen=True, slots=True)
class Found:
    """A change found by a rule that looks at a whole series at once."""

    index: int
    change: float


def events(alarms: Sequence[Alarm], within: int = SAME_EVENT_POINTS) -> list[Alarm]:
    """Alarms of one shift as one event: the first of each chain.

    A chain goes on while the next alarm of the same direction comes at most `within` points after the last:
    what a rule against a slowly adapting baseline raises until the baseline has followed.
    """
    kept: list[Alarm] = []
    last: dict[bool, int] = {}
    for alarm in sorted(alarms, key=lambda a: (a.index, a.seen)):
        up = alarm.change > 0
        if up not in last or alarm.index - last[up] > within:
            kept.append(alarm)
        last[up] = alarm.index
    return kept


@dataclass(frozen=True, slots=True)
class LookingBack:
    """A rule that judges a whole series at once, and would have told of a change some points after it.

    `context`: so many points before a change suffice to find out when.
    """

    name: str
    find: Callable[[Series], Sequence[Found]]
    context: int | None = None

    def __call__(self, series: Series) -> list[Alarm]:
        return with_delay(self.find, series, context=self.context)

    def in_the_end(self, series: Series) -> list[Alarm]:
        """The same alarms, as if told with the newest point: without the search for when they were."""
        return [Alarm(found.index, len(series) - 1, found.change) for found in self.find(series)]

    def when_told(self, series: Series, alarm: Alarm) -> Alarm:
        """One of these with the point that it was told with."""
        found = Found(alarm.index, alarm.change)
        return Alarm(found.index, _first_seen(self.find, series, found, self.context), found.change)


def with_delay(
    find: Callable[[Series], Sequence[Found]], series: Series, context: int | None = None
) -> list[Alarm]:
    """Alarms of a rule that looks back, with the point at which an online user would first have been told.

    `find` runs on the prefixes that end at the change, one point later, and so on, until it finds a change of
    the same direction at most `SAME_EVENT_POINTS` away; after twice as many points in growing steps, so that
    such delays are rounded up by at most a quarter. `context`: so many points before the change suffice.
    """
    return [
        Alarm(found.index, _first_seen(find, series, found, context), found.change) for found in find(series)
    ]


def _first_seen(
    find: Callable[[Series], Sequence[Found]], series: Series, found: Found, context: int | None
) -> int:
    start = 0 if context is None else max(0, found.index - context)
    seen, newest = found.index, len(series) - 1
    while seen < newest:
        told = find(series.part(start, seen + 1))
        near = (f for f in told if abs(f.index + start - found.index) <= SAME_EVENT_POINTS)
        if any((f.change > 0) == (found.change > 0) for f in near):
            return seen
        waited = seen - found.index
        seen += 1 if waited < 2 * SAME_EVENT_POINTS else max(1, waited // 4)
    return newest
