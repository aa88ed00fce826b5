"""The same commit measured twice, some time apart: whoever calls the second run changed is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from perfsuite.stats.rules import Alarm, Rule, Series
from perfsuite.stats.scoring import DataSet


@dataclass(frozen=True, slots=True)
class Rerun:
    """A series in which the commit of `second` is that of the point before."""

    series: Series
    second: int


@dataclass(frozen=True, slots=True)
class RerunRow:
    """How many of the reruns a rule calls changed.

    `at_once`: with nothing after the second run. `later`: with the whole history, where the change is said to
    lie between the two runs; for rules that look back, None for those that judge two runs only.
    """

    rule: str
    data: str
    reruns: int
    at_once: int
    later: int | None

    @property
    def share(self) -> float:
        """Of reruns called changed by either."""
        return max(self.at_once, self.later or 0) / self.reruns


RerunJudge = Callable[[Sequence[Rerun]], Sequence[int]]
"""Judges all second runs together: 1 regressed, -1 improved, else 0."""


def reruns(data: DataSet) -> list[Rerun]:
    """All reruns: neighbours whose commits are the same up to what follows a `-` (a tag)."""
    return [Rerun(series, index) for series in data.series for index in _second_runs(series)]


def score_reruns(rule: Rule, data: str, many: Sequence[Rerun]) -> RerunRow:
    """One row for a rule on histories."""
    at_once = sum(_says_so(rule(one.series.part(0, one.second + 1)), one.second) for one in many)
    whole = {id(one.series): rule(one.series) for one in many}
    later = sum(_says_so(whole[id(one.series)], one.second) for one in many)
    return RerunRow(rule.name, data, len(many), at_once, later)


def score_rerun_judge(name: str, judge: RerunJudge, data: str, many: Sequence[Rerun]) -> RerunRow:
    """One row for a rule on two runs."""
    return RerunRow(name, data, len(many), sum(verdict != 0 for verdict in judge(many)), None)


def _second_runs(series: Series) -> Iterator[int]:
    stems = [commit.partition("-")[0] for commit in series.commits]
    for index in range(1, len(stems)):
        if stems[index] and stems[index] == stems[index - 1]:
            yield index


def _says_so(alarms: Iterable[Alarm], second: int) -> bool:
    return any(alarm.index == second for alarm in alarms)
