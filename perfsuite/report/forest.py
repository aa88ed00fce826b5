"""Changes with their intervals as a picture: an SVG where an image can be shown, else bars of text.

A row a case, worst first, under the heading of its family. Both work on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from xml.sax.saxutils import escape, quoteattr

from rich.cells import cell_len, set_cell_size

from perfsuite.model import CaseComparison, ComparisonReport, Verdict
from perfsuite.report.escape import literal, shortened
from perfsuite.report.words import change_cell, plain
from perfsuite.units import format_share

MOST_ROWS = 40
"""Beyond, a picture is scrolled, not looked at."""
TEXT_WIDTH = 90
"""Cells of a code block that GitHub shows in a comment without a scroll bar."""
_LEAST_REACH, _MOST_REACH = 1.5, 12.0
"""Thresholds that the axis shows at least, and at most: one case that is twice as slow must not press the
others together, unless most are (half of all are always inside). What lies beyond is an arrow, and its number
stands beside it."""
_USUAL_REACH = 1.5
_LABEL = 44
_FAMILY = 80

_GREY = "#6e7781"
"""As readable on white as on GitHub's dark page: a contrast of more than 4 on both."""
_COLOURS = {
    Verdict.REGRESSED: "#e5534b",
    Verdict.IMPROVED: "#2da44e",
    Verdict.LESS_ACCURATE: "#b46fd0",
    Verdict.INCONCLUSIVE: "#bf8700",
}
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
_LABEL_PX, _PLOT_PX, _VALUE_PX, _ROW_PX, _TOP_PX = 340, 330, 210, 22, 30


@dataclass(frozen=True, slots=True)
class Axis:
    """Changes → positions from 0 to 1."""

    low: float
    high: float

    def at(self, change: float) -> float:
        """Where it lies; what is beyond the ends lies at the end."""
        return min(1.0, max(0.0, (change - self.low) / (self.high - self.low)))


def forest_svg(report: ComparisonReport, *, limit: int = MOST_ROWS) -> str:
    """A forest plot of the timed cases, at most `limit`; of a report without times one that says so."""
    cases = timed(report)
    groups, left = by_family(cases[:limit]), len(cases) - limit
    axis = axis_of(cases)
    parts, y = _scale(axis), _TOP_PX
    for family, members in groups:
        y += _ROW_PX
        parts.append(_words(0, y, shortened(plain(family), _FAMILY), weight="600"))
        for compared in members:
            y += _ROW_PX
            parts += _row(compared, axis, y)
    note = _note(cases, left)
    if note:
        y += _ROW_PX
        parts.append(_words(0, y, note))
    height, width = y + _ROW_PX // 2, _LABEL_PX + _PLOT_PX + _VALUE_PX
    zero = _x(axis, 0.0)
    line = f'<path d="M{zero} {_TOP_PX}V{height}" stroke="{_GREY}" stroke-width="1" opacity="0.7"/>'
    # Without times there is nothing but the note.
    drawn = line + "".join(parts) if cases else parts[-1]
    title = f"Changes of {len(cases)} cases with their intervals"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label={quoteattr(title)} '
        f'font-family="{_FONT}" font-size="12" fill="{_GREY}">'
        f"<title>{escape(title)}</title>{drawn}</svg>\n"
    )


def forest_text(report: ComparisonReport, width: int = TEXT_WIDTH, rows: int = 25) -> str:
    """The same as lines of text, at most `rows` of them, each at most `width` cells; empty without times.

    `●` is the change, `├──┤` its interval, `·` what is below the threshold, `│` no change.
    """
    cases = timed(report)
    if not cases or rows < 3:
        return ""
    shown = len(cases)
    # The headings and the lines at top and bottom count too.
    while shown and _lines(cases[:shown]) + 1 + (shown < len(cases)) > rows:
        shown -= 1
    groups = by_family(cases[:shown])
    labels = [_label(c) for c in cases[:shown]]
    label = min(_LABEL, max(map(cell_len, labels), default=0)) + 2
    value = max(len(_value(c)) for c in cases[:shown]) if shown else 0
    plot = max(10, width - label - value - 3)
    axis = axis_of(cases)
    lines = [" " * label + _text_scale(axis, plot)]
    for family, members in groups:
        lines.append(literal(family, width))
        for c in members:
            lines.append(
                f"{set_cell_size('  ' + _label(c), label)} {_bar(c, axis, plot)}  {_value(c):>{value}}"
            )
    if shown < len(cases):
        lines.append(_note(cases, len(cases) - shown))
    return "\n".join(line.rstrip() for line in lines)


def timed(report: ComparisonReport) -> list[CaseComparison]:
    """Cases with a change, worst first as in the report."""
    return [compared for compared in report.comparisons if compared.change is not None]


