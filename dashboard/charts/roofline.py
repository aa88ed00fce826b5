"""Where cases stand under the roofs of their GPU: operations a byte against operations a second.

Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model", CACM 52(4), 2009. The
roofs are what the measurement itself went by: a stored share of the roofline times the stored median is the
roofline's time, max(bytes / bandwidth, operations / rate). Bytes and operations over that time never exceed
bandwidth and rate, and reach them where a case is bound by them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from dashboard.charts.palette import BLUE, GREY, ORANGE, plain_label
from perfsuite.model import Result, Status
from perfsuite.summary import summarize
from perfsuite.units import NS_PER_S, format_ns

_SAME = 1e-6
"""Two results that give a roof give it alike but for rounding."""
_DASHES = ("dash", "dot", "dashdot", "longdash")
_TERA = 1e12
_ROOM = 2.0
"""Factor of free space around the outermost points, on logarithmic axes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One measured case."""

    case: str
    family: str
    median_ns: float
    bytes: int
    operations: int
    precision: str
    fraction: float | None
    """Of what the roofline allows; None where its roof is not known."""

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.operations / self.bytes if self.bytes else math.inf

    @property
    def operations_per_s(self) -> float:
        return self.operations / self.median_ns * NS_PER_S

    @property
    def bytes_per_s(self) -> float:
        return self.bytes / self.median_ns * NS_PER_S

    @property
    def bound_ns(self) -> float | None:
        """What the roofline allows."""
        return self.fraction * self.median_ns if self.fraction else None

    @property
    def drawable(self) -> bool:
        """Whether it has a place on logarithmic axes."""
        return self.bytes > 0 and self.operations > 0


@dataclass(frozen=True, slots=True)
class Roofs:
    """What the GPU could do at most, as far as results tell; a rate by precision."""

    bytes_per_s: float | None = None
    operations_per_s: Mapping[str, float] = field(default_factory=dict)

    def bound_by(self, standing: Standing) -> str:
        """`memory` or `operations`; empty where the roof is not known."""
        rate = self.operations_per_s.get(standing.precision)
        if standing.bound_ns is None or not (self.bytes_per_s or rate):
            return ""
        memory_s = standing.bytes / self.bytes_per_s if self.bytes_per_s else 0.0
        return "operations" if rate and standing.operations / rate > memory_s else "memory"


def standing_of(result: Result, median_ns: float | None = None) -> Standing | None:
    """Of a timed result whose bytes or operations are known.

    Args:
        median_ns: of a result that was read without its samples.
    """
    if result.status is not Status.OK or not (result.bytes or result.operations):
        return None
    if median_ns is None:
        median_ns = summarize(result.samples_ns).median_ns if result.samples_ns else None
    if not median_ns or not math.isfinite(median_ns):
        return None
    return Standing(
        *(result.case, result.family, median_ns, result.bytes or 0, result.operations or 0),
        *(str(result.extra.get("precision") or "unknown"), result.roofline_fraction),
    )


def roofs_of(standings: Sequence[Standing]) -> Roofs:
    """The roofs that these results went by, those that they tell for certain.

    Bytes over roofline time never exceed the bandwidth. Where the largest is that of a case without
    operations, or of cases of different intensities, it is the bandwidth; whatever stays below it is bound by
    operations, and tells its precision's rate. Without a bandwidth, a rate takes two such cases that agree.
    """
    known = [(each, each.bound_ns) for each in standings if each.bound_ns]
    bandwidth = _agreed([(each.bytes / ns, each.intensity) for each, ns in known], alone=0.0)
    rates: dict[str, float] = {}
    for precision in sorted({each.precision for each, _ in known if each.operations}):
        below = [
            (each.operations / ns, each.intensity)
            for each, ns in known
            if each.precision == precision and not (bandwidth and _near(each.bytes / ns, bandwidth))
        ]
        rate = max((value for value, _ in below), default=None) if bandwidth else _agreed(below)
        if rate:
            rates[precision] = rate * NS_PER_S
    return Roofs(bandwidth * NS_PER_S if bandwidth else None, rates)


def _agreed(values: Sequence[tuple[float, float]], alone: float | None = None) -> float | None:
    """The largest of (value, intensity), where two intensities give it, or one that is proof alone."""
    largest = max((value for value, _ in values), default=0.0)
    reaching = {intensity for value, intensity in values if _near(value, largest)}
    return largest if largest and (len(reaching) > 1 or alone in reaching) else None


def _near(value: float, largest: float) -> bool:
    return value >= largest * (1 - _SAME)


def roofline(
    here: Sequence[tuple[str, Standing]], peers: Sequence[Standing], others: Sequence[Standing], roofs: Roofs
) -> go.Figure:
    """This case on its sides, its family and the other cases of the run, below the roofs.

    Args:
        here: side → where it stands; the last is emphasised.
        peers: other cases of its family.
        others: of other families, small and grey.
    """
    figure = go.Figure()
    drawn = [each for each in (*(one for _, one in here), *peers, *others) if each.drawable]
    if not drawn:
        return figure
    low = min(each.intensity for each in drawn) / _ROOM
    high = max(each.intensity for each in drawn) * _ROOM
    _add_roofs(figure, roofs, low, high)
    _add(figure, others, "other cases", GREY, "circle-open", 6)
    _add(figure, peers, "same family", BLUE, "circle", 9)
    symbols = ("diamond-open", "diamond")[-len(here) :]
    for (side, one), symbol in zip(here, symbols, strict=False):
        _add(figure, [one], f"this case, {side}" if side else "this case", ORANGE, symbol, 14)
    figure.update_layout(
        height=460,
        margin={"l": 10, "r": 10, "t": 50, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "xanchor": "left"},
        xaxis={"title": {"text": "operations a byte"}, "type": "log"},
        yaxis={"title": {"text": "operations a second (T/s)"}, "type": "log"},
    )
    return figure


def _add(
    figure: go.Figure, standings: Sequence[Standing], name: str, color: str, symbol: str, size: int
) -> None:
    some = [each for each in standings if each.drawable]
    if not some:
        return
    figure.add_scatter(
        x=[each.intensity for each in some],
        y=[each.operations_per_s / _TERA for each in some],
        mode="markers",
        name=name,
        marker={"color": color, "symbol": symbol, "size": size, "line": {"color": color, "width": 1.5}},
        text=[_hover(each) for each in some],
        hovertemplate="%{text}<extra></extra>",
    )


def _add_roofs(figure: go.Figure, roofs: Roofs, low: float, high: float) -> None:
    """The memory's slope up to the highest rate, and each rate from where it is the lower roof."""
    slope = roofs.bytes_per_s
    top = max(roofs.operations_per_s.values(), default=None)
    if slope:
        ridge = min(high, top / slope) if top else high
        if ridge > low:
            _add_roof(
                figure, (low, ridge), (low * slope, ridge * slope), f"{slope / _TERA:.3g} TB/s", "solid"
            )
    for number, (precision, rate) in enumerate(roofs.operations_per_s.items()):
        start = max(low, rate / slope) if slope else low
        end = max(high, start * _ROOM)
        label = f"{rate / _TERA:.4g} T/s {plain_label(precision)}"
        _add_roof(figure, (start, end), (rate, rate), label, _DASHES[number % len(_DASHES)])


def _add_roof(
    figure: go.Figure, x: tuple[float, float], y: tuple[float, float], name: str, dash: str
) -> None:
    figure.add_scatter(
        x=x,
        y=[value / _TERA for value in y],
        mode="lines",
        name=name,
        line={"color": GREY, "width": 2, "dash": dash},
        hoverinfo="name",
    )


def _hover(each: Standing) -> str:
    lines = [
        f"<b>{plain_label(each.case)}</b>",
        f"{format_ns(each.median_ns)} · {each.intensity:.3g} operations a byte",
        f"{each.operations_per_s / _TERA:.4g} T/s ({plain_label(each.precision)})"
        f" · {each.bytes_per_s / _TERA:.3g} TB/s",
    ]
    return "<br>".join([*lines, *([f"{each.fraction:.1%} of the roofline"] if each.fraction else [])])
