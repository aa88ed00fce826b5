"""The grid of commits × families: one column a commit, the newest on the right, coloured and signed. Pure.

HTML boxes: a thousand of them come at once, and each column is one link that the keyboard reaches. A screen
too narrow for all scrolls inside the grid, which begins at its right end: the box runs from right to left,
the columns in it from left to right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboard.derive.health import QUIET, Column, Family, Mark
from dashboard.router import LINK
from dashboard.words import VERDICT_SIGNS, utc
from perfsuite.model import Status, Verdict
from perfsuite.report.words import plain
from perfsuite.units import format_share

DATE_EVERY = 10
"""Columns from one date to the next: a date is as wide as about five."""
LONGEST_TITLE = 120
"""Of a name or a subject that is told on hovering."""
_DATE_WIDTH = 3
"""Columns that a date reaches to the left; the first ones have it to their right."""
_CASES_TOLD = 5
_SHOWN_NAME = 60
_CLASSES = {
    Verdict.INCORRECT: "x",
    Verdict.FAILED: "x",
    Verdict.REGRESSED: "r",
    Verdict.IMPROVED: "m",
    Verdict.INCONCLUSIVE: "q",
    Verdict.NEW: "n",
    Verdict.UNCHANGED: "u",
    Verdict.IDENTICAL: "d",
}
_MEANINGS = {
    Verdict.INCORRECT: "incorrect or failed",
    Verdict.REGRESSED: "slower from here on",
    Verdict.IMPROVED: "faster from here on",
    Verdict.INCONCLUSIVE: "off its level, too new to tell",
    Verdict.UNCHANGED: "unchanged",
    Verdict.IDENTICAL: "the same machine code",
    Verdict.NEW: "new",
}


@dataclass(frozen=True, slots=True)
class Links:
    """Where cells lead."""

    commit: Callable[[Column], str]
    cell: Callable[[Column, Family, Mark], str]
    family: Callable[[Family], str]


def grid(columns: Sequence[Column], rows: Sequence[Family], links: Links) -> Markup:
    """The grid with its legend.

    Args:
        columns: oldest first; `rows` have one mark for each.
    """
    names = Markup("").join(
        Markup('<a class="{}" href="{}" title="{}">{}</a>').format(
            LINK, links.family(row), told(row.name), told(row.name, _SHOWN_NAME)
        )
        for row in rows
    )
    drawn = Markup("").join(
        _column(columns, place, rows, links, dated=(len(columns) - 1 - place) % DATE_EVERY == 0)
        for place in range(len(columns))
    )
    return Markup(
        '<div class="ps-grid" tabindex="0" role="region" aria-label="Commits, newest right">'
        '<div class="ps-grid-all"><div class="ps-grid-names">{}</div>{}</div></div>{}'
    ).format(names, drawn, _legend(rows))


def told(name: str, longest: int = LONGEST_TITLE) -> str:
    """Anybody's words on one line, not without end."""
    line = plain(name)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def commit_told(column: Column) -> list[str]:
    """Lines about a commit: what it is, whose and when, and how its cases ended."""
    commit = column.place.commit
    at = utc(commit.committed_at or column.place.started_at)
    statuses = [cell.status for cell in column.cells.values()]
    counts = [f"{statuses.count(status)} {status.value}" for status in Status if status in statuses]
    return [
        f"{commit.label} {told(commit.subject)}".strip(),
        " · ".join(part for part in (told(commit.author), at) if part),
        ", ".join(counts),
        *([f"environment changed: {told(column.boundary)}"] if column.boundary else []),
    ]


def mark_told(row: Family, mark: Mark) -> list[str]:
    """Lines about a cell that is not quiet."""
    change = "" if mark.change is None else f" {format_share(mark.change)}"
    cases = [told(case) for case in mark.cases[:_CASES_TOLD]]
    more = len(mark.cases) - len(cases)
    return [
        f"{VERDICT_SIGNS[mark.verdict]} {told(row.name)}: {_word(mark.verdict)}{change}",
        *cases,
        *([f"and {more} more"] if more else []),
    ]


def _column(
    columns: Sequence[Column], place: int, rows: Sequence[Family], links: Links, *, dated: bool
) -> Markup:
    column = columns[place]
    marks = [(row, mark) for row in rows if (mark := row.marks[place]) is not None]
    loud = [mark_told(row, mark)[0] for row, mark in marks if mark.verdict not in QUIET]
    calm = [
        f"{number} {verdict.value}"
        for verdict in QUIET
        if (number := sum(mark.verdict is verdict for _, mark in marks))
    ]
    about = "\n".join([*commit_told(column), *loud, *([f"families: {', '.join(calm)}"] if calm else [])])
    at = column.place.commit.committed_at or column.place.started_at
    cells = Markup("").join(_cell(column, row, row.marks[place], links) for row in rows)
    return Markup('<div class="c{}"><a class="{}" href="{}" title="{}">{}<s>{}</s></a>{}</div>').format(
        " e" if column.boundary else "",
        LINK,
        links.commit(column),
        about,
        Markup("<b{}>{}</b>").format(Markup(" class=l") if place < _DATE_WIDTH else "", f"{at:%m-%d}")
        if dated
        else "",
        column.place.commit.label[:10],
        cells,
    )


def _cell(column: Column, row: Family, mark: Mark | None, links: Links) -> Markup:
    if mark is None:
        return Markup("<i></i>")
    kind, sign = Markup(_CLASSES[mark.verdict]), VERDICT_SIGNS[mark.verdict]
    if mark.verdict in QUIET:
        return Markup('<i class="{}">{}</i>').format(kind, sign)
    about = "\n".join([*mark_told(row, mark), "", *commit_told(column)])
    return Markup('<a class="{} {}" href="{}" title="{}">{}</a>').format(
        LINK, kind, links.cell(column, row, mark), about, sign
    )


def _legend(rows: Sequence[Family]) -> Markup:
    """Of the verdicts that occur."""
    there = {mark.verdict for row in rows for mark in row.marks if mark is not None}
    if Verdict.FAILED in there:
        there.add(Verdict.INCORRECT)
    return Markup('<p class="ps-grid-legend ps-muted">{}</p>').format(
        Markup(" ").join(
            Markup('<span><i class="{}">{}</i> {}</span>').format(
                _CLASSES[verdict], VERDICT_SIGNS[verdict], meaning
            )
            for verdict, meaning in _MEANINGS.items()
            if verdict in there
        )
    )


def _word(verdict: Verdict) -> str:
    return "off its level, too new to tell" if verdict is Verdict.INCONCLUSIVE else verdict.value
