"""Reports as Markdown: a comparison, the summary of a run, and the tables that other texts are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    CONFIRMED,
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
OPEN_ROWS = 20
"""More red cases than that are folded too: nobody reads them in a pull request."""
CASE_HEADER = "| case | base → head | change [interval] | why |\n|---|---|---|---|"
_MAX_FINDINGS = 40
_WHY_CHARACTERS = 64
"""Of why in a row: two lines of a narrow column. Whole sentences have a fold of their own."""
_NAMED = (Verdict.INCORRECT, Verdict.FAILED, Verdict.LESS_ACCURATE)
"""Verdicts that the change in a row does not tell."""
_CHANGED = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.LESS_ACCURATE)
_FOLDED = (
    Verdict.IMPROVED,
    Verdict.INCONCLUSIVE,
    Verdict.NEW,
    Verdict.REMOVED,
    Verdict.UNCHANGED,
)
_RUN_HEADER = (
    "| case | status | time [95 %] | error | roofline | regs/spills/shared | timer |\n"
    "|---|---|---|---|---|---|---|"
)
_CUT_ROOM = len("\n\n_1000000 more findings are left out here_")
_FIXED = "\u00a0"
_NO_NOTES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Section:
    """Lines that belong together and may lose the last of them: a table, a list, a block."""

    rows: tuple[str, ...]
    title: str = ""
    """Markdown; what stands on a fold."""
    header: str = ""
    folded: bool = True
    noun: str = "cases"
    """What is counted where rows are left out."""
    spare: bool = False
    """Left out without harm to what comes after it: a picture, an explanation."""

    def render(self, kept: int, where: str = "") -> str:
        """With its first rows, and how many are missing."""
        lines = "\n".join((self.header, *self.rows[:kept])).strip()
        left = len(self.rows) - kept
        cut = f"_{left} more {self.noun} are left out here{where}._" if left else ""
        body = "\n\n".join(part for part in (lines if kept else "", cut) if part)
        return fold(self.title, body) if self.folded else body


Parts = list[str | Section]
"""A text, from top to bottom: what is always there, and what may be cut."""


def fold(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def comparison_markdown(report: ComparisonReport, *, limit: int = MAX_CHARACTERS) -> str:
    """A comparison for a pull request or a job's summary, never longer than the limit.

    First line: the answer in words. Then a machine that moved, the findings, the red cases and those that are
    faster but less accurate, the others folded, the environment and how to measure it again. What does not
    fit is cut from the end of the least urgent table, and counted.
    """
    note = unfinished(report.comparison)
    parts: Parts = [
        f"### {headline(report)}",
        *([f"**{note}**"] if note else []),
        *machine_alert(report.machine),
        *findings_list(report.findings),
        *_sections(report.comparisons),
        _sides(report),
        fold("How to measure or read it again", again(report.comparison)),
    ]
    return fit(parts, limit)


def run_markdown(run: Run, results: Sequence[Result], *, limit: int = MAX_CHARACTERS) -> str:
    """One run: what every case did, worst first."""
    canaries, results = canary_times(results), cases_of(results)
    note = machine_note(run, results)
    bad = [result for result in results if result.status is not Status.OK]
    good = [result for result in results if result.status is Status.OK]
    sections = [
        Section(tuple(map(_run_row, bad)), "", _RUN_HEADER, folded=False),
        Section(tuple(map(_run_row, good)), f"{len(good)} ok", _RUN_HEADER, folded=bool(bad)),
    ]
    parts: Parts = [
        f"### {run_answer(results)}",
        *([f"**{text(note)}**"] if note else []),
        *(section for section in sections if section.rows),
        f"{code(run.commit.label)} {code(run.commit.subject)}  \n"
        f"{text(run.environment.label)} · profile {text(run.profile)}" + _line(canaries),
    ]
    return fit(parts, limit)


def fit(parts: Sequence[str | Section], limit: int, where: str = "") -> str:
    """Parts one below the other, in at most so many bytes: texts always, rows as far as they fit.

    Sections come in order of urgency: once rows had to stay out, no less urgent row goes in.

    Args:
        where: what is said beside the number of rows left out, such as where to find them.
    """
    room = limit - sum(
        _size(part) + 2 if isinstance(part, str) else _frame(part) + len(where.encode()) for part in parts
    )
    bodies = []
    for part in parts:
        if isinstance(part, str):
            bodies.append(part)
            continue
        kept, room = _kept(part, room)
        bodies.append(part.render(kept, where))
    return "\n\n".join(body for body in bodies if body) + "\n"


def _frame(section: Section) -> int:
    """What a section takes beside its rows."""
    return _size(section.render(0)) + _size(section.header) + _CUT_ROOM + len("\n\n\n\n")


def _kept(section: Section, room: int) -> tuple[int, int]:
    """How many rows fit, and what is left for the next section."""
    for count, row in enumerate(section.rows):
        if _size(row) + 1 > room:
            return count, room if section.spare else 0
        room -= _size(row) + 1
    return len(section.rows), room


def _size(value: str) -> int:
    return len(value.encode())


def machine_alert(sentence: str) -> list[str]:
    """As an alert, which GitHub draws as a box."""
    said = text(sentence)
    return [f"> [!WARNING]\n> **{said}**"] if said else []


def findings_list(findings: Sequence[Finding], notes: Mapping[str, str] = _NO_NOTES) -> list[Section]:
    """A line a finding.

    Args:
        notes: a finding's text → what is to be said beside it.
    """
    rows = []
    for finding in findings[:_MAX_FINDINGS]:
        subject, rest = finding_parts(finding)
        note = notes.get(finding.text)
        rows.append(f"- **{text(subject) or '–'}**: {text(rest)}{f' ({note})' if note else ''}")
    left = len(findings) - _MAX_FINDINGS
    if left > 0:
        rows.append(f"- … {left} more findings")
    return [Section(tuple(rows), folded=False, noun="findings")] if rows else []


def _sections(comparisons: Sequence[CaseComparison]) -> list[Section]:
    red = [compared for compared in comparisons if compared.verdict.red]
    worse = [compared for compared in comparisons if compared.verdict is Verdict.LESS_ACCURATE]
    noun = "red case" if len(red) == 1 else "red cases"
    sections = [
        *case_table(red, f"{len(red)} {noun}", folded=len(red) > OPEN_ROWS),
        *case_table(worse, f"{len(worse)} {WORDS[Verdict.LESS_ACCURATE]}", folded=len(worse) > OPEN_ROWS),
        *whys([*red, *worse]),
    ]
    for verdict in _FOLDED:
        cases = [compared for compared in comparisons if compared.verdict is verdict]
        sections += case_table(cases, f"{len(cases)} {WORDS[verdict]}")
    return [*sections, *identical_list(comparisons)]


def case_table(
    cases: Sequence[CaseComparison],
    title: str,
    *,
    folded: bool = True,
    notes: Mapping[str, str] = _NO_NOTES,
    links: Mapping[str, str] = _NO_NOTES,
) -> list[Section]:
    """A row a case; nothing without cases.

    Args:
        notes: case → what is to be said first in its last column, plain text.
        links: case → http(s) address that its name leads to, fit to stand inside a link.
    """
    rows = tuple(case_row(c, notes.get(c.case, ""), links.get(c.case, "")) for c in cases)
    return [Section(rows, title, CASE_HEADER, folded=folded)] if rows else []


def identical_list(comparisons: Sequence[CaseComparison]) -> list[Section]:
    """Cases with the same machine code: there is nothing to put in columns."""
    same = [compared for compared in comparisons if compared.verdict is Verdict.IDENTICAL]
    rows = tuple(f"- {code(c.case)} {_why(c.why)}".rstrip() for c in same)
    title = f"{len(same)} identical: the same machine code and launches"
    return [Section(rows, title)] if rows else []


def whys(cases: Sequence[CaseComparison]) -> list[Section]:
    """Every sentence in full, and on what evidence, where a table had to shorten or leave out one."""
    told = [c for c in cases if _why(c.why) != "<br>".join(map(text, c.why))]
    rows = tuple(
        "\n".join([f"- {code(c.case)}", *(f"  - {text(line)}" for line in explained(c))]) for c in told
    )
    return [Section(rows, "Why, in full", noun="explanations", spare=True)] if rows else []


def case_row(compared: CaseComparison, note: str = "", url: str = "") -> str:
    """Case, base → head, change with interval, why."""
    case = f"[{code(compared.case)}]({url})" if url else code(compared.case)
    if compared.verdict in _NAMED:
        case = f"{case} **{compared.verdict.value}**"
    why = "<br>".join(part for part in (text(note), _why(compared.why)) if part)
    return cells(case, steady(times_cell(compared)), steady(change_cell(compared)), why)


def steady(value: str) -> str:
    """A number stays on one line with its unit, and an interval with itself: narrow columns break between."""
    return value.replace(" ", _FIXED).replace(f"→{_FIXED}", "→ ").replace(f"{_FIXED}[", " [")


def _why(lines: Sequence[str]) -> str:
    """The first sentence, further ones while they fit, and how many do not."""
    shown = [_clipped(line) for line in lines[:1]]
    for line in lines[1:]:
        if len("".join((*shown, line))) > _WHY_CHARACTERS:
            break
        shown.append(line)
    left = len(lines) - len(shown)
    return "<br>".join([*map(text, shown), *([f"… {left} more"] if left else [])])


def _clipped(sentence: str) -> str:
    """A list of differences ends after a whole one, not inside a grid's parentheses."""
    if len(sentence) <= _WHY_CHARACTERS:
        return sentence
    commas = [at for at in range(_WHY_CHARACTERS) if sentence.startswith(", ", at)]
    whole = [at for at in commas if sentence.count("(", 0, at) == sentence.count(")", 0, at)]
    return f"{sentence[: whole[-1]]}, …" if whole else f"{sentence[:_WHY_CHARACTERS]}…"


