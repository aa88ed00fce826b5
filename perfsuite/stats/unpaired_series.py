"""The unpaired comparison on series: what is said of a run when the runs before it are all there is."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from perfsuite.model import Verdict
from perfsuite.stats.between_runs import Moments, Step, steps_between
from perfsuite.stats.rules import Series
from perfsuite.stats.unpaired import by_noise

RULE_THRESHOLD = 0.02
"""Relevant change, as the configuration's default."""


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """What is said of one series between two of its runs."""

    verdict: Verdict
    """*regressed*, *improved*, *unchanged* or *inconclusive*."""
    change: float | None = None
    limit: float | None = None


def rule_pair(
    series: Series, base_index: int, head_index: int, controls: Sequence[Series] = ()
) -> PairVerdict:
    """Judges one series at two of its points with only what came before; controls are matched by commit.

    For many series of one pair of runs, `pair_verdicts` does all at once.
    """
    if not series.commits:
        return pair_verdicts([series], {series.id: (base_index, head_index)})[series.id]
    commits = series.commits[base_index], series.commits[head_index]
    others = {other.id: _find(other, *commits) for other in controls if other.id != series.id}
    places = {name: place for name, place in others.items() if place is not None}
    places[series.id] = (base_index, head_index)
    return pair_verdicts([series, *controls], places, set(others))[series.id]


def pair_verdicts(
    series: Sequence[Series],
    places: Mapping[str, tuple[int, int]],
    controls: Collection[str] = (),
    threshold: float = RULE_THRESHOLD,
) -> dict[str, PairVerdict]:
    """Judges many series between the same two runs.

    Args:
        series: all of them, the controls too.
        places: id → index of base and of head; series that are not in it are left out.
        controls: ids of the series whose code is the same on both sides. They are judged like the rest, each
            by the other ones.
        threshold: relevant change.
    """
    chosen = {one.id: one for one in series if one.id in places}
    cases = {}
    for name, one in chosen.items():
        base, head = (one.values[index] for index in places[name])
        if min(base, head) > 0 and math.isfinite(base + head):
            cases[name] = Moments(base, head, one.values[: places[name][0]])
    steps = steps_between(cases, frozenset(controls)).cases
    return {
        name: _pair_verdict(steps.get(name), threshold, one.lower_is_better) for name, one in chosen.items()
    }


def _pair_verdict(step: Step | None, threshold: float, lower_is_better: bool) -> PairVerdict:
    if step is None:
        return PairVerdict(Verdict.INCONCLUSIVE)
    verdict, _ = by_noise(step, threshold)
    if not lower_is_better:
        mirrored = {Verdict.REGRESSED: Verdict.IMPROVED, Verdict.IMPROVED: Verdict.REGRESSED}
        verdict = mirrored.get(verdict, verdict)
    return PairVerdict(verdict, math.expm1(step.change), step.limit)


def _find(series: Series, base: str, head: str) -> tuple[int, int] | None:
    if base in series.commits and head in series.commits:
        return series.commits.index(base), series.commits.index(head)
    return None
