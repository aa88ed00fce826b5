"""The lines of the trends page → a Plotly figure. Pure: no Streamlit, no store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.decimate import decimate
from dashboard.charts.palette import (
    ENVIRONMENT_COLORS,
    ENVIRONMENT_DASHES,
    ENVIRONMENT_SYMBOLS,
    faint,
    plain_label,
)
from dashboard.charts.trend_layout import layout
from dashboard.charts.trend_marks import change_traces, mark_traces, note_traces
from dashboard.charts.trend_view import Note, Trace, View, hover, number, visible_points
from dashboard.derive.trend_lines import SPREADS, Floats, Ints, Level, Line
from dashboard.derive.trend_units import Scale
from perfsuite.stats.change_points import ChangePoint

MOST_DRAWN = 1500
"""Points of a chart: about as many as it has pixels."""
_LEAST_OF_A_LINE = 120
_WEBGL_ABOVE = 1000
"""Below it SVG is quicker: a WebGL context in software takes half a second to start."""
_WHISKERS_UP_TO = 60
"""More points have a band instead of whiskers, which would touch each other."""
_DENSE_ABOVE = 200
"""Points of a line: more are dots alone, about their level; what joins or surrounds each would cover it."""
_BANDS_UP_TO = 3
"""Lines: of more, bands hide each other; the interval is told by pointing at a point."""


def trend(view: View, lines: Sequence[tuple[Line, Scale]], notes: Sequence[Note] = ()) -> go.Figure:
    """Times of cases along the runs of a machine, with what moved them.

    Args:
        view: the axis and its visible part.
        lines: by one clock, each with what its times are shown as.
        notes: the triage of their changes.
    """
    budget = max(_LEAST_OF_A_LINE, MOST_DRAWN // max(1, len(lines)))
    drawn = [_drawn(line, scale, view, budget) for line, scale in lines]
    webgl = sum(map(len, drawn)) > _WEBGL_ABOVE
    traces: list[Trace] = []
    labels: list[tuple[ChangePoint, Line]] = []
    for place, ((line, scale), points) in enumerate(zip(lines, drawn, strict=True)):
        pen = _Pen(place, len(lines), webgl)
        traces += _line_traces(view, line, scale, points, pen)
        labels += [(change, line) for change in line.changes if view.sees(int(line.x[change.index]))]
        traces += mark_traces(view, line, scale)
    traces += change_traces(view, lines)
    traces += note_traces(view, lines, notes)
    return go.Figure(data=_once_in_legend(traces), layout=layout(view, lines, labels, traces))


@dataclass(frozen=True, slots=True)
class _Pen:
    number: int
    of: int
    webgl: bool

    @property
    def color(self) -> str:
        return ENVIRONMENT_COLORS[self.number % len(ENVIRONMENT_COLORS)]

    @property
    def symbol(self) -> str:
        return ENVIRONMENT_SYMBOLS[self._second]

    @property
    def dash(self) -> str:
        return ENVIRONMENT_DASHES[self._second]

    @property
    def _second(self) -> int:
        # So that no two of 25 lines agree in both.
        return (self.number + self.number // len(ENVIRONMENT_COLORS)) % len(ENVIRONMENT_SYMBOLS)


def _drawn(line: Line, scale: Scale, view: View, budget: int) -> Ints:
    """The visible points that are drawn, with one on either side, so that the line reaches the edges."""
    found = []
    visible = [visible_points(line.x[part.start : part.stop], view) + part.start for part in line.parts]
    total = sum(map(len, visible))
    for points in visible:
        if len(points):
            share = max(4, budget * len(points) // max(1, total))
            values = scale.at(line.median_ns[points], points)
            moved = [int(i - points[0]) for c in line.changes for i in (c.low_index, c.index, c.high_index)]
            found.append(points[decimate(values, share, moved)])
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _line_traces(view: View, line: Line, scale: Scale, points: Ints, pen: _Pen) -> Iterator[Trace]:
    x, y, low, high = line.x[points], *_values(line, scale, points)
    whiskers = len(points) <= _WHISKERS_UP_TO
    dense = len(points) > _DENSE_ABOVE
    few = pen.of <= _BANDS_UP_TO
    levels = list(_level_traces(view, line, scale, pen))
    yield from (trace for trace in levels if trace["meta"] == "noise" and few)
    if few and not whiskers and not dense:
        yield _band(list(_polygons(line, points, x, low, high)), faint(pen.color, 0.25), "interval")
    places = [view.axis.places[at] for at in x.tolist()]
    gaps = _gaps(line, points)
    yield {
        "type": "scattergl" if pen.webgl else "scatter",
        "x": np.insert(x.astype(np.float64), gaps, np.nan),
        "y": np.insert(y, gaps, np.nan),
        "mode": "markers" if dense else "lines+markers",
        "name": plain_label(line.case),
        "meta": "case",
        "line": {"color": pen.color, "width": 1.5, "dash": pen.dash},
        "marker": {
            "color": pen.color,
            "symbol": pen.symbol,
            "size": 4 if dense else 7,
            "opacity": 0.6 if dense else 1,
        },
        "error_y": _whiskers(y, low, high, gaps, pen) if whiskers and few else None,
        "text": _insert([hover(p, line, _told(view, y, low, high, i)) for i, p in enumerate(places)], gaps),
        "customdata": _insert([place.commit.sha for place in places], gaps),
        "hovertemplate": "%{text}<extra></extra>",
    }
    yield from (trace for trace in levels if trace["meta"] == "level")


def _values(line: Line, scale: Scale, points: Ints) -> tuple[Floats, Floats, Floats]:
    """Shown values, and their interval from its lower end."""
    y = scale.at(line.median_ns[points], points)
    ends = scale.at(line.low_ns[points], points), scale.at(line.high_ns[points], points)
    return y, np.minimum(*ends), np.maximum(*ends)


def _level_traces(view: View, line: Line, scale: Scale, pen: _Pen) -> Iterator[Trace]:
    """The level between moves as a line, and the noise about it as a band."""
    levels = [
        level
        for level in line.levels
        if level.last > level.first and line.x[level.last] >= view.first and line.x[level.first] <= view.last
    ]
    boxes, ends = [], []
    for level in levels:
        left, right = (float(np.clip(line.x[i], view.first, view.last)) for i in (level.first, level.last))
        middle, low, high = _level_values(level, scale)
        boxes.append(([left, right, right, left], [low, low, high, high]))
        ends.append(([left, right], [middle, middle]))
    if levels:
        yield _band(boxes, faint(pen.color, 0.16), "noise")
        x, y = _separated(ends)
        yield {
            "type": "scatter", "x": x, "y": y, "mode": "lines", "hoverinfo": "skip", "showlegend": False,
            "line": {"color": pen.color, "width": 2.5, "dash": pen.dash}, "name": "level", "meta": "level",
            "opacity": 0.75,
        }  # fmt: skip


def _level_values(level: Level, scale: Scale) -> tuple[float, float, float]:
    points = slice(level.first, level.last + 1)
    # Where values are work per second, the work is that of the level's points.
    factor = float(np.nanmedian(scale.factor[points])) if not np.isnan(scale.factor[points]).all() else np.nan
    one = Scale(scale.bigger, np.array([factor]), scale.offset)
    half = SPREADS * level.spread_ns
    # Where noise is as large as the level, no time below zero.
    least = max(level.median_ns - half, level.median_ns / 10)
    times = np.array([level.median_ns, least, level.median_ns + half])
    middle, *ends = one.at(times, 0).tolist()
    return middle, min(ends), max(ends)


def _polygons(
    line: Line, points: Ints, x: Ints, low: Floats, high: Floats
) -> Iterator[tuple[list[float], list[float]]]:
    edges = [0, *_gaps(line, points), len(points)]
    for start, stop in itertools.pairwise(edges):
        there, back = slice(start, stop), slice(stop - 1, start - 1 if start else None, -1)
        yield [*x[there], *x[back]], [*high[there], *low[back]]


def _gaps(line: Line, points: Ints) -> list[int]:
    """Places among `points` before which the line breaks."""
    starts = np.array([part.start for part in line.parts[1:]], dtype=np.int64)
    cuts = np.searchsorted(points, starts)
    return sorted({int(cut) for cut in cuts if 0 < cut < len(points)})


def _insert(values: Sequence[str], gaps: Sequence[int]) -> list[str]:
    found = list(values)
    for gap in reversed(gaps):
        found.insert(gap, "")
    return found


def _band(polygons: Sequence[tuple[list[float], list[float]]], color: str, of: str) -> Trace:
    x, y = _separated(polygons)
    return {
        "type": "scatter", "x": x, "y": y, "fill": "toself", "fillcolor": color, "line": {"width": 0},
        "mode": "lines", "hoverinfo": "skip", "showlegend": False, "name": of, "meta": of,
    }  # fmt: skip


def _separated(parts: Iterable[tuple[list[float], list[float]]]) -> tuple[Floats, Floats]:
    x: list[float] = []
    y: list[float] = []
    for xs, ys in parts:
        x += [*xs, float("nan")]
        y += [*ys, float("nan")]
    return np.array(x[:-1], dtype=np.float64), np.array(y[:-1], dtype=np.float64)


def _whiskers(y: Floats, low: Floats, high: Floats, gaps: list[int], pen: _Pen) -> Trace:
    return {
        "type": "data", "symmetric": False, "color": pen.color, "thickness": 1, "width": 2,
        "array": np.insert(high - y, gaps, 0.0), "arrayminus": np.insert(y - low, gaps, 0.0),
    }  # fmt: skip


def _once_in_legend(traces: list[Trace]) -> list[Trace]:
    seen: set[str] = set()
    for trace in traces:
        trace.setdefault("showlegend", trace["name"] not in seen)
        trace["legendgroup"] = trace["name"]
        if trace["showlegend"]:
            seen.add(trace["name"])
    return traces


def _told(view: View, y: Floats, low: Floats, high: Floats, i: int) -> str:
    return f"{number(y[i])} {view.unit}  [{number(low[i])}, {number(high[i])}]"
