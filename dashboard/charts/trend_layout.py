"""What lies around the lines of a trend chart: axes, boundaries, the ranges of commits that moved a level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dashboard.charts.palette import GREEN, GREY, ORANGE, RED, faint, plain_label
from dashboard.charts.trend_view import Trace, View, short_label, visible_points
from dashboard.derive.trend_lines import Boundary, Line
from dashboard.derive.trend_units import Scale
from perfsuite.stats.change_points import ChangePoint
from perfsuite.store.trends import Place

_MOST_TICKS = 5
"""Side by side on a telephone."""
_LABEL_SHARE = 0.28
"""Of the width, which the label of a change needs on a telephone; in each of `_LABEL_ROWS` rows."""
_LABEL_ROWS = 2
_EDGE = 0.12
"""Share of the width at either end where a label lies beside its place, not about it."""
_BOUNDARY_SHARE = 0.02
"""Of the width, between two boundaries with words."""
_LONGEST_BOUNDARY = 48
"""Letters along the line; all of them are in the table below the chart."""
_LOGARITHMIC_ABOVE = 10.0
"""Largest over smallest median of several lines: beyond, a linear axis would flatten the small ones."""

Labels = Sequence[tuple[ChangePoint, Line]]
"""Visible moves, each with its line."""


def layout(
    view: View, lines: Sequence[tuple[Line, Scale]], labels: Labels, traces: Sequence[Trace]
) -> dict[str, Any]:
    """Plotly's layout of a chart with these lines, visible moves and traces."""
    logarithmic = not view.relative and _logarithmic(view, lines)
    boundaries = sorted({*view.axis.boundaries, *(b for line, _ in lines for b in line.boundaries)}, key=_at)
    boundaries = [boundary for boundary in boundaries if view.first < boundary.at <= view.last]
    legend = sum(bool(trace["showlegend"]) for trace in traces) > 1
    return {
        "height": 400 + (24 * len(lines) if legend else 0),
        "margin": {"l": 8, "r": 8, "t": 46, "b": 8},
        "showlegend": legend,
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.17, "x": 0, "xanchor": "left",
                   "itemsizing": "constant"},
        "hovermode": "closest",
        "dragmode": "zoom",
        "shapes": [*_boundary_lines(boundaries), *_ranges(labels), *_pin(view)],
        "annotations": [*_boundary_words(view, boundaries), *_change_words(view, labels)],
        "xaxis": {
            **_ticks(view), "range": [view.first - 0.6, view.last + 0.6], "zeroline": False,
            "showgrid": False,
        },
        "yaxis": {
            "title": {"text": view.values + (" (logarithmic)" if logarithmic else "")},
            "type": "log" if logarithmic else "linear",
            # 1, 2, 5, 10, …
            "dtick": "D2" if logarithmic else None,
            "zeroline": False, "fixedrange": True, "automargin": True,
        },
    }  # fmt: skip


def _at(boundary: Boundary) -> tuple[int, str]:
    return boundary.at, boundary.text


def _logarithmic(view: View, lines: Sequence[tuple[Line, Scale]]) -> bool:
    levels = []
    for line, scale in lines:
        points = visible_points(line.x, view) if len(line.parts) == 1 else np.arange(len(line.x))
        values = scale.at(line.median_ns[points], points)
        values = values[~np.isnan(values)]
        if len(values):
            levels.append(float(np.median(values)))
    return len(levels) > 1 and min(levels) > 0 and max(levels) / min(levels) > _LOGARITHMIC_ABOVE


def _boundary_lines(boundaries: Sequence[Boundary]) -> Iterator[Trace]:
    for at in dict.fromkeys(boundary.at for boundary in boundaries):
        yield {
            "type": "line", "xref": "x", "yref": "paper", "x0": at - 0.5, "x1": at - 0.5, "y0": 0, "y1": 1,
            "line": {"color": GREY, "width": 1, "dash": "dash"},
        }  # fmt: skip


