"""What a comparison says of a commit between a good and a bad one. Pure.

The first comparison, of the two ends, says what changed and by how much. A commit in between is on the good
or on the bad side of half of that change: its interval says so, not its verdict, for which half a change may
be too small. Where the interval holds both sides the nearer level decides, with a remark.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from perfsuite.model import CaseComparison, Commit, ComparisonReport, Status, Verdict
from perfsuite.stats.search import State
from perfsuite.units import format_share

_RED = (Verdict.INCORRECT, Verdict.FAILED)
_WRONG = (Status.INCORRECT, Status.FAILED)
_LARGEST_THRESHOLD = 0.5
"""Thresholds are shares below 1, and twice the time is told from ten times the time anyway."""
_ABSENT = (Verdict.NEW, Verdict.REMOVED)


class Kind(StrEnum):
    """What is searched for."""

    TIME = "time"
    INCORRECT = "incorrect"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Aim:
    """What the bad end did to the case."""

    kind: Kind
    change: float = 0.0
    """head/base - 1 of the two ends, where times are searched."""
    imported: bool = True
    """Whether the bad end can import the case's file: where it can, commits that cannot are passed over."""

    @property
    def half(self) -> float:
        """Commits between are good below it and bad above."""
        return abs(self.change) / 2

    @property
    def threshold(self) -> float | None:
        """Until it is decided against this, a commit between is measured; None where times do not matter."""
        return min(self.half, _LARGEST_THRESHOLD) if self.kind is Kind.TIME else None


@dataclass(frozen=True, slots=True)
class Step:
    """One commit that was compared, with the good end unless `base` says otherwise."""

    commit: Commit
    base: Commit
    state: State | None
    """None: not decided; it is measured once more."""
    verdict: str
    """Of the case, or `not measured`."""
    comparison: str = ""
    """Its id; empty where nothing could be measured."""
    change: float | None = None
    low: float | None = None
    high: float | None = None
    why: tuple[str, ...] = ()
    remark: str = ""
    """Why it was passed over, or that it was decided on weak evidence."""


@dataclass(frozen=True, slots=True)
class Bisected:
    """What came of a search."""

    case: str
    good: Commit
    bad: Commit
    commits: int
    """After `good`, up to `bad`."""
    kind: Kind | None
    """None: nothing to search for."""
    first_bad: Commit | None
    suspects: tuple[Commit, ...]
    """One of these is it, where that is all that can be known."""
    change: float | None
    """Of the first bad commit against its parent; where that is not known, of the ends."""
    low: float | None
    high: float | None
    why: tuple[str, ...]
    steps: tuple[Step, ...]
    remark: str = ""
    """What weakens the answer, or why there is none."""

    @property
    def comparisons(self) -> int:
        """How many were needed."""
        return len({step.comparison for step in self.steps if step.comparison})


def compared_case(report: ComparisonReport, case: str) -> CaseComparison | None:
    return next((compared for compared in report.comparisons if compared.case == case), None)


def aim_of(compared: CaseComparison, good: Status | None) -> Aim | None:
    """What the comparison of the two ends says there is to search for; None for nothing, or nothing certain.

    Args:
        good: how the case ended at the good end.
    """
    if compared.verdict in _RED:
        kind = Kind(compared.verdict.value)
        return None if good in _WRONG else Aim(kind, imported=was_imported(good))
    if compared.change is None or compared.verdict in (Verdict.IDENTICAL, Verdict.UNCHANGED, *_ABSENT):
        return None
    if compared.verdict is Verdict.INCONCLUSIVE and not _is_change(compared):
        return None
    return Aim(Kind.TIME, compared.change)


def was_imported(base: Status | None) -> bool:
    """Whether head could import the case's file: where it cannot, the case is not run at base either."""
    return base is not Status.SKIPPED


def nothing_because(compared: CaseComparison) -> str:
    """Why there is nothing to search for, in a sentence."""
    why = f" ({compared.why[0]})" if compared.why else ""
    match compared.verdict:
        case Verdict.IDENTICAL:
            return "both ends run the same machine code"
        case Verdict.UNCHANGED:
            return f"the ends differ by {_interval(compared)}: less than the threshold{why}"
        case Verdict.INCORRECT | Verdict.FAILED:
            return f"the case is not right at the good end either{why}"
        case Verdict.NEW | Verdict.REMOVED:
            return f"the ends cannot be compared{why}"
        case _:
            return f"no change can be told between the ends{why}"


def state_of(
    compared: CaseComparison | None, aim: Aim, *, machine: bool = False, imported: bool = True
) -> State | None:
    """Which side a commit is on, from its comparison with the good end; None: not decided.

    Args:
        compared: None: the case is not there.
        machine: whether the machine itself moved during the comparison.
        imported: whether the commit can import the case's file.
    """
    if compared is None or compared.verdict in _ABSENT or (aim.imported and not imported):
        return State.SKIPPED
    if compared.verdict in _RED:
        return State.BAD if _is_aimed(compared.verdict, aim.kind) else State.SKIPPED
    if aim.kind is not Kind.TIME or compared.verdict is Verdict.IDENTICAL:
        return State.GOOD
    if (
        compared.low is None
        or compared.high is None
        or (machine and compared.verdict is Verdict.INCONCLUSIVE)
    ):
        return None
    sign = 1 if aim.change > 0 else -1
    near, far = sorted((sign * compared.low, sign * compared.high))
    if near >= aim.half:
        return State.BAD
    return State.GOOD if far < aim.half else None


def nearer_level(compared: CaseComparison | None, aim: Aim) -> State:
    """The side that a commit is more likely on, where its interval does not tell."""
    if compared is None or compared.change is None:
        return State.SKIPPED
    return State.BAD if (compared.change if aim.change > 0 else -compared.change) >= aim.half else State.GOOD


def parent_remark(compared: CaseComparison | None, aim: Aim) -> str:
    """What the first bad commit against its parent says against the answer; empty where it agrees."""
    state = state_of(compared, aim)
    if state is State.BAD:
        return ""
    wanted = format_share(aim.change)
    if compared is None or state is State.SKIPPED:
        return f"it could not be compared with its parent, so that the {wanted} are not confirmed"
    if compared.verdict is Verdict.IDENTICAL:
        return f"it runs the same machine code as its parent: the {wanted} between the ends are not its doing"
    return (
        f"against its parent it shows {_interval(compared)}, which is not clearly the {wanted} between the "
        "ends: several commits may share them, or the moment of measuring did"
    )


def _is_aimed(verdict: Verdict, kind: Kind) -> bool:
    """A commit where the case fails may hide that it is incorrect; one where it is incorrect is not right."""
    return kind is Kind.FAILED or (kind is Kind.INCORRECT and verdict is Verdict.INCORRECT)


def _is_change(compared: CaseComparison) -> bool:
    return compared.low is not None and compared.high is not None and not compared.low <= 0 <= compared.high


def _interval(compared: CaseComparison) -> str:
    if compared.change is None:
        return "no times"
    text = format_share(compared.change)
    if compared.low is None or compared.high is None:
        return text
    return f"{text} [{format_share(compared.low)}, {format_share(compared.high)}]"
