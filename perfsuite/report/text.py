"""Reports for the terminal. Text of a given width; colour codes only where they are asked for."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from perfsuite.model import CaseComparison, ComparisonReport, Finding, Result, Run, Status, Verdict
from perfsuite.report.conditions import conditions
from perfsuite.report.words import (
    CONFIRMED,
    canary_changes,
    canary_times,
    cases_of,
    change_cell,
    commit_line,
    error_cell,
    explained,
    finding_parts,
    headline,
    machine_note,
    plain,
    quiet,
    reproduce,
    resources_cell,
    roofline_cell,
    run_answer,
    sees_cell,
    time_cell,
    timer_label,
    times_cell,
    unfinished,
)
from perfsuite.units import format_share

DETAIL_LINES = 12
"""Of a failure's message; the whole of it is in the store."""
_VERDICT_STYLES = {
    Verdict.INCORRECT: "bold red",
    Verdict.FAILED: "bold red",
    Verdict.REGRESSED: "red",
    Verdict.LESS_ACCURATE: "bold magenta",
    Verdict.IMPROVED: "green",
    Verdict.INCONCLUSIVE: "yellow",
}
_STATUS_STYLES = {Status.INCORRECT: "bold red", Status.FAILED: "bold red", Status.SKIPPED: "yellow"}


def run_text(run: Run, results: Sequence[Result], *, width: int, color: bool = False) -> str:
    """One run: what every case did, then why some are not ok."""
    canaries, results = canary_times(results), cases_of(results)
    note = machine_note(run, results)
    parts: list[RenderableType] = [
        Text(run_answer(results), "bold"),
        *([Text(note, "yellow")] if note else []),
        Text(f"commit {commit_line(run.commit)}"),
        Text(f"environment {plain(run.environment.label)}"),
        *(Text(sentence) for sentence in conditions(run.environment)),
        *([Text(canaries)] if canaries else []),
        Text(f"profile {plain(run.profile)} · run {run.id[:12]}"),
    ]
    if results:
        parts.append(_run_table(results))
    parts += [part for result in results if result.status is not Status.OK for part in _trouble(result)]
    return _render(parts, width, color)


def comparison_text(report: ComparisonReport, *, width: int, color: bool = False) -> str:
    """One comparison: the answer, a machine that moved, the findings, the cases worst first, why, and how to
    reproduce it."""
    comparison = report.comparison
    canaries = canary_changes(report.canaries)
    parts: list[RenderableType] = [Text(headline(report), "bold")]
    note = unfinished(comparison)
    parts += [Text(note, "bold yellow")] if note else []
    if report.machine:
        parts.append(Text(f"! {plain(report.machine)}", "bold yellow"))
    parts += [_finding(finding) for finding in report.findings]
    shown = [compared for compared in report.comparisons if not quiet(compared)]
    if shown:
        parts.append(_comparison_table(shown))
    identical = len(report.comparisons) - len(shown)
    if identical:
        noun = "case" if identical == 1 else "cases"
        parts.append(Text(f"{identical} {noun} identical: the same machine code and launches, not timed."))
    parts += _whys(shown)
    parts += [
        Text(f"\nbase {commit_line(comparison.base.commit)}"),
        Text(f"head {commit_line(comparison.head.commit)}"),
        Text(f"environment {plain(comparison.head.environment.label)}"),
        *(Text(sentence) for sentence in conditions(comparison.head.environment)),
        *([Text(canaries)] if canaries else []),
        Text(
            f"threshold {format_share(comparison.threshold, signed=False)} · comparison {comparison.id[:12]}"
        ),
        # Left to the terminal to wrap, so that it can be copied whole.
        Text(f"again: {reproduce(comparison)}", no_wrap=True, overflow="ignore"),
    ]
    return _render(parts, width, color)


def _render(parts: Iterable[RenderableType], width: int, color: bool) -> str:
    buffer = io.StringIO()
    # The environment is emptied: the same report is the same text under any TERM, COLUMNS or NO_COLOR.
    console = Console(
        file=buffer,
        width=width,
        color_system="standard" if color else None,
        force_terminal=color,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )
    console.print(Group(*parts))
    return "\n".join(line.rstrip() for line in buffer.getvalue().split("\n"))


def _table(*columns: tuple[str, bool]) -> Table:
    """Columns by title; True for numbers, which stand at the right and are not wrapped."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for title, number in columns:
        table.add_column(
            title, justify="right" if number else "left", no_wrap=number, overflow="fold", min_width=6
        )
    return table


def _run_table(results: Sequence[Result]) -> Table:
    timers = {result.timer for result in results}
    table = _table(
        ("case", False),
        ("status", False),
        ("time [95 %]", False),
        ("error", False),
        ("roofline", True),
        ("regs/spills/shared", False),
        *([("timer", False)] if len(timers) > 1 else []),
    )
    for result in results:
        cells = [
            Text(plain(result.case)),
            Text(result.status, _STATUS_STYLES.get(result.status, "")),
            Text(time_cell(result)),
            Text(error_cell(result)),
            Text(roofline_cell(result)),
            Text(resources_cell(result)),
        ]
        table.add_row(*cells, *([Text(timer_label(result.timer))] if len(timers) > 1 else []))
    if len(timers) == 1:
        table.caption = f"timer: {timer_label(next(iter(timers)))}"
        table.caption_justify = "left"
    return table


def _trouble(result: Result) -> list[RenderableType]:
    lines = [plain(line) for line in result.message.strip().splitlines()] or ["no message"]
    left = len(lines) - DETAIL_LINES
    shown = lines[:DETAIL_LINES] + ([f"… {left} more lines"] if left > 0 else [])
    title = Text(f"\n{result.status}: {plain(result.case)}", _STATUS_STYLES.get(result.status, ""))
    return [title, *(Padding(Text(line), (0, 0, 0, 2)) for line in shown)]


def _finding(finding: Finding) -> Text:
    subject, rest = finding_parts(finding)
    return Text(f"  {subject}: {rest}", _VERDICT_STYLES.get(finding.verdict, ""))


def _comparison_table(comparisons: Sequence[CaseComparison]) -> Table:
    floors = any(compared.floor is not None for compared in comparisons)
    columns = [("verdict", False), ("case", False), ("base → head", False), ("change [interval]", False)]
    table = _table(*columns, *([("sees", True)] if floors else []))
    for compared in comparisons:
        style = _VERDICT_STYLES.get(compared.verdict, "")
        table.add_row(
            Text(compared.verdict.value, style),
            Text(plain(compared.case)),
            Text(times_cell(compared)),
            Text(change_cell(compared), style),
            *([Text(sees_cell(compared))] if floors else []),
        )
    return table


def _whys(comparisons: Sequence[CaseComparison]) -> list[RenderableType]:
    told = [compared for compared in comparisons if explained(compared)]
    if not told:
        return []
    parts: list[RenderableType] = [Text("\nWhy", "bold")]
    for compared in told:
        style = _VERDICT_STYLES.get(compared.verdict, "")
        confirmed = f", {CONFIRMED}" if compared.confirmed else ""
        parts.append(Text.assemble((f"{compared.verdict.value} ", style), plain(compared.case), confirmed))
        parts += [Padding(Text(f"· {plain(line)}"), (0, 0, 0, 2)) for line in compared.why]
    return parts
