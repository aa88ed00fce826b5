"""Machine code and correctness of a case along its history. Pure: values → figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.decimate import decimate
from dashboard.charts.palette import (
    BLUE,
    ENVIRONMENT_COLORS,
    ENVIRONMENT_DASHES,
    ENVIRONMENT_SYMBOLS,
    RED,
    plain_label,
)
from perfsuite.model import Kernel, Launches

TOTAL = "total"
"""Class that counts all instructions (`perfsuite.static.mix`)."""
MOST_CLASSES = 8
"""Drawn of a mix, those with the most instructions; the others are one line."""
OTHERS = "other classes"
MOST_ERRORS = 800
"""Points drawn of each kind: few enough for a chart that starts without WebGL."""
_MOST_TICKS = 5
"""Side by side on a telephone."""


def _total(kernel: Kernel) -> int | None:
    return kernel.instructions.get(TOTAL) or sum(kernel.instructions.values()) or None


_RESOURCES: tuple[tuple[str, Callable[[Kernel], float | None]], ...] = (
    ("registers", lambda kernel: kernel.registers),
    ("spills", lambda kernel: kernel.spills),
    ("shared (KiB)", lambda kernel: None if kernel.shared_bytes is None else kernel.shared_bytes / 1024),
    ("instructions", _total),
)
_ROW_PX = 130
_MARGIN = {"l": 10, "r": 10, "t": 30, "b": 10}
_LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "xanchor": "left"}


@dataclass(frozen=True, slots=True)
class Step:
    """Machine code from one run of the history on, until the next step."""

    at: int
    """Place on the axis."""
    commit: str
    launches: Launches


@dataclass(frozen=True, slots=True)
class ErrorPoint:
    """The error of one run of the history."""

    at: int
    commit: str
    share: float
    """Of its tolerance; above 1 the gate is red."""
    error_rms: float
    passed: bool


def named_kernels(launches: Launches) -> dict[str, Kernel]:
    """Kernels by names of their own: variants of one name are numbered in the order of their launch."""
    found: dict[str, Kernel] = {}
    seen: dict[str, int] = {}
    for kernel in launches.kernels:
        number = seen[kernel.name] = seen.get(kernel.name, 0) + 1
        found[kernel.name if number == 1 else f"{kernel.name} ({number})"] = kernel
    return found


def resources(steps: Sequence[Step], commits: Sequence[str]) -> go.Figure:
    """Registers, spills, shared memory and instructions of each kernel, as steps over the history.

    Args:
        steps: where the machine code changed, the oldest first.
        commits: short name of each place on the axis.
    """
    names = list(dict.fromkeys(name for step in steps for name in named_kernels(step.launches)))
    figure = make_subplots(rows=len(_RESOURCES), cols=1, shared_xaxes=True, vertical_spacing=0.04)
    for row, (title, read) in enumerate(_RESOURCES, start=1):
        for number, name in enumerate(names):
            values = []
            for step in steps:
                kernel = named_kernels(step.launches).get(name)
                values.append(None if kernel is None else read(kernel))
            trace = _steps(steps, values, name, number, len(commits))
            figure.add_trace(trace.update(showlegend=row == 1, legendgroup=name), row=row, col=1)
        figure.update_yaxes(title_text=title, rangemode="tozero", row=row, col=1)
    figure.update_xaxes(**_ticks(commits))
    figure.update_layout(
        height=_ROW_PX * len(_RESOURCES) + 80, margin=_MARGIN, legend=_LEGEND, showlegend=True
    )
    return figure


def mix(steps: Sequence[Step], kernel: str, commits: Sequence[str]) -> go.Figure:
    """How many instructions of each class a kernel has, as steps over the history."""
    mixes = [_mix(named_kernels(step.launches).get(kernel)) for step in steps]
    figure = go.Figure()
    classes = _classes(mixes)
    for number, name in enumerate(classes):
        values = [_count(one, name, classes) for one in mixes]
        figure.add_trace(_steps(steps, values, name, number, len(commits)))
    figure.update_layout(
        height=340,
        margin=_MARGIN,
        legend=_LEGEND,
        showlegend=True,
        xaxis=_ticks(commits),
        yaxis={"title": {"text": "instructions"}, "rangemode": "tozero"},
    )
    return figure


def margin(points: Sequence[ErrorPoint], commits: Sequence[str]) -> go.Figure:
    """RMS error as a share of its tolerance, on a logarithmic axis, below the gate's line."""
    figure = go.Figure()
    for passed, name, color, symbol in ((True, "passed", BLUE, "circle"), (False, "incorrect", RED, "x")):
        # What is exact has no place on a logarithmic axis; the page counts it in words.
        some = [point for point in points if point.passed == passed and point.share > 0]
        if not some:
            continue
        some = [some[at] for at in decimate(np.array([point.share for point in some]), MOST_ERRORS)]
        figure.add_trace(
            go.Scatter(
                x=[point.at for point in some],
                y=[point.share for point in some],
                mode="markers",
                name=name,
                marker={"color": color, "symbol": symbol, "size": 7 if passed else 10},
                text=[
                    f"<b>{plain_label(point.commit)}</b><br>error (RMS) {point.error_rms:.4g}, "
                    f"{point.share:.1%} of the tolerance"
                    for point in some
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    figure.add_scatter(
        x=[-0.5, max(0, len(commits) - 1) + 0.5],
        y=[1, 1],
        mode="lines",
        name="gate",
        line={"color": RED, "dash": "dash", "width": 2},
        hoverinfo="name",
    )
    figure.update_layout(
        height=360,
        margin=_MARGIN,
        legend=_LEGEND,
        showlegend=True,
        xaxis=_ticks(commits),
        yaxis={"title": {"text": "error (RMS) / tolerance"}, "type": "log", "range": _decades(points)},
    )
    return figure


def _decades(points: Sequence[ErrorPoint]) -> list[float]:
    """Powers of ten from the smallest error to above the gate, one decade at least."""
    known = [math.log10(point.share) for point in points if point.share > 0] or [0.0]
    return [min(-1.0, min(known) - 0.2), max(0.2, max(known) + 0.2)]


def _steps(
    steps: Sequence[Step], values: Sequence[float | None], name: str, number: int, places: int
) -> go.Scatter:
    """A stair with a mark where the machine code changed; the last value holds to the newest run."""
    x = [step.at for step in steps]
    y = list(values)
    labels = [
        f"<b>{plain_label(step.commit)}</b><br>{plain_label(name)}: {_number(value)}"
        for step, value in zip(steps, values, strict=True)
    ]
    if steps and steps[-1].at < places - 1:
        x, y, labels = [*x, places - 1], [*y, y[-1]], [*labels, labels[-1]]
    color = ENVIRONMENT_COLORS[number % len(ENVIRONMENT_COLORS)]
    # Beyond the last colour they come again, on other dashes.
    turn = number + number // len(ENVIRONMENT_COLORS)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name=plain_label(name),
        line={"shape": "hv", "color": color, "dash": ENVIRONMENT_DASHES[turn % len(ENVIRONMENT_DASHES)]},
        marker={"color": color, "symbol": ENVIRONMENT_SYMBOLS[turn % len(ENVIRONMENT_SYMBOLS)], "size": 6},
        text=labels,
        hovertemplate="%{text}<extra></extra>",
    )


def _mix(kernel: Kernel | None) -> Mapping[str, int]:
    counted = kernel.instructions if kernel else {}
    return {name: count for name, count in counted.items() if name != TOTAL}


def _classes(mixes: Sequence[Mapping[str, int]]) -> list[str]:
    most: dict[str, int] = {}
    for one in mixes:
        for name, count in one.items():
            most[name] = max(count, most.get(name, 0))
    # Matrix instructions first, whatever their number: losing them is the first thing to look for.
    names = sorted(most, key=lambda name: (not name.startswith("matrix."), -most[name], name))
    return names if len(names) <= MOST_CLASSES else [*names[: MOST_CLASSES - 1], OTHERS]


def _count(one: Mapping[str, int], name: str, classes: Sequence[str]) -> int | None:
    if not one:
        return None
    return (
        one.get(name, 0)
        if name != OTHERS
        else sum(count for other, count in one.items() if other not in classes)
    )


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:g}"


def _ticks(commits: Sequence[str]) -> dict[str, object]:
    step = max(1, -(-len(commits) // _MOST_TICKS))
    # Counted from the newest, which is the commit that people look for.
    shown = list(range(len(commits) - 1, -1, -step))[::-1]
    return {
        "tickmode": "array",
        "tickvals": shown,
        "ticktext": [plain_label(commits[place]) for place in shown],
        "tickangle": 0,
        "showgrid": False,
        "zeroline": False,
        "range": [-0.6, max(0, len(commits) - 1) + 0.6],
    }
