"""Relative changes with their intervals as HTML: a line a case, each a link. Pure.

HTML rather than Plotly: hundreds of lines are there at once, without a chart library to load; each leads to
its case, by keyboard too; a screen reader is told the numbers; and positions are shares of the width, so that
the same text fits a telephone. (No SVG: what Streamlit lets through of HTML has none.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from dashboard.charts.palette import VERDICTS
from dashboard.markup import EMPTY, text
from perfsuite.model import CaseComparison
from perfsuite.report.forest import Axis
from perfsuite.report.words import change_cell, plain
from perfsuite.units import format_share

Address = Callable[[CaseComparison, str], Markup]
"""The link of a case, with this label."""


def forest(cases: Sequence[CaseComparison], axis: Axis, address: Address) -> Markup:
    """The lines of some cases; those without a change are left out.

    Args:
        cases: in the order in which they are drawn.
        axis: where changes lie, the same for all families of a page.
        address: makes the link of a case.
    """
    lines = EMPTY.join(_line(one, axis, address) for one in cases if one.change is not None)
    if not lines:
        return EMPTY
    return Markup('<ul class="ps-forest">{}</ul>').format(lines)


def scale(axis: Axis) -> Markup:
    """The scale of all families of a page, which stays in sight above them."""
    low, high = (format_share(edge) for edge in (axis.low, axis.high))
    ends = Markup('<span>{} ← faster</span><b style="left:{}">0</b><span>slower → {}</span>')
    return Markup(
        '<ul class="ps-forest ps-forest-scale" aria-hidden="true">'
        "<li><span></span><div>{}</div><span>change and its interval</span></li></ul>"
    ).format(ends.format(text(low), _percent(axis.at(0.0)), text(high)))


def short_name(compared: CaseComparison) -> str:
    """The case without its family, which stands above: `m=1696,g=128`."""
    rest = plain(compared.case).removeprefix(plain(compared.family))
    return rest[1:-1] if len(rest) > 2 and rest[0] == "[" and rest[-1] == "]" else plain(compared.case)


def _line(compared: CaseComparison, axis: Axis, address: Address) -> Markup:
    color, symbol = VERDICTS[compared.verdict]
    told = f"{compared.verdict.value}: {change_cell(compared)}"
    return Markup(
        '<li><span class="ps-forest-name">{}</span>'
        '<span class="ps-forest-plot" role="img" aria-label="{}" title="{}" style="--c:{}">{}{}{}{}</span>'
        '<span class="ps-forest-value">{}</span></li>'
    ).format(
        address(compared, short_name(compared)),
        told,
        f"{plain(compared.case)}\n{told}",
        color,
        _span("band", axis, -(compared.threshold or 0.0), compared.threshold or 0.0),
        _span("zero", axis, 0.0, 0.0),
        _interval(compared, axis),
        _mark(compared.change or 0.0, axis, symbol),
        change_cell(compared),
    )


def _span(kind: str, axis: Axis, low: float, high: float) -> Markup:
    left, right = axis.at(low), axis.at(high)
    return Markup('<i class="ps-forest-{}" style="left:{};width:{}"></i>').format(
        kind, _percent(left), _percent(right - left)
    )


def _interval(compared: CaseComparison, axis: Axis) -> Markup:
    if compared.low is None or compared.high is None:
        return EMPTY
    if axis.at(compared.low) == axis.at(compared.high) and compared.low != compared.high:
        # All of it is beyond the axis, where the mark says so.
        return EMPTY
    return _span("interval", axis, compared.low, compared.high)


def _mark(change: float, axis: Axis, symbol: str) -> Markup:
    """The symbol, which the style sheet draws; at the ends of the axis that the change lies farther out."""
    shape = symbol if axis.low <= change <= axis.high else "above" if change > axis.high else "below"
    return Markup('<b class="ps-m-{}" style="left:{}"></b>').format(shape, _percent(axis.at(change)))


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%"
