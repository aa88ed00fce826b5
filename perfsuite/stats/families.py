"""Findings: what happened to each kernel family, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from perfsuite.model import CaseComparison, Finding, Verdict
from perfsuite.stats.why import is_torch_op
from perfsuite.units import format_share

Changed = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Case → kernel or torch op that differs → how."""
_NOTHING: Changed = {}

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
_MOVED = (Verdict.INCORRECT, Verdict.REGRESSED, Verdict.LESS_ACCURATE, Verdict.IMPROVED)
"""What a changed kernel is blamed or praised for."""
_MOST_PARTS = 3
"""Of a kernel's changes, in its finding; its cases have them all."""
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


def findings(comparisons: Sequence[CaseComparison], changed: Changed = _NOTHING) -> tuple[Finding, ...]:
    """One finding for each verdict and family, in order of severity, then of the largest change.

    Where one kernel is what moved the cases of several families, there is one finding for that kernel
    instead: it is all that changed in these cases, or all that changed in every case with the verdict.

    Args:
        comparisons: all cases.
        changed: case → what differs in it (`why.changed_kernels`), as far as known.
    """
    totals = Counter(c.family for c in comparisons)
    groups: dict[tuple[Verdict, str, str | None], list[CaseComparison]] = {}
    for verdict, cases in _by_verdict(comparisons).items():
        culprits = _culprits(cases, changed) if verdict in _MOVED else {}
        for compared in cases:
            kernel = culprits.get(compared.case)
            groups.setdefault((verdict, "" if kernel else compared.family, kernel), []).append(compared)
    return tuple(
        _of_kernel(kernel, verdict, cases, changed)
        if kernel
        else Finding(family, verdict, _text(verdict, cases, totals[family]), tuple(c.case for c in cases))
        for (verdict, family, kernel), cases in groups.items()
    )


def _by_verdict(comparisons: Iterable[CaseComparison]) -> dict[Verdict, list[CaseComparison]]:
    """Worst first, without what is only counted."""
    found: dict[Verdict, list[CaseComparison]] = {}
    for compared in worst_first(comparisons):
        if compared.verdict not in _COUNTED:
            found.setdefault(compared.verdict, []).append(compared)
    return found


def _culprits(cases: Sequence[CaseComparison], changed: Changed) -> dict[str, str]:
    """Case → the kernel that moved it, for kernels that moved several families."""
    known = [set(changed.get(compared.case, ())) for compared in cases]
    everywhere = set.intersection(*known)
    if len(everywhere) == 1:
        blamed = {compared.case: name for compared in cases for name in everywhere}
    else:
        # A case with two changed kernels blames neither.
        blamed = {
            compared.case: name
            for compared, names in zip(cases, known, strict=True)
            if len(names) == 1
            for name in names
        }
    families: dict[str, set[str]] = {}
    for compared in cases:
        if compared.case in blamed:
            families.setdefault(blamed[compared.case], set()).add(compared.family)
    return {case: name for case, name in blamed.items() if len(families[name]) > 1}


def _of_kernel(kernel: str, verdict: Verdict, cases: Sequence[CaseComparison], changed: Changed) -> Finding:
    families = tuple(dict.fromkeys(compared.family for compared in cases))
    first, *others = (changed[compared.case][kernel] for compared in cases)
    # Tiles and grids differ from case to case: only what all of them say is the kernel's.
    shared = [part for part in first if all(part in parts for parts in others)][:_MOST_PARTS]
    noun = "torch op" if is_torch_op(kernel) else "kernel"
    detail = f" ({', '.join(shared)})" if shared else ""
    text = f"{noun} {kernel}{detail}: {len(cases)} cases of {len(families)} families {WORDS[verdict]}"
    return Finding(
        ", ".join(families), verdict, text + _range(cases), tuple(c.case for c in cases), kernel=kernel
    )


def _text(verdict: Verdict, cases: Sequence[CaseComparison], total: int) -> str:
    noun = "case" if total == 1 else "cases"
    return f"{len(cases)} of {total} {noun} {WORDS[verdict]}{_range(cases)}"


def _range(cases: Sequence[CaseComparison]) -> str:
    """`, +3.00 % … +9.00 %`; empty where nothing was timed."""
    changes = sorted(c.change for c in cases if c.change is not None)
    if not changes:
        return ""
    if len(changes) == 1:
        return f", {format_share(changes[0])}"
    # The smallest change first, whichever its direction.
    first, last = (changes[-1], changes[0]) if changes[-1] < 0 else (changes[0], changes[-1])
    return f", {format_share(first)} … {format_share(last)}"
