"""How far the gate can be trusted, from what people made of its alerts and from unchanged code. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scipy.special import betaincinv

from perfsuite.model import Alert, AlertState, ComparisonReport, Verdict
from perfsuite.report.noise import Floor
from perfsuite.stats.alerts import US

CONFIDENCE = 0.95
_CHANGES = ("slower", "faster")
"""Kinds of alerts that say that a level moved."""
_MOVED = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.LESS_ACCURATE)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with Clopper and Pearson's exact interval (Biometrika 26, 1934)."""

    some: int
    all: int

    @property
    def value(self) -> float | None:
        return self.some / self.all if self.all else None

    @property
    def interval(self) -> tuple[float, float]:
        tail = (1 - CONFIDENCE) / 2
        rest = self.all - self.some
        low = float(betaincinv(self.some, rest + 1, tail)) if self.some else 0.0
        high = float(betaincinv(self.some + 1, rest, 1 - tail)) if rest else 1.0
        return low, high


@dataclass(frozen=True, slots=True)
class Triage:
    """The alerts of changes, by what was made of them."""

    counts: Counter[tuple[str, AlertState]]
    """(kind, state) → number, whoever decided."""
    noise: Share
    """Called noise, of those that a person decided; acknowledged ones count as changes."""
    taken_back: int
    """That perfsuite itself called noise: more points did not confirm them."""


@dataclass(frozen=True, slots=True)
class SameCode:
    """What a comparison of a commit with itself said."""

    cases: int
    moved: tuple[str, ...]
    """Cases that it called slower or faster: false alarms, the code being the same."""
    undecided: int
    resolution: float | None


def triage(alerts: Sequence[Alert]) -> Triage:
    """Counts the alerts of changes; missing and silent series are no statement about a level."""
    changes = [alert for alert in alerts if alert.kind in _CHANGES]
    decided = [a for a in changes if a.changed_by not in ("", US) and a.state is not AlertState.OPEN]
    noise = [alert for alert in decided if alert.state is AlertState.NOISE]
    return Triage(
        Counter((alert.kind, alert.state) for alert in changes),
        Share(len(noise), len(decided)),
        sum(alert.state is AlertState.NOISE and alert.changed_by == US for alert in changes),
    )


def same_code(report: ComparisonReport) -> SameCode:
    """Of a report of unchanged code."""
    timed = [one for one in report.comparisons if one.change is not None]
    return SameCode(
        cases=len(timed),
        moved=tuple(one.case for one in timed if one.verdict in _MOVED),
        undecided=sum(one.verdict is Verdict.INCONCLUSIVE for one in timed),
        resolution=report.resolution,
    )


@dataclass(frozen=True, slots=True)
class Sight:
    """What the cases of a machine can be seen to do."""

    cases: int
    known: int
    """Of which enough noise was seen to tell."""
    middle: float | None
    worst: float | None
    below: int
    """Cases that see a change as small as their threshold."""


def sight(floors: Sequence[Floor], thresholds: Sequence[float]) -> Sight:
    """The sum of a list of floors; `thresholds` are those of the same cases."""
    known = [(one.sees, limit) for one, limit in zip(floors, thresholds, strict=True) if one.sees is not None]
    sees = [value for value, _ in known]
    return Sight(
        cases=len(floors),
        known=len(known),
        middle=median(sees) if sees else None,
        worst=max(sees, default=None),
        below=sum(value <= limit for value, limit in known),
    )
