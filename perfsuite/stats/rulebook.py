"""Every rule by its name: ours and the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from perfsuite.errors import UsageError
from perfsuite.model import Verdict
from perfsuite.stats.baselines import BASELINES, PAIR_BASELINES
from perfsuite.stats.change_points import Settings, steps
from perfsuite.stats.resampling import SequentialRule
from perfsuite.stats.rules import LookingBack, NamedRule, Rule
from perfsuite.stats.scoring_pairs import PairRule
from perfsuite.stats.scoring_reruns import Rerun, RerunJudge
from perfsuite.stats.unpaired_series import pair_verdicts

OURS = "perfsuite"
_AT = "@"


def rule_names() -> list[str]:
    """Ours first."""
    return [OURS, *BASELINES]


def rule_named(name: str) -> Rule:
    """A rule on histories; `perfsuite@0.5` is ours at another sensitivity.

    Raises:
        UsageError: there is none of that name.
    """
    ours, at, sensitivity = name.partition(_AT)
    if ours == OURS:
        return _ours(name, _number(sensitivity) if at else 1.0)
    if name not in BASELINES:
        raise UsageError(f"there is no rule {name!r}", f"choose from {', '.join(rule_names())}")
    return BASELINES[name]


def at_sensitivity(sensitivity: float) -> str:
    """The name of ours at a sensitivity."""
    return f"{OURS}{_AT}{sensitivity:g}"


def quickly(rule: Rule) -> Rule:
    """The same alarms without the search for when they were told, where a rule looks back."""
    return NamedRule(rule.name, rule.in_the_end) if isinstance(rule, LookingBack) else rule


def _ours(name: str, sensitivity: float) -> Rule:
    settings = Settings(sensitivity=sensitivity)
    return LookingBack(name, lambda series: steps(series, settings))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{text!r} is no sensitivity", "give a positive number; 1 is the default")
    return number


def judge_reruns(many: Sequence[Rerun]) -> list[int]:
    """Ours on two runs of different days: all series of these runs together, none known to be a control."""
    runs: dict[tuple[str, ...], list[Rerun]] = {}
    for one in many:
        runs.setdefault(one.series.commits[one.second - 1 : one.second + 1], []).append(one)
    signs = {Verdict.REGRESSED: 1, Verdict.IMPROVED: -1}
    found: dict[tuple[str, int], int] = {}
    for group in runs.values():
        # The same two runs may come twice in a history; a series is judged once in each call.
        for batch in _each_once(group):
            places = {one.series.id: (one.second - 1, one.second) for one in batch}
            verdicts = pair_verdicts([one.series for one in batch], places)
            found |= {(o.series.id, o.second): signs.get(verdicts[o.series.id].verdict, 0) for o in batch}
    return [found[one.series.id, one.second] for one in many]


def _each_once(group: Sequence[Rerun]) -> list[list[Rerun]]:
    """Batches in which no series comes twice."""
    batches: list[dict[str, Rerun]] = []
    for one in group:
        batch = next((b for b in batches if one.series.id not in b), None)
        if batch is None:
            batches.append(batch := {})
        batch[one.series.id] = one
    return [list(batch.values()) for batch in batches]


PAIRED_RULES: dict[str, PairRule] = {OURS: SequentialRule(), **PAIR_BASELINES}
"""Rules that judge two sets of samples measured together."""
PAIR_RULES: dict[str, RerunJudge] = {OURS: judge_reruns}
"""Rules that judge two stored runs."""
