"""Marks on the lines of a trend chart: runs without a time, moves of the level, what people said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dashboard.charts.palette import GREEN, GREY, PURPLE, RED, plain_label
from dashboard.charts.trend_view import Note, Trace, View, change_label, hover
from dashboard.derive.trend_lines import OFF_MAIN, Line
from dashboard.derive.trend_units import Scale
from perfsuite.model import Status
from perfsuite.stats.change_points import ChangePoint

_MOST_MARKS = 300
"""Of a kind: more would cover each other."""
_MARKS = {
    Status.INCORRECT.value: (RED, "x"),
    Status.FAILED.value: (RED, "x-open"),
    Status.SKIPPED.value: (GREY, "line-ns-open"),
    OFF_MAIN: (GREY, "circle-open"),
}
"""Kind → colour and symbol."""


def mark_traces(view: View, line: Line, scale: Scale) -> Iterator[Trace]:
    """Runs without a time, at the level of the run before, so that the gap is seen; and those off main."""
    for kind, (color, symbol) in _MARKS.items():
        marks = [m for m in line.marks if m.kind == kind and view.sees(m.x) and m.level_ns == m.level_ns]
        marks = marks[:: -(-len(marks) // _MOST_MARKS) or 1]
        if not marks:
            continue
        x = np.array([mark.x for mark in marks])
        levels = np.array([mark.level_ns for mark in marks])
        y = scale.at(levels, [_nearest(line, mark.x) for mark in marks]) if len(line.x) else levels
        places = [view.axis.places[mark.x] for mark in marks]
        yield {
            "type": "scatter", "x": x, "y": y, "mode": "markers", "name": kind, "meta": "mark",
            "marker": {"color": color, "symbol": symbol, "size": 9, "line": {"color": color, "width": 2}},
            "text": [hover(place, line, kind) for place in places],
            "customdata": [place.commit.sha for place in places],
            "hovertemplate": "%{text}<extra></extra>",
        }  # fmt: skip


def change_traces(view: View, lines: Sequence[tuple[Line, Scale]]) -> Iterator[Trace]:
    for slower, name, color in ((True, "slower", RED), (False, "faster", GREEN)):
        # It points where the line goes: more time is less work per second.
        symbol = "triangle-up" if slower != view.bigger else "triangle-down"
        found = [
            (line, scale, change)
            for line, scale in lines
            for change in line.changes
            if (change.change > 0) == slower and view.sees(int(line.x[change.index]))
        ]
        if not found:
            continue
        yield {
            "type": "scatter", "mode": "markers", "name": name, "meta": "change",
            "x": [int(line.x[change.index]) for line, _, change in found],
            "y": [float(scale.at(np.array(change.after), change.index)) for _, scale, change in found],
            "marker": {"color": color, "symbol": symbol, "size": 12, "line": {"color": color, "width": 1}},
            "text": [_change_hover(view, line, change) for line, _, change in found],
            "customdata": [view.axis.places[line.x[change.index]].commit.sha for line, _, change in found],
            "hovertemplate": "%{text}<extra></extra>",
        }  # fmt: skip


def note_traces(view: View, lines: Sequence[tuple[Line, Scale]], notes: Sequence[Note]) -> Iterator[Trace]:
    known = {line.case: (line, scale) for line, scale in lines if len(line.x)}
    shown = [(*known[note.case], note) for note in notes if note.case in known and view.sees(note.x)]
    if not shown:
        return
    points = [_nearest(line, note.x) for line, _, note in shown]
    yield {
        "type": "scatter", "mode": "markers+text", "name": "triage", "meta": "note",
        "x": [note.x for _, _, note in shown],
        "y": [
            float(scale.at(line.median_ns[point], point))
            for (line, scale, _), point in zip(shown, points, strict=True)
        ],
        "marker": {"color": PURPLE, "symbol": "circle-open", "size": 18, "line": {"width": 2}},
        "text": [note.state for _, _, note in shown], "textposition": "bottom center",
        "textfont": {"size": 11},
        "hovertext": [plain_label(note.text) for _, _, note in shown],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "customdata": [view.axis.places[note.x].commit.sha for _, _, note in shown],
    }  # fmt: skip


def _change_hover(view: View, line: Line, change: ChangePoint) -> str:
    old, new = (view.axis.places[line.x[i]].commit.label for i in (change.low_index, change.high_index))
    return "<br>".join(
        [
            f"<b>{change_label(change, bigger=view.bigger)}</b> ({change.kind.value})",
            f"after {plain_label(old)}, at the latest {plain_label(new)}",
            plain_label(line.case),
        ]
    )


def _nearest(line: Line, x: int) -> int:
    """The point nearest to a place."""
    return int(np.abs(line.x - x).argmin())
