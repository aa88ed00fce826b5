"""Reports as Markdown: the body of a pull request's comment, and the summary of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perfsuite.model import (
    CaseComparison,
    Comparison,
    ComparisonReport,
    Finding,
    Result,
    Run,
    Status,
    Verdict,
)
from perfsuite.report.escape import code, fenced, text
from perfsuite.report.words import (
    canary_changes,
    canary_times,
    cases_of,
    change_cell,
    error_cell,
    explained,
    finding_parts,
    headline,
    machine_note,
    reproduce,
    resources_cell,
    roofline_cell,
    run_answer,
    time_cell,
    timer_label,
    times_cell,
    unfinished,
)
from perfsuite.stats.families import WORDS
from perfsuite.units import format_share

MAX_CHARACTERS = 65_536
"""GitHub refuses a longer comment. Counted in UTF-8 bytes, which are never fewer than characters."""
_MAX_FINDINGS = 40
_MAX_WHY = 6
_OPEN_ROWS = 20
"""More red cases than that are folded too: nobody reads them in a pull request."""
_RED = (Verdict.INCORRECT, Verdict.FAILED, Verdict.REGRESSED)
_NAMED = (Verdict.INCORRECT, Verdict.FAILED, Verdict.LESS_ACCURATE)
"""Verdicts that the change in a row does not tell."""
_FOLDED = (
    Verdict.IMPROVED,
    Verdict.INCONCLUSIVE,
    Verdict.NEW,
    Verdict.REMOVED,
    Verdict.UNCHANGED,
)
_HEADER = "| case | base → head | change [interval] | why |\n|---|---|---|---|"
_RUN_HEADER = (
    "| case | status | time [95 %] | error | roofline | regs/spills/shared | timer |\n"
    "|---|---|---|---|---|---|---|"
)
_CUT_LINE = "_{left} more cases are left out here._"
_CUT_ROOM = len("\n\n_1000000 more cases are left out here._")


@dataclass(frozen=True, slots=True)
class _Section:
    """A table that may lose its last rows."""

    title: str
    header: str
    rows: tuple[str, ...]
    folded: bool

    def render(self, kept: int) -> str:
        lines = "\n".join((self.header, *self.rows[:kept])).strip()
        left = len(self.rows) - kept
        body = lines + (f"\n\n{_CUT_LINE.format(left=left)}" if left else "")
        if not self.folded:
            return body
        return f"<details><summary>{self.title}</summary>\n\n{body}\n\n</details>"


def comparison_markdown(report: ComparisonReport, *, limit: int = MAX_CHARACTERS) -> str:
    """The body of the pull request's comment, never longer than the limit.

    First line: the answer in words. Then a machine that moved, the findings, the red cases and those that are
    faster but less accurate, the others folded, the environment and how to measure it again. What does not
    fit is cut from the end of the least urgent table, and counted.
    """
    note = unfinished(report.comparison)
    notes = [f"**{note}**"] if note else []
    head = [f"### {headline(report)}", *notes, *_machine(report.machine), *_findings(report.findings)]
    tail = [_sides(report), _again(report.comparison)]
    return _fit(head, _sections(report.comparisons), tail, limit)


def run_markdown(run: Run, results: Sequence[Result], *, limit: int = MAX_CHARACTERS) -> str:
    """One run: what every case did, worst first."""
    canaries, results = canary_times(results), cases_of(results)
    note = machine_note(run, results)
    head = [f"### {run_answer(results)}", *([f"**{text(note)}**"] if note else [])]
    tail = [
        f"{code(run.commit.label)} {code(run.commit.subject)}  \n"
        f"{text(run.environment.label)} · profile {text(run.profile)}" + _line(canaries)
    ]
    bad = [result for result in results if result.status is not Status.OK]
    good = [result for result in results if result.status is Status.OK]
    sections = [
        _Section("", _RUN_HEADER, tuple(map(_run_row, bad)), folded=False),
        _Section(f"{len(good)} ok", _RUN_HEADER, tuple(map(_run_row, good)), folded=bool(bad)),
    ]
    return _fit(head, [section for section in sections if section.rows], tail, limit)


def _fit(head: list[str], sections: Sequence[_Section], tail: list[str], limit: int) -> str:
    """All parts where they fit; else rows are kept in order of urgency as far as they do."""
    fixed = _size(_join([*head, *tail])) + sum(
        _size(section.render(0)) + _CUT_ROOM + len("\n\n") for section in sections
    )
    room = limit - fixed
    kept = []
    for section in sections:
        count = 0
        while count < len(section.rows) and _size(section.rows[count]) + 1 <= room:
            room -= _size(section.rows[count]) + 1
            count += 1
        kept.append(count)
        if count < len(section.rows):
            # Nothing less urgent goes in where something urgent had to stay out.
            room = 0
    bodies = [section.render(count) for section, count in zip(sections, kept, strict=True)]
    return _join([*head, *bodies, *tail])


def _join(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _size(value: str) -> int:
    return len(value.encode())


def _machine(sentence: str) -> list[str]:
    """As an alert, which GitHub draws as a box."""
    return [f"> [!WARNING]\n> **{text(sentence)}**"] if sentence else []


def _findings(findings: Sequence[Finding]) -> list[str]:
    shown = map(finding_parts, findings[:_MAX_FINDINGS])
    lines = [f"- **{text(subject)}**: {text(rest)}" for subject, rest in shown]
    left = len(findings) - _MAX_FINDINGS
    if left > 0:
        lines.append(f"- … {left} more findings")
    return ["\n".join(lines)] if lines else []


def _sections(comparisons: Sequence[CaseComparison]) -> list[_Section]:
    red = [compared for compared in comparisons if compared.verdict in _RED]
    sections = []
    if red:
        noun = "red case" if len(red) == 1 else "red cases"
        rows = tuple(map(_row, red))
        sections.append(_Section(f"{len(red)} {noun}", _HEADER, rows, folded=len(red) > _OPEN_ROWS))
    worse = tuple(_row(compared) for compared in comparisons if compared.verdict is Verdict.LESS_ACCURATE)
    if worse:
        title = f"{len(worse)} {WORDS[Verdict.LESS_ACCURATE]}"
        sections.append(_Section(title, _HEADER, worse, folded=len(worse) > _OPEN_ROWS))
    for verdict in _FOLDED:
        rows = tuple(_row(compared) for compared in comparisons if compared.verdict is verdict)
        if rows:
            sections.append(_Section(f"{len(rows)} {WORDS[verdict]}", _HEADER, rows, folded=True))
    same = tuple(_identical(c) for c in comparisons if c.verdict is Verdict.IDENTICAL)
    if same:
        title = f"{len(same)} identical: the same machine code and launches"
        sections.append(_Section(title, "", same, folded=True))
    return sections


def _identical(compared: CaseComparison) -> str:
    return f"- {code(compared.case)} {_why(explained(compared))}".rstrip()


def _row(compared: CaseComparison) -> str:
    case = code(compared.case)
    if compared.verdict in _NAMED:
        case = f"{case} **{compared.verdict.value}**"
    return _cells(case, times_cell(compared), change_cell(compared), _why(explained(compared)))


def _why(lines: Sequence[str]) -> str:
    shown = [text(line) for line in lines[:_MAX_WHY]]
    left = len(lines) - _MAX_WHY
    return "<br>".join([*shown, f"… {left} more"] if left > 0 else shown)


def _run_row(result: Result) -> str:
    status = text(result.status)
    if result.status is not Status.OK:
        status = f"**{status}** {text(result.message.strip().split(chr(10), 1)[0])}"
    shown: tuple[Callable[[Result], str], ...] = (time_cell, error_cell, roofline_cell, resources_cell)
    return _cells(code(result.case), status, *(cell(result) for cell in shown), timer_label(result.timer))


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _sides(report: ComparisonReport) -> str:
    comparison = report.comparison
    base, head = comparison.base, comparison.head
    return (
        f"base {code(base.commit.label)} {code(base.commit.subject)}  \n"
        f"head {code(head.commit.label)} {code(head.commit.subject)}  \n"
        f"{text(head.environment.label)} · profile {text(head.profile)} · "
        f"threshold {format_share(comparison.threshold, signed=False)}"
        + _line(canary_changes(report.canaries))
    )


def _line(value: str) -> str:
    """One more line of the same paragraph."""
    return f"  \n{text(value)}" if value else ""


def _again(comparison: Comparison) -> str:
    # A comparison of stored runs is not stored itself: it is made again at any time.
    report = "" if comparison.kind == "stored" else f"\nperfsuite report {comparison.id[:12]}"
    block = fenced(reproduce(comparison) + report)
    return f"<details><summary>How to measure or read it again</summary>\n\n{block}\n\n</details>"
