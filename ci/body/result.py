"""What a comparison says, as parts of the comment: most urgent first, so that the last are cut first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ci.body.view import View
from ci.body.words import answer, case_links, checked, metric_row
from ci.sorting import Class, Sorted
from perfsuite.model import CaseComparison, ComparisonReport, Finding, Verdict
from perfsuite.report.escape import code, fenced, text
from perfsuite.report.forest import forest_text
from perfsuite.report.markdown import (
    OPEN_ROWS,
    Parts,
    Section,
    again,
    case_table,
    findings_list,
    fold,
    identical_list,
    machine_alert,
    surroundings,
    whys,
)
from perfsuite.report.words import unfinished

_METRICS_HEADER = "| Metric | Baseline | Optimized | Speedup |\n|---|--:|--:|--:|"
_BAR_ROWS = 25
_LEGEND = "`●` change, `├─┤` its interval, `·` within the threshold, `▶` further off."
_SORTED_OUT = {
    Class.ON_MAIN: "already on main",
    Class.NOISY: "noisy: within what this case shows without a change",
    Class.MACHINE: "undecided because the machine changed",
}
"""Class → what stands on its fold."""
_MOST_COMMON = 3
_MOST_NOTES = 8
_MOST_COMMANDS = 20


def result_parts(view: View, report: ComparisonReport, sorting: Sorted, *, inside: bool = False) -> Parts:
    """All of a comparison but its first line and its last ones.

    Args:
        inside: inside another fold: then without the picture, for it is not this head's.
    """
    new = sorting.cases(report, Class.NEW)
    found = _new_findings(report.findings, sorting)
    grouped = _by_finding(new, found)
    common = {finding.text: _common(finding, grouped) for finding in found}
    said = {case: common[finding.text] for finding in found for case in finding.cases}
    noun = "new regression" if len(new) == 1 else "new regressions"
    note = unfinished(report.comparison)
    many, pages = len(new) > OPEN_ROWS, case_links(view, new)
    return [
        *machine_alert(report.machine),
        *([f"**{note}**"] if note and not inside else []),
        *findings_list(found, _remarks(found, common, sorting)),
        *case_table(_without(grouped, said), f"{len(new)} {noun}", folded=many, links=pages),
        *_metrics_table(view),
        *([] if inside else _picture(view, report, open_=sorting.red)),
        *whys(grouped),
        *_verdict_tables(report, (Verdict.LESS_ACCURATE, Verdict.IMPROVED)),
        *_sorted_out(report, sorting),
        *_accepted(view, report, sorting),
        *_class_table(report, sorting, Class.INCONCLUSIVE, "inconclusive, and what it would take"),
        *_class_table(report, sorting, Class.NO_BASELINE, "without a baseline"),
        *_verdict_tables(report, (Verdict.REMOVED, Verdict.UNCHANGED)),
        *identical_list(report.comparisons),
        *_environment(view, report),
        fold("How to measure or read it again", again(report.comparison)),
    ]


def short_answer(report: ComparisonReport, sorting: Sorted) -> str:
    """For a fold."""
    return text(answer(report, sorting))


def _new_findings(findings: Sequence[Finding], sorting: Sorted) -> list[Finding]:
    return [f for f in findings if f.verdict.red and any(_is_new(case, sorting) for case in f.cases)]


def _common(finding: Finding, new: Sequence[CaseComparison]) -> tuple[str, ...]:
    """What all new cases of a finding say: said once, beside it."""
    first, *others = (compared.why for compared in new if compared.case in finding.cases)
    return tuple(line for line in first if others and all(line in lines for lines in others))[:_MOST_COMMON]


def _without(cases: Sequence[CaseComparison], said: Mapping[str, tuple[str, ...]]) -> list[CaseComparison]:
    """The cases without what has been said beside their findings."""
    return [replace(c, why=tuple(line for line in c.why if line not in said.get(c.case, ()))) for c in cases]


def _remarks(
    findings: Sequence[Finding], common: Mapping[str, tuple[str, ...]], sorting: Sorted
) -> dict[str, str]:
    """A finding's text → what its cases have in common, and how many of them stand further down."""
    found = {}
    for finding in findings:
        shared = common[finding.text]
        parts = [f"in each: {'; '.join(map(_brief, shared))}"] if shared else []
        elsewhere = sum(not _is_new(case, sorting) for case in finding.cases)
        parts += [f"{elsewhere} of them sorted out below"] if elsewhere else []
        if parts:
            found[finding.text] = text("; ".join(parts))
    return found


