"""Raw samples of one case: in order of time, as a distribution, block by block. Pure: samples → figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.palette import (
    BLUE,
    ENVIRONMENT_SYMBOLS,
    GREY,
    ORANGE,
    PURPLE,
    THRESHOLD_BAND,
    Unit,
    faint,
    unit_of,
)
from perfsuite.model import Block, Round
from perfsuite.units import format_ns, format_share

STYLES = ((BLUE, "circle", "dash"), (ORANGE, "diamond", "solid"))
"""Colour, symbol and dash of base and head: told apart without colour too."""
WEBGL_FROM = 1_000
"""Points in one trace: below, SVG starts sooner than WebGL."""
MOST_POINTS = 4_000
"""Samples of one side that are drawn, spread evenly: imported benchmarks have up to 100,000 rounds."""
MOST_BLOCKS = 200
"""Shaded one by one; more would be a grey plane."""
_GAP = 1
"""Rounds' widths between two blocks."""
_MARGIN = {"l": 10, "r": 10, "t": 30, "b": 10}
_LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "xanchor": "left"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One round on the axis of time."""

    side: str
    place: int
    pair: int
    block: int
    round: Round


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a block lies on the axis of time."""

    pair: int
    block: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Rounds of one or two sides in the order in which they ran; times between them are not to scale."""

    samples: tuple[Sample, ...]
    stretches: tuple[Stretch, ...]
    sides: tuple[str, ...]

    def of(self, side: str) -> list[Sample]:
        """Those of one side, thinned evenly where they are too many to draw; throttled ones all stay."""
        found = [sample for sample in self.samples if sample.side == side]
        step = max(1, math.ceil(len(found) / MOST_POINTS))
        return [one for place, one in enumerate(found) if place % step == 0 or one.round.throttled]

    @property
    def unit(self) -> Unit:
        return unit_of(sample.round.sample_ns for sample in self.samples)


def timeline(sides: Mapping[str, Sequence[Block]], *, lockstep: bool) -> Timeline:
    """Lays rounds one after another.

    Args:
        sides: name → blocks; base before head.
        lockstep: they were measured together: blocks of equal pair and number share a stretch, in the order
            of the rounds. Else the runs follow each other.
    """
    together = [sides] if lockstep else [{name: blocks} for name, blocks in sides.items()]
    samples: list[Sample] = []
    stretches: list[Stretch] = []
    for some in together:
        _lay(some, samples, stretches)
    return Timeline(tuple(samples), tuple(stretches), tuple(sides))


def _lay(sides: Mapping[str, Sequence[Block]], samples: list[Sample], stretches: list[Stretch]) -> None:
    blocks: dict[tuple[int, int], list[tuple[str, Round]]] = {}
    for side, theirs in sides.items():
        for each in theirs:
            blocks.setdefault((each.pair, each.block), []).extend((side, one) for one in each.rounds)
    for (pair, block), rounds in sorted(blocks.items(), key=lambda item: item[0]):
        start = math.ceil(stretches[-1].end) + _GAP if stretches else 0
        ordered = sorted(rounds, key=lambda one: one[1].order)
        samples += [Sample(side, start + at, pair, block, one) for at, (side, one) in enumerate(ordered)]
        stretches.append(Stretch(pair, block, start - 0.5, start + max(0, len(ordered) - 1) + 0.5))


def in_order(line: Timeline) -> go.Figure:
    """Samples in order of time; blocks shaded in turn, pairs named, throttled rounds crossed."""
    figure = go.Figure()
    unit = line.unit
    for trace in sample_traces(line, unit):
        figure.add_trace(trace)
    figure.update_layout(
        height=360,
        margin=_MARGIN,
        legend=_LEGEND,
        xaxis={"title": {"text": "rounds in the order in which they ran"}, "showticklabels": False},
        yaxis={"title": {"text": f"time per iteration ({unit.name})"}},
        **marks(line),
    )
    return figure


def sample_traces(line: Timeline, unit: Unit) -> Iterator[go.Scatter | go.Scattergl]:
    """A trace for each side, and one more for its throttled rounds."""
    for (color, symbol, _), side in zip(STYLES, line.sides, strict=False):
        drawn = line.of(side)
        # On the same axes: a figure that mixes both kinds draws one above all of the other.
        kind = go.Scattergl if len(drawn) > WEBGL_FROM else go.Scatter
        for throttled in (False, True):
            some = [sample for sample in drawn if sample.round.throttled == throttled]
            if not some:
                continue
            yield kind(
                x=[sample.place for sample in some],
                y=[sample.round.sample_ns / unit.scale for sample in some],
                mode="markers",
                name=f"{side}, throttled" if throttled else side,
                marker={
                    "color": color,
                    "symbol": "x" if throttled else symbol,
                    "size": 9 if throttled else 5,
                },
                text=[_hover(sample) for sample in some],
                hovertemplate="%{text}<extra></extra>",
            )


def marks(line: Timeline) -> dict[str, Any]:
    """Shapes and annotations of a layout: every second block shaded, pairs apart."""
    if len(line.stretches) > MOST_BLOCKS:
        return {}
    shapes = [
        {
            **{"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"},
            **{"x0": each.start, "x1": each.end, "line": {"width": 0}, "fillcolor": faint(GREY, 0.12)},
        }
        for number, each in enumerate(line.stretches)
        if number % 2
    ]
    starts = [
        each
        for before, each in zip((None, *line.stretches), line.stretches, strict=False)
        if before is None or before.pair != each.pair or before.block > each.block
    ]
    if len(starts) < 2:
        return {"shapes": shapes}
    lines = [
        {
            **{"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1},
            **{"x0": each.start, "x1": each.start, "line": {"color": GREY, "width": 1, "dash": "dot"}},
        }
        for each in starts
    ]
    names = [
        {
            **{"xref": "x", "yref": "paper", "x": each.start, "y": 0, "xanchor": "left", "yanchor": "bottom"},
            **{"text": f"pair {each.pair + 1}", "showarrow": False, "font": {"size": 11}},
        }
        for each in starts
    ]
    return {"shapes": [*shapes, *lines], "annotations": names}


def distribution(line: Timeline) -> go.Figure:
    """The share of each side's rounds that took at most so long; throttled rounds are left out."""
    figure = go.Figure()
    unit = line.unit
    for (color, _, dash), side in zip(STYLES, line.sides, strict=False):
        times = sorted(sample.round.sample_ns for sample in line.of(side) if not sample.round.throttled)
        if not times:
            continue
        figure.add_scatter(
            x=[value / unit.scale for value in times],
            y=[(rank + 1) / len(times) for rank in range(len(times))],
            mode="lines",
            name=side,
            line={"color": color, "dash": dash, "shape": "hv", "width": 2},
            hovertemplate=f"%{{y:.0%}} of the rounds took at most %{{x:.4g}} {unit.name}"
            f"<extra>{side}</extra>",
        )
    figure.update_layout(
        height=300,
        margin=_MARGIN,
        legend=_LEGEND,
        xaxis={"title": {"text": f"time per iteration ({unit.name})"}},
        yaxis={"title": {"text": "share of rounds"}, "tickformat": ".0%", "range": [0, 1.02]},
    )
    return figure


