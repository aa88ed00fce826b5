"""What all parts of a trend chart share: its visible part, and how points are told in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.charts.palette import plain_label
from dashboard.derive.trend_lines import Axis, Ints, Line
from dashboard.derive.trend_units import shown_change
from perfsuite.stats.change_points import ChangePoint
from perfsuite.store.trends import Place

Trace = dict[str, Any]
"""Of Plotly, as are shapes and annotations."""
_SUBJECT, _AUTHOR = 80, 40
"""Letters that are shown."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a person (or nobody yet) said of a change."""

    case: str
    x: int
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """What all lines of a chart share."""

    axis: Axis
    first: int
    last: int
    """Places that are visible."""
    values: str
    """What is shown and in which unit, for the axis."""
    unit: str = ""
    """Behind a number."""
    bigger: bool = False
    relative: bool = False
    """Whether values are changes in %, which may be negative."""
    pinned: int | None = None

    def sees(self, x: int) -> bool:
        return self.first <= x <= self.last


def visible_points(x: Ints, view: View) -> Ints:
    """Of ascending places the visible ones, and one on either side, so that a line reaches the edges."""
    start, stop = np.searchsorted(x, [view.first, view.last + 1])
    if start == stop:
        return np.zeros(0, dtype=np.int64)
    return np.arange(max(0, start - 1), min(len(x), stop + 1))


def short_label(change: ChangePoint, *, bigger: bool) -> str:
    """`slower: +4.1 %`, for where there is little room."""
    return change_label(change, bigger=bigger).partition(" [")[0]


def change_label(change: ChangePoint, *, bigger: bool) -> str:
    """`slower: +4.1 % [3.8, 4.4]`, the size of what is shown."""
    word = "slower" if change.change > 0 else "faster"
    middle, *ends = (shown_change(v, bigger=bigger) * 100 for v in (change.change, change.low, change.high))
    if any(end != end for end in ends):
        return f"{word}: {middle:+.1f} %"
    return f"{word}: {middle:+.1f} % [{min(ends):.1f}, {max(ends):.1f}]"


def number(value: float) -> str:
    """Four significant digits, without an exponent above 1000."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def hover(place: Place, line: Line, value: str) -> str:
    """A run of a case: commit with subject, author and date, value, case."""
    commit = place.commit
    at = f"{commit.committed_at or place.started_at:%Y-%m-%d %H:%M}"
    by = [plain_label(commit.author[:_AUTHOR]), at] if commit.author else [at]
    title = f"<b>{plain_label(commit.label)}</b> {plain_label(commit.subject[:_SUBJECT])}"
    return "<br>".join([title, " · ".join(by), value, plain_label(line.case)])