def _brief(sentence: str) -> str:
    """Without the resources of a kernel that came."""
    return sentence.partition(" (")[0] if sentence.startswith("kernel ") else sentence


def _is_new(case: str, sorting: Sorted) -> bool:
    return sorting.classes.get(case) is Class.NEW


def _by_finding(cases: Sequence[CaseComparison], findings: Sequence[Finding]) -> list[CaseComparison]:
    """In the order of their findings, so that a family stands together."""
    place = {case: number for number, found in reversed([*enumerate(findings)]) for case in found.cases}
    return sorted(cases, key=lambda compared: place.get(compared.case, len(findings)))


def _metrics_table(view: View) -> list[Section]:
    """Nothing where no headline case was timed: then there is nothing to be fast or slow."""
    if not any(metric.baseline or metric.optimized for metric in view.metrics):
        return []
    rows = tuple(metric_row(metric) for metric in view.metrics)
    return [Section(rows, header=_METRICS_HEADER, folded=False, noun="metrics")]


def _picture(view: View, report: ComparisonReport, *, open_: bool) -> list[Section]:
    """Open where there is something to look at."""
    if not any(compared.change is not None for compared in report.comparisons):
        return []
    if view.image_url:
        shown = f"![Changes of the timed cases, with intervals]({checked('picture', view.image_url)})"
    else:
        shown = f"{fenced(forest_text(report, rows=_BAR_ROWS))}\n\n{_LEGEND}"
    return [Section((shown,), "Changes with their intervals", folded=not open_, noun="pictures", spare=True)]


def _verdict_tables(report: ComparisonReport, verdicts: Sequence[Verdict]) -> list[Section]:
    names = {Verdict.LESS_ACCURATE: "faster but less accurate", Verdict.IMPROVED: "faster"}
    sections = []
    for verdict in verdicts:
        cases = [compared for compared in report.comparisons if compared.verdict is verdict]
        opened = verdict is Verdict.LESS_ACCURATE and len(cases) <= OPEN_ROWS
        sections += case_table(cases, f"{len(cases)} {names.get(verdict, verdict.value)}", folded=not opened)
    return sections


def _sorted_out(report: ComparisonReport, sorting: Sorted) -> list[Section]:
    return [
        section
        for kind, words in _SORTED_OUT.items()
        for section in _class_table(report, sorting, kind, words)
    ]


def _class_table(report: ComparisonReport, sorting: Sorted, kind: Class, words: str) -> list[Section]:
    cases = sorting.cases(report, kind)
    return case_table(cases, f"{len(cases)} {words}", notes=sorting.reasons)


def _accepted(view: View, report: ComparisonReport, sorting: Sorted) -> list[Section]:
    """Cases that somebody accepted, and what was accepted but covers nothing here."""
    sections = _class_table(report, sorting, Class.ACCEPTED, "accepted")
    told = " ".join(sorting.reasons.values())
    idle = [
        command
        for command in view.accepted
        if f"accepted by {command.author}: {str(command.arguments.get('reason', '')).strip()}" not in told
    ]
    rows = tuple(
        f"- {code(str(command.arguments.get('case', '')))} by {text(command.author)}: "
        f"{text(str(command.arguments.get('reason', '')))}"
        for command in idle[-_MOST_COMMANDS:]
    )
    if rows:
        sections.append(Section(rows, f"{len(idle)} accepted before, without effect here", noun="commands"))
    return sections


def _environment(view: View, report: ComparisonReport) -> list[str | Section]:
    notes = "\n".join(f"- {text(note)}" for note in view.notes[:_MOST_NOTES])
    return [fold("Environment", "\n\n".join(part for part in (surroundings(report), notes) if part))]
