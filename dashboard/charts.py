"""Frame → Plotly figure. Pure: no Streamlit, no store.

Colours are Okabe and Ito's palette ("Color Universal Design", 2008), darkened or lightened until each is
readable on white and on black; symbols make every distinction as well, so that a grey print still tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from perfsuite.model import Verdict
from perfsuite.units import NS_PER_MS, NS_PER_S, NS_PER_US, format_ns, format_share

BLUE, ORANGE, GREEN, RED, GREY = "#3182c4", "#c77700", "#1d9a74", "#d0552a", "#8a8f98"
THRESHOLD_BAND = "rgba(138, 143, 152, 0.22)"
PURPLE = "#b4689a"
ENVIRONMENT_COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED)
ENVIRONMENT_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")

MOST_ROWS = 40
"""Of a forest plot: more are not told apart on a screen. The table below it has all."""
_MOST_TICKS = 5
"""Side by side on a telephone."""
_ROW_PX = 44
_SCALES = ((NS_PER_S, "s"), (NS_PER_MS, "ms"), (NS_PER_US, "µs"), (1.0, "ns"))

_VERDICTS: dict[str, tuple[str, str]] = {
    Verdict.REGRESSED: (RED, "triangle-right"),
    Verdict.LESS_ACCURATE: (PURPLE, "triangle-left-open"),
    Verdict.IMPROVED: (GREEN, "triangle-left"),
    Verdict.INCONCLUSIVE: (ORANGE, "diamond-open"),
    Verdict.UNCHANGED: (BLUE, "circle"),
    Verdict.IDENTICAL: (GREY, "square"),
}


@dataclass(frozen=True, slots=True)
class _Unit:
    scale: float
    name: str


def trend(points: pd.DataFrame, clock: str) -> go.Figure:
    """The median of a case over its commits, with its interval; the line breaks where series end.

    Args:
        points: as `frames.series_frame` makes them, oldest first: `commit when environment segment boundary
            status median_ns low_ns high_ns timer`. Points of one `segment` are comparable.
        clock: what the times are, for the axis.
    """
    points = points.reset_index(drop=True)
    unit = _unit(points["median_ns"])
    figure = go.Figure()
    environments = list(dict.fromkeys(points["environment"]))
    named: set[str] = set()
    for _, segment in points[points["status"] == "ok"].groupby("segment", sort=True):
        environment = str(segment["environment"].iloc[0])
        number = environments.index(environment)
        _add_segment(figure, segment, unit, number, show_name=environment not in named)
        named.add(environment)
    _add_missing(figure, points, unit)
    boundaries = [(place, text) for place, text in enumerate(points["boundary"]) if text]
    for number, (place, text) in enumerate(boundaries):
        _add_boundary(figure, place - 0.5, str(text), line=number % 2)
    several = len(environments) > 1
    figure.update_layout(
        height=380 + (22 * len(environments) if several else 0),
        margin={"l": 10, "r": 10, "t": 44, "b": 10},
        showlegend=several or bool((points["status"] != "ok").any()),
        legend={"orientation": "h", "yanchor": "top", "y": -0.22, "x": 0, "xanchor": "left"},
        hovermode="closest",
        xaxis={**_ticks(points), "range": [-0.6, len(points) - 0.4], "zeroline": False},
        yaxis={"title": {"text": f"{clock}, median ({unit.name})"}, "zeroline": False},
    )
    return figure


def forest(cases: pd.DataFrame) -> go.Figure:
    """Relative change of each compared case with its interval; the band is what counts as not relevant.

    Args:
        cases: as `frames.comparison_frame` makes them: `case verdict change low high threshold` as fractions;
            those without a change are left out, the first are drawn at the top.
    """
    rows = cases[cases["change"].notna()][:MOST_ROWS]
    order = list(rows["case"])
    figure = go.Figure()
    figure.add_bar(
        y=order, x=rows["threshold"] * 200, base=-rows["threshold"] * 100, orientation="h", width=1.0,
        marker={"color": THRESHOLD_BAND, "line": {"width": 0}}, hoverinfo="skip", name="below the threshold",
    )  # fmt: skip
    for verdict, (color, symbol) in _VERDICTS.items():
        _add_verdict(figure, rows[rows["verdict"] == verdict], verdict, color, symbol)
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    for case in order:
        # Above its row, not beside the plot: ids are long, and a telephone has no room for both.
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=case, yshift=_ROW_PX * 0.28, text=_plain(case),
            showarrow=False, font={"size": 12},
        )  # fmt: skip
    figure.update_layout(
        height=130 + _ROW_PX * max(2, len(order)),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "xanchor": "left"},
        xaxis={"title": {"text": "change (%), slower →"}, "zeroline": False, "ticksuffix": " %"},
        yaxis={
            "categoryorder": "array",
            "categoryarray": order[::-1],
            "showticklabels": False,
            "showgrid": False,
            # Half a row free at the top, for the first label.
            "range": [-0.5, len(order) - 0.4],
        },
    )
    return figure


def _add_segment(
    figure: go.Figure, segment: pd.DataFrame, unit: _Unit, number: int, *, show_name: bool
) -> None:
    color = ENVIRONMENT_COLORS[number % len(ENVIRONMENT_COLORS)]
    symbol = ENVIRONMENT_SYMBOLS[number % len(ENVIRONMENT_SYMBOLS)]
    x = list(segment.index)
    low, high = segment["low_ns"] / unit.scale, segment["high_ns"] / unit.scale
    figure.add_scatter(
        x=x + x[::-1], y=[*high, *low[::-1]], fill="toself", fillcolor=_faint(color), line={"width": 0},
        mode="lines", hoverinfo="skip", showlegend=False, name="interval",
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=segment["median_ns"] / unit.scale, mode="lines+markers",
        line={"color": color, "width": 1.5}, marker={"color": color, "symbol": symbol, "size": 7},
        # The band of a single point has no area: whiskers show it.
        error_y=_whiskers(segment, unit, color) if len(segment) == 1 else None,
        name=str(segment["environment"].iloc[0]), showlegend=show_name,
        text=[_hover(row) for row in segment.itertuples()], hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _whiskers(segment: pd.DataFrame, unit: _Unit, color: str) -> dict[str, object]:
    above = (segment["high_ns"] - segment["median_ns"]) / unit.scale
    below = (segment["median_ns"] - segment["low_ns"]) / unit.scale
    return {
        "type": "data",
        "symmetric": False,
        "array": list(above),
        "arrayminus": list(below),
        "color": color,
    }


def _add_missing(figure: go.Figure, points: pd.DataFrame, unit: _Unit) -> None:
    """Marks where there is no time, at the level of the neighbours, so that the gap is seen."""
    level = points["median_ns"].ffill().bfill().fillna(0.0)
    for status, symbol in (("incorrect", "x"), ("failed", "x-open"), ("skipped", "line-ns-open")):
        gone = points[points["status"] == status]
        if gone.empty:
            continue
        color = GREY if status == "skipped" else RED
        figure.add_scatter(
            x=list(gone.index), y=level[gone.index] / unit.scale, mode="markers", name=status,
            marker={"color": color, "symbol": symbol, "size": 10, "line": {"color": color, "width": 2}},
            text=[_hover(row) for row in gone.itertuples()], hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip


def _add_boundary(figure: go.Figure, x: float, text: str, *, line: int) -> None:
    # On two lines in turn: neighbours would cover each other on a narrow screen.
    figure.add_vline(
        x=x, line={"color": GREY, "width": 1, "dash": "dash"}, annotation_text=text,
        annotation_position="top", annotation_font_size=11, annotation_yshift=14 * line,
    )  # fmt: skip


def _add_verdict(figure: go.Figure, rows: pd.DataFrame, verdict: str, color: str, symbol: str) -> None:
    if rows.empty:
        return
    change = rows["change"] * 100
    known = rows["low"].notna() & rows["high"].notna()
    figure.add_scatter(
        x=change, y=list(rows["case"]), mode="markers", name=Verdict(verdict).value,
        marker={"color": color, "symbol": symbol, "size": 10, "line": {"color": color, "width": 2}},
        error_x={
            "type": "data", "symmetric": False, "color": color, "thickness": 1.5,
            "array": (rows["high"] * 100 - change).where(known, 0.0),
            "arrayminus": (change - rows["low"] * 100).where(known, 0.0),
        },
        text=[_change_hover(row) for row in rows.itertuples()], hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _hover(row: object) -> str:
    get = row.__getattribute__
    lines = [f"<b>{_plain(get('commit'))}</b> {_plain(get('subject'))}", _plain(get("when"))]
    if get("status") == "ok":
        lines.append(
            f"{format_ns(get('median_ns'))}  [{format_ns(get('low_ns'))}, {format_ns(get('high_ns'))}]"
        )
    else:
        lines.append(str(get("status")))
    return "<br>".join([*lines, _plain(get("timer")), _plain(get("environment"))])


def _change_hover(row: object) -> str:
    get = row.__getattribute__
    text = f"<b>{_plain(get('case'))}</b><br>{Verdict(get('verdict')).value}: {format_share(get('change'))}"
    if pd.notna(get("low")) and pd.notna(get("high")):
        text += f"  [{format_share(get('low'))}, {format_share(get('high'))}]"
    return text


def _plain(text: object) -> str:
    # Plotly reads a few HTML tags in texts; commit subjects are other people's.
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ticks(points: pd.DataFrame) -> dict[str, object]:
    count = len(points)
    step = max(1, -(-count // _MOST_TICKS))
    # Counted from the newest, which is the commit that people look for.
    shown = list(range(count - 1, -1, -step))[::-1]
    return {
        "tickmode": "array",
        "tickangle": 0,
        "tickvals": shown,
        "ticktext": [_tick(points.iloc[i]) for i in shown],
    }


def _tick(row: pd.Series) -> str:
    return f"{_plain(row['commit'])[:7]}<br>{str(row['when'])[5:10]}"


def _unit(values_ns: pd.Series) -> _Unit:
    middle = values_ns.median()
    for scale, name in _SCALES:
        if pd.notna(middle) and middle >= scale:
            return _Unit(scale, name)
    return _Unit(1.0, "ns")


def _faint(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.22)"