def by_family(cases: Sequence[CaseComparison]) -> list[tuple[str, list[CaseComparison]]]:
    """By family, the family of the worst case first."""
    groups: dict[str, list[CaseComparison]] = {}
    for compared in cases:
        groups.setdefault(compared.family, []).append(compared)
    return list(groups.items())


def _lines(cases: Sequence[CaseComparison]) -> int:
    return len(cases) + len({compared.family for compared in cases})


def axis_of(cases: Sequence[CaseComparison]) -> Axis:
    """Wide enough for the usual: see `_MOST_REACH`."""
    threshold = max((c.threshold or 0.0 for c in cases), default=0.0) or 0.01
    edges = [edge for c in cases for edge in (c.low, c.change, c.high) if edge is not None]
    usual = median(abs(c.change or 0.0) for c in cases) if cases else 0.0
    least, most = _LEAST_REACH * threshold, max(_MOST_REACH * threshold, _USUAL_REACH * usual)
    return Axis(
        -min(most, max(least, *(-edge for edge in edges), least)),
        min(most, max(least, *edges, least)),
    )


def _label(compared: CaseComparison) -> str:
    """The case without its family, which stands above; the middle goes where it is long."""
    name = plain(compared.case)
    rest = name.removeprefix(plain(compared.family))
    label = rest[1:-1] if rest.startswith("[") and rest.endswith("]") else rest or name
    if len(label) <= _LABEL - 2:
        return label
    half = (_LABEL - 3) // 2
    return f"{label[:half]}…{label[-half:]}"


def _value(compared: CaseComparison) -> str:
    return format_share(compared.change or 0.0)


def _note(cases: Sequence[CaseComparison], left: int) -> str:
    if not cases:
        return "No case was timed."
    return f"… {left} more" if left > 0 else ""


def _bar(compared: CaseComparison, axis: Axis, cells: int) -> str:
    """One row of the plot."""

    def at(change: float) -> int:
        return round(axis.at(change) * (cells - 1))

    limit = compared.threshold or 0.0
    bar = ["·" if at(-limit) <= cell <= at(limit) else " " for cell in range(cells)]
    bar[at(0.0)] = "│"
    change = compared.change or 0.0
    if compared.low is not None and compared.high is not None:
        low, high = at(compared.low), at(compared.high)
        bar[low : high + 1] = ["─"] * (high + 1 - low)
        bar[low], bar[high] = "├", "┤"
    bar[at(change)] = "▶" if change > axis.high else "◀" if change < axis.low else "●"
    return "".join(bar)


def _text_scale(axis: Axis, cells: int) -> str:
    low, high = (format_share(edge) for edge in (axis.low, axis.high))
    zero = round(axis.at(0.0) * (cells - 1))
    line = f"{low:<{cells - len(high)}}{high}"
    # The zero gives way where it would touch a number.
    return f" {line[:zero]}0{line[zero + 1 :]}" if line[zero - 1 : zero + 2].isspace() else f" {line}"


def _x(axis: Axis, change: float) -> float:
    return round(_LABEL_PX + axis.at(change) * _PLOT_PX, 1)


def _scale(axis: Axis) -> list[str]:
    ends = ((axis.low, "start"), (0.0, "middle"), (axis.high, "end"))
    return [
        _words(_x(axis, change), _TOP_PX - 10, "0" if change == 0 else format_share(change), anchor=anchor)
        for change, anchor in ends
    ]


def _row(compared: CaseComparison, axis: Axis, y: int) -> list[str]:
    colour = _COLOURS.get(compared.verdict, _GREY)
    limit, middle = compared.threshold or 0.0, y - 4
    left, right = _x(axis, -limit), _x(axis, limit)
    parts = [
        _words(14, y, _label(compared)),
        f'<rect x="{left}" y="{middle - _ROW_PX // 2}" width="{round(right - left, 1)}" height="{_ROW_PX}" '
        f'fill="{_GREY}" opacity="0.13"/>',
    ]
    if compared.low is not None and compared.high is not None:
        low, high = _x(axis, compared.low), _x(axis, compared.high)
        parts.append(
            f'<path d="M{low} {middle - 4}v8M{low} {middle}H{high}M{high} {middle - 4}v8" '
            f'stroke="{colour}" stroke-width="1.5" fill="none"/>'
        )
    parts.append(_mark(compared.change or 0.0, axis, middle, colour))
    parts.append(_words(_LABEL_PX + _PLOT_PX + 14, y, change_cell(compared), fill=colour))
    return parts


def _mark(change: float, axis: Axis, y: int, colour: str) -> str:
    """A dot; at the edge an arrow that points to where the change lies."""
    x = _x(axis, change)
    if axis.low <= change <= axis.high:
        return f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>'
    back = -8 if change > axis.high else 8
    return f'<path d="M{x} {y}l{back} -5v10z" fill="{colour}"/>'


def _words(
    x: float, y: int, text: str, *, anchor: str = "start", weight: str = "400", fill: str = _GREY
) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="{fill}">'
        f"{escape(plain(text))}</text>"
    )