def _boundary_words(view: View, boundaries: Sequence[Boundary]) -> Iterator[Trace]:
    """Along the line: beside it there is no room on a telephone."""
    before = -np.inf
    for boundary in boundaries:
        if boundary.at - before < _BOUNDARY_SHARE * (view.last - view.first):
            continue
        before = boundary.at
        text = boundary.text
        short = text if len(text) <= _LONGEST_BOUNDARY else text[: _LONGEST_BOUNDARY - 1] + "…"
        yield {
            "x": boundary.at - 0.5, "y": 0.01, "xref": "x", "yref": "paper", "text": plain_label(short),
            "textangle": -90, "xanchor": "right", "yanchor": "bottom", "showarrow": False,
            "font": {"size": 11}, "hovertext": plain_label(text),
        }  # fmt: skip


def _ranges(labels: Labels) -> Iterator[Trace]:
    """The commits between which a level moved, shaded; those of several cases once."""
    found = {
        (int(line.x[change.low_index]), int(line.x[change.high_index]), change.change > 0)
        for change, line in labels
    }
    for low, high, slower in sorted(found):
        color = RED if slower else GREEN
        yield {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "x0": low,
            "x1": high,
            "layer": "below",
            "fillcolor": faint(color, 0.14),
            "line": {"width": 0.5, "color": color},
        }


def _change_words(view: View, labels: Labels) -> Iterator[Trace]:
    """The size of each move above the chart, the surest first, as far as there is room."""
    gap = _LABEL_SHARE * (view.last - view.first + 1)
    rows: list[list[int]] = [[] for _ in range(_LABEL_ROWS)]
    for (x, _), changes in _moves(labels):
        free = [number for number, taken in enumerate(rows) if all(abs(x - other) >= gap for other in taken)]
        if not free:
            continue
        rows[free[0]].append(x)
        share = (x - view.first) / max(1, view.last - view.first)
        text = short_label(changes[0], bigger=view.bigger)
        yield {
            "x": x,
            "y": 1.0,
            "xref": "x",
            "yref": "paper",
            "showarrow": False,
            "yanchor": "bottom",
            "xanchor": "left" if share < _EDGE else "right" if share > 1 - _EDGE else "center",
            "yshift": 2 + 16 * free[0],
            "text": text + (f" and {len(changes) - 1} more" if len(changes) > 1 else ""),
            # In the colour of the page's words: the mid-tones of lines are too pale for small type.
            "font": {"size": 12},
        }


def _moves(labels: Labels) -> list[tuple[tuple[int, bool], list[ChangePoint]]]:
    """Place and direction → the changes of all cases there; the surest first."""
    found: dict[tuple[int, bool], list[ChangePoint]] = {}
    for change, line in sorted(labels, key=lambda label: (-label[0].strength, label[1].case)):
        found.setdefault((int(line.x[change.index]), change.change > 0), []).append(change)
    return list(found.items())


def _pin(view: View) -> Iterator[Trace]:
    if view.pinned is not None and view.sees(view.pinned):
        yield {
            "type": "line", "xref": "x", "yref": "paper", "x0": view.pinned, "x1": view.pinned, "y0": 0,
            "y1": 1, "line": {"color": ORANGE, "width": 1.5, "dash": "dot"},
        }  # fmt: skip


def _ticks(view: View) -> dict[str, object]:
    step = max(1, -(-(view.last - view.first + 1) // _MOST_TICKS))
    # Counted from the newest, which is the commit that people look for.
    shown = list(range(view.last, view.first - 1, -step))[::-1]
    return {
        "tickmode": "array",
        "tickangle": 0,
        "tickvals": shown,
        "ticktext": [_tick(view.axis.places[at]) for at in shown],
    }


def _tick(place: Place) -> str:
    at = place.commit.committed_at or place.started_at
    return f"{plain_label(place.commit.label)[:7]}<br>{at:%d %b %y}"
