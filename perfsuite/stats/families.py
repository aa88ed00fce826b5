"""Findings: what happened to each kernel family, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from perfsuite.model import CaseComparison, Finding, Verdict
from perfsuite.units import format_share

SEVERITY = (
    Verdict.INCORRECT,
    Verdict.FAILED,
    Verdict.REGRESSED,
    Verdict.LESS_ACCURATE,
    Verdict.IMPROVED,
    Verdict.INCONCLUSIVE,
    Verdict.NEW,
    Verdict.REMOVED,
    Verdict.UNCHANGED,
    Verdict.IDENTICAL,
)
"""The order of every report; the last two are counted, they are no findings."""
_COUNTED = (Verdict.UNCHANGED, Verdict.IDENTICAL)
WORDS = {
    Verdict.INCORRECT: "incorrect",
    Verdict.FAILED: "failed",
    Verdict.REGRESSED: "slower",
    Verdict.LESS_ACCURATE: "faster but less accurate",
    Verdict.IMPROVED: "faster",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.NEW: "new",
    Verdict.REMOVED: "removed",
    Verdict.UNCHANGED: "unchanged",
    Verdict.IDENTICAL: "identical",
}


def worst_first(comparisons: Iterable[CaseComparison]) -> tuple[CaseComparison, ...]:
    """By severity, then by the size of the change, then by case."""
    return tuple(
        sorted(comparisons, key=lambda c: (SEVERITY.index(c.verdict), -abs(c.change or 0.0), c.case))
    )


def findings(comparisons: Sequence[CaseComparison]) -> tuple[Finding, ...]:
    """One finding for each verdict and family, in order of severity, then of the largest change."""
    totals = Counter(c.family for c in comparisons)
    groups: dict[tuple[Verdict, str], list[CaseComparison]] = {}
    for compared in worst_first(comparisons):
        if compared.verdict not in _COUNTED:
            groups.setdefault((compared.verdict, compared.family), []).append(compared)
    return tuple(
        Finding(family, verdict, _text(verdict, cases, totals[family]), tuple(c.case for c in cases))
        for (verdict, family), cases in groups.items()
    )


def _text(verdict: Verdict, cases: Sequence[CaseComparison], total: int) -> str:
    noun = "case" if total == 1 else "cases"
    text = f"{len(cases)} of {total} {noun} {WORDS[verdict]}"
    changes = sorted(c.change for c in cases if c.change is not None)
    if not changes:
        return text
    if len(changes) == 1:
        return f"{text}, {format_share(changes[0])}"
    # The smallest change first, whichever its direction.
    first, last = (changes[-1], changes[0]) if changes[-1] < 0 else (changes[0], changes[-1])
    return f"{text}, {format_share(first)} … {format_share(last)}"