def _run_row(result: Result) -> str:
    status = text(result.status)
    if result.status is not Status.OK:
        status = f"**{status}** {text(result.message.strip().split(chr(10), 1)[0])}"
    shown: tuple[Callable[[Result], str], ...] = (time_cell, error_cell, roofline_cell, resources_cell)
    measured = (steady(cell(result)) for cell in shown)
    return cells(code(result.case), status, *measured, timer_label(result.timer))


def cells(*values: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(values)} |"


def _sides(report: ComparisonReport) -> str:
    base, head = report.comparison.base, report.comparison.head
    return (
        f"base {code(base.commit.label)} {code(base.commit.subject)}  \n"
        f"head {code(head.commit.label)} {code(head.commit.subject)}  \n" + surroundings(report)
    )


def surroundings(report: ComparisonReport) -> str:
    """Where and how it was measured."""
    head = report.comparison.head
    return (
        f"{text(head.environment.label)} · profile {text(head.profile)} · "
        f"threshold {format_share(report.comparison.threshold, signed=False)}"
        + _line(canary_changes(report.canaries))
        + _line(_evidence(report.comparisons))
    )


def _evidence(comparisons: Sequence[CaseComparison]) -> str:
    changed = [c for c in comparisons if c.verdict in _CHANGED]
    return f"each change {CONFIRMED}" if changed and all(c.confirmed for c in changed) else ""


def _line(value: str) -> str:
    """One more line of the same paragraph."""
    return f"  \n{text(value)}" if value else ""


def again(comparison: Comparison) -> str:
    """The commands that measure it again and show it."""
    # A comparison of stored runs is not stored itself: it is made again at any time.
    report = "" if comparison.kind == "stored" else f"\nperfsuite report {comparison.id[:12]}"
    return fenced(reproduce(comparison) + report)
