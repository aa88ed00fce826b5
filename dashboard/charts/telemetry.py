"""Clocks, power and temperature below the samples that were taken beside them. Pure: rounds → figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.palette import plain_label
from dashboard.charts.samples import STYLES, Sample, Timeline, marks, sample_traces
from perfsuite.model import Telemetry


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that NVML may tell."""

    name: str
    unit: str
    read: Callable[[Telemetry], float | None]


QUANTITIES = (
    Quantity("SM clock", "MHz", lambda told: told.sm_mhz),
    Quantity("memory clock", "MHz", lambda told: told.memory_mhz),
    Quantity("power", "W", lambda told: told.power_w),
    Quantity("temperature", "°C", lambda told: told.temperature_c),
)
_ROW_PX = 130
_ROOM = 0.02
"""Of the largest value, above and below."""
_SAMPLES_PX = 220


def told(line: Timeline) -> tuple[list[Quantity], list[Quantity]]:
    """What NVML told of at least one round, and what it did not."""
    known = [
        quantity for quantity in QUANTITIES if any(_value(s, quantity) is not None for s in line.samples)
    ]
    return known, [quantity for quantity in QUANTITIES if quantity not in known]


def throttle_reasons(line: Timeline) -> dict[str, int]:
    """Reason → rounds beside which it was active, the most frequent first."""
    counts: dict[str, int] = {}
    for sample in line.samples:
        for reason in sample.round.telemetry.throttle if sample.round.telemetry else ():
            counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def beside(line: Timeline) -> go.Figure:
    """The samples, and below them on the same axis each quantity that is known."""
    known, _ = told(line)
    heights = [_SAMPLES_PX, *(_ROW_PX for _ in known)]
    figure = make_subplots(
        rows=len(heights), cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=heights
    )
    unit = line.unit
    for trace in sample_traces(line, unit):
        figure.add_trace(trace, row=1, col=1)
    figure.update_yaxes(title_text=unit.name, row=1, col=1)
    for row, quantity in enumerate(known, start=2):
        for number, side in enumerate(line.sides):
            figure.add_trace(_trace(line, side, number, quantity), row=row, col=1)
        title = f"{quantity.name}<br>({quantity.unit})"
        figure.update_yaxes(title_text=title, range=_range(line, quantity), nticks=4, row=row, col=1)
    figure.update_xaxes(showticklabels=False)
    figure.update_xaxes(title_text="rounds in the order in which they ran", row=len(heights), col=1)
    figure.update_layout(
        height=sum(heights) + 90,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "xanchor": "left"},
        **marks(line),
    )
    return figure


def _trace(line: Timeline, side: str, number: int, quantity: Quantity) -> go.Scatter:
    color, symbol, dash = STYLES[number]
    values = [(sample, value) for sample in line.of(side) if (value := _value(sample, quantity)) is not None]
    return go.Scatter(
        x=[sample.place for sample, _ in values],
        y=[value for _, value in values],
        mode="lines+markers",
        name=side,
        showlegend=False,
        line={"color": color, "dash": dash, "width": 1},
        # A cross where the GPU said that it held itself back.
        marker={
            "color": color,
            "size": 6,
            "symbol": ["x" if _reasons(sample) else symbol for sample, _ in values],
        },
        text=[_hover(sample, quantity, value) for sample, value in values],
        hovertemplate="%{text}<extra></extra>",
    )


def _range(line: Timeline, quantity: Quantity) -> list[float]:
    """Wide enough that a clock which stands still does not look like one that trembles."""
    values = [value for sample in line.samples if (value := _value(sample, quantity)) is not None]
    room = max(_ROOM * max(values), (max(values) - min(values)) / 5)
    return [min(values) - room, max(values) + room]


def _value(sample: Sample, quantity: Quantity) -> float | None:
    return quantity.read(sample.round.telemetry) if sample.round.telemetry else None


def _reasons(sample: Sample) -> tuple[str, ...]:
    return sample.round.telemetry.throttle if sample.round.telemetry else ()


def _hover(sample: Sample, quantity: Quantity, value: float) -> str:
    text = f"<b>{value:g} {quantity.unit}</b> {quantity.name}, {sample.side}"
    reasons = ", ".join(map(plain_label, _reasons(sample)))
    return f"{text}<br>held back: {reasons}" if reasons else text
