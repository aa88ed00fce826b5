"""What is said of it: comparisons, verdicts, findings, alerts. Shares are fractions, slower is positive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from perfsuite.model.measured import Params, Run


class Verdict(StrEnum):
    """What a comparison says of one case. See the glossary in the README."""

    INCORRECT = "incorrect"
    FAILED = "failed"
    REGRESSED = "regressed"
    LESS_ACCURATE = "less accurate"
    """Faster, but its error grew beyond its own noise. Not red: the tolerance still holds; as prominent."""
    IMPROVED = "improved"
    INCONCLUSIVE = "inconclusive"
    UNCHANGED = "unchanged"
    IDENTICAL = "identical"
    NEW = "new"
    REMOVED = "removed"

    @property
    def red(self) -> bool:
        """Whether it turns the gate red (exit code 1)."""
        return self in (Verdict.INCORRECT, Verdict.FAILED, Verdict.REGRESSED)


class Side(StrEnum):
    BASE = "base"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class Noise:
    """What comparisons of unchanged code showed of one case: sums over log ratios, so that they add up."""

    between: float = 0.0
    """Σ over pairs of (blocks of the pair) × (centre of the pair)², the centre being about no change."""
    pairs: int = 0
    """Degrees of freedom of `between`."""
    within: float = 0.0
    """Σ over blocks of (block − its pair's centre)²."""
    freedom: int = 0
    """Degrees of freedom of `within`: blocks − pairs."""
    comparisons: int = 0

    def __add__(self, other: Noise) -> Noise:
        return Noise(
            self.between + other.between,
            self.pairs + other.pairs,
            self.within + other.within,
            self.freedom + other.freedom,
            self.comparisons + other.comparisons,
        )


def noise_key(case: str, version: str) -> str:
    """Noise is known of one version of a benchmark: what an earlier one showed says nothing of the next."""
    return f"{case}@{version}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Base and head measured together. Verdicts are recomputed from their stored samples."""

    id: str
    base: Run
    head: Run
    threshold: float
    started_at: datetime
    finished_at: datetime | None = None
    case_thresholds: Mapping[str, float] = field(default_factory=dict)
    """Glob of case → threshold, the first match wins."""
    noise: Mapping[str, Noise] = field(default_factory=dict)
    """`noise_key` → what was known of its noise when the comparison began: kept, so that verdicts stay."""
    kind: str = "compare"
    """`compare`, or `noise`: the same commit on both sides, everything timed."""


@dataclass(frozen=True, slots=True)
class CaseComparison:
    """The verdict on one case."""

    case: str
    family: str
    params: Params
    verdict: Verdict
    base_ns: float | None = None
    head_ns: float | None = None
    change: float | None = None
    """head/base − 1."""
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    floor: float | None = None
    """Noise floor: what unchanged code stays within; None while none is known."""
    pairs: int = 0
    rounds: int = 0
    why: tuple[str, ...] = ()
    blocks: int = 0
    confirmed: bool = False
    """Fresh processes, started after the change was found, saw it too."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What happened to one family, in one line, with its cases below."""

    family: str
    verdict: Verdict
    text: str
    cases: tuple[str, ...]
    kernel: str | None = None
    """Set where one kernel is what moved the cases of several families."""


class AlertState(StrEnum):
    """What a person made of an alert."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    EXPECTED = "expected"
    FIXED = "fixed"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Alert:
    """A change point, or a series that stopped arriving, that a person has to triage."""

    id: str
    """32 hex digits."""
    repository: str
    case: str
    fingerprint: str
    """Of the environment whose series it is."""
    kind: str
    """`slower`, `faster` or `missing`."""
    before: str
    """Sha of the last commit of the old level (of a missing series: its last commit)."""
    after: str
    """Sha of the first commit of the new level; empty for a missing series."""
    change: float | None
    low: float | None
    high: float | None
    raised_at: datetime
    state: AlertState = AlertState.OPEN
    reason: str = ""
    """Why it has this state."""
    changed_by: str = ""
    """Who set the state: a person, or `perfsuite`."""
    changed_at: datetime | None = None
    metric: str = "time"


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Everything a report of a comparison shows, recomputed from stored samples."""

    comparison: Comparison
    comparisons: tuple[CaseComparison, ...]
    findings: tuple[Finding, ...]
    resolution: float | None
    """Smallest change that this comparison would have seen: the median half-width of its intervals."""
    canaries: tuple[CaseComparison, ...] = ()
    """The pinned kernels, apart from the cases."""
    machine: str = ""
    """What the canaries say against the machine; empty where it stood still."""

    @property
    def red(self) -> bool:
        return any(c.verdict.red for c in self.comparisons)