def block_ratios(
    values: Sequence[Sequence[float]], interval: tuple[float, float] | None, threshold: float | None
) -> go.Figure:
    """The change that each block shows, by pair, on the interval of them all.

    Args:
        values: log ratios of matched blocks, one group a pair (`stats.paired.block_values`).
        interval: of the change, as shares.
        threshold: below it, in either direction, a change is not relevant.
    """
    figure = go.Figure()
    place = 0
    for pair, group in enumerate(values):
        places = list(range(place, place + len(group)))
        place += len(group) + 1
        figure.add_scatter(
            x=places,
            y=[math.expm1(value) * 100 for value in group],
            mode="markers",
            name=f"pair {pair + 1}",
            marker={
                "color": PURPLE,
                "symbol": ENVIRONMENT_SYMBOLS[pair % len(ENVIRONMENT_SYMBOLS)],
                "size": 9,
            },
            text=[f"pair {pair + 1}, block {i + 1}: {_share(value)}" for i, value in enumerate(group)],
            hovertemplate="%{text}<extra></extra>",
        )
    bands = [(-threshold, threshold, THRESHOLD_BAND)] if threshold else []
    bands += [(*interval, faint(PURPLE, 0.25))] if interval else []
    shapes = [
        {
            **{"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "layer": "below"},
            **{"y0": low * 100, "y1": high * 100, "fillcolor": color, "line": {"width": 0}},
        }
        for low, high, color in bands
    ]
    figure.update_layout(
        height=300,
        margin=_MARGIN,
        legend=_LEGEND,
        showlegend=True,
        shapes=shapes,
        xaxis={"title": {"text": "blocks"}, "showticklabels": False},
        yaxis={"title": {"text": "change (%), slower ↑"}, "zeroline": True, "ticksuffix": " %"},
    )
    return figure


def _share(value: float) -> str:
    return format_share(math.expm1(value))


def _hover(sample: Sample) -> str:
    lines = [
        f"<b>{format_ns(sample.round.sample_ns)}</b> {sample.side}",
        f"pair {sample.pair + 1}, block {sample.block + 1}, round {sample.round.index + 1}",
    ]
    return "<br>".join([*lines, *(["throttled: repeated"] if sample.round.throttled else [])])
