"""The check run of a head: its state, its verdicts as JSON, and the lines of the kernels that regressed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ci.body import Stage, View
from ci.body.words import answer, as_of, case_links, links_line, title
from ci.hub import Annotation, Check, CheckState
from ci.sorting import Class, Sorted
from ci.verdicts import MOST_BYTES, verdict_text
from perfsuite.model import CaseComparison, ComparisonReport, Verdict
from perfsuite.report.escape import shortened, text
from perfsuite.report.markdown import OPEN_ROWS, Parts, case_table, fit, machine_alert
from perfsuite.report.words import change_cell, plain

NO_DEFINITIONS: Mapping[str, tuple[str, int, int]] = {}
MOST_TITLE = 140
_MOST_CASES = 10
"""Of one annotation; the check's text has all."""
_DECIDED = (Class.OTHER, Class.ON_MAIN, Class.ACCEPTED)
_KERNEL = re.compile(
    r"^(?:kernel |machine code of )?([A-Za-z_]\w*)(?:\[[\d,]*\])?(?=: | added| differs| also )"
)
"""The kernel that a sentence of `stats.why` is about; one that is gone has no line at head."""
_CONCLUSIONS = {
    Stage.FAILED: "failure",
    Stage.CANCELLED: "cancelled",
    Stage.NOTHING: "neutral",
}


def check_of(
    view: View,
    external_id: str,
    name: str = "perfsuite",
    details_url: str = "",
    definitions: Mapping[str, tuple[str, int, int]] = NO_DEFINITIONS,
) -> Check:
    """The check run of the view's head.

    Args:
        external_id: the job's id.
        definitions: kernel → path, first and last line at head.
    """
    state = _state(view.stage)
    # A former result is another head's: this check must not carry it.
    own = view.stage is Stage.DONE and not view.previous_head
    sorting = view.sorting() if own else None
    report = view.report if own else None
    done = report is not None and sorting is not None
    return Check(
        name=name,
        head=view.head,
        external_id=external_id,
        state=state,
        conclusion=_conclusion(view, report, sorting) if state is CheckState.DONE else None,
        title=shortened(plain(title(view)), MOST_TITLE),
        summary=_summary(view, report, sorting),
        text=verdict_text(report, sorting) if report is not None and sorting is not None else "",
        annotations=tuple(_annotations(report, sorting, definitions)) if done and report and sorting else (),
        details_url=details_url,
    )


def kernels_to_place(view: View) -> set[str]:
    """Names of kernels whose definitions `check_of` would annotate."""
    sorting = view.sorting()
    if view.report is None or sorting is None or view.stage is not Stage.DONE:
        return set()
    return set(_blamed(view.report, sorting))


def _state(stage: Stage) -> CheckState:
    """Unapproved code waits: neutral would count as passed where the check is required."""
    if stage in (Stage.QUEUED, Stage.UNAPPROVED):
        return CheckState.QUEUED
    return CheckState.RUNNING if stage.running else CheckState.DONE


def _conclusion(view: View, report: ComparisonReport | None, sorting: Sorted | None) -> str:
    """Red only for a new regression; neutral where nothing was decided at all, or not everything measured."""
    if view.stage is Stage.FAILED and view.machine_trouble:
        return "neutral"
    if view.stage in _CONCLUSIONS:
        return _CONCLUSIONS[view.stage]
    if report is None or sorting is None:
        return "neutral"
    if sorting.red:
        return "failure"
    decided = any(kind in _DECIDED for kind in sorting.classes.values())
    return "success" if decided and report.comparison.finished_at is not None else "neutral"


def _summary(view: View, report: ComparisonReport | None, sorting: Sorted | None) -> str:
    """The answer, the new regressions and what they are about; the comment has the rest."""
    if report is None or sorting is None:
        said = [text(view.stage_text)] if view.stage_text else []
        return fit([*said, as_of(view), links_line(view.links)], MOST_BYTES)
    new = sorting.cases(report, Class.NEW)
    many, pages = len(new) > OPEN_ROWS, case_links(view, new)
    table = case_table(new, f"{len(new)} new regressions", folded=many, links=pages)
    answered = f"**{answer(report, sorting)}**"
    parts: Parts = [answered, *machine_alert(report.machine), *table, as_of(view), links_line(view.links)]
    return fit(parts, MOST_BYTES)


def _blamed(report: ComparisonReport, sorting: Sorted) -> dict[str, list[CaseComparison]]:
    """Kernel → its cases that are new regressions: the one of the finding, else all that changed."""
    of_finding = {case: f.kernel for f in report.findings if f.kernel and f.verdict.red for case in f.cases}
    found: dict[str, list[CaseComparison]] = {}
    for compared in sorting.cases(report, Class.NEW):
        culprit = of_finding.get(compared.case)
        for name in [culprit] if culprit else _changed(compared):
            found.setdefault(name, []).append(compared)
    return found


def _changed(compared: CaseComparison) -> list[str]:
    matches = (_KERNEL.match(line) for line in compared.why)
    return list(dict.fromkeys(match[1] for match in matches if match))


def _annotations(
    report: ComparisonReport, sorting: Sorted, definitions: Mapping[str, tuple[str, int, int]]
) -> list[Annotation]:
    """One a kernel, at its definition."""
    return [
        Annotation(
            *definitions[kernel], "failure", shortened(_heading(kernel, cases), MOST_TITLE), _told(cases)
        )
        for kernel, cases in _blamed(report, sorting).items()
        if kernel in definitions
    ]


def _heading(kernel: str, cases: Sequence[CaseComparison]) -> str:
    noun = "case" if len(cases) == 1 else "cases"
    words = {Verdict.REGRESSED: "slower", Verdict.INCORRECT: "incorrect", Verdict.FAILED: "failed"}
    told = dict.fromkeys(words[compared.verdict] for compared in cases)
    return f"{plain(kernel)}: {len(cases)} {noun} {' or '.join(told)}"


def _told(cases: Sequence[CaseComparison]) -> str:
    """Plain text: GitHub shows an annotation as it is."""
    lines = [f"{shortened(plain(c.case), 200)}  {_how(c)}" for c in cases[:_MOST_CASES]]
    left = len(cases) - _MOST_CASES
    return "\n".join([*lines, *([f"… {left} more"] if left > 0 else [])])


def _how(compared: CaseComparison) -> str:
    return change_cell(compared) if compared.change is not None else compared.verdict.value
