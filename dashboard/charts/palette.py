"""Colours, symbols and labels of all charts. Imports no chart library: the first page has none.

The hues are Okabe and Ito's palette ("Color Universal Design", 2008), moved to a lightness at which each has
a contrast of about 4:1 on white and on Streamlit's black: a line needs 3:1 (WCAG 2.2, 1.4.11). Symbols make
every distinction as well, so that a grey print still tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from perfsuite.model import Verdict
from perfsuite.report.words import plain
from perfsuite.units import NS_PER_MS, NS_PER_S, NS_PER_US

BLUE, ORANGE, GREEN, RED = "#2f80c8", "#b86e00", "#17906b", "#cf4f22"
PURPLE, GREY = "#ae6296", "#7b8089"
THRESHOLD_BAND = "rgba(128, 133, 142, 0.22)"
"""Where a change is not relevant."""
ENVIRONMENT_COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED)
ENVIRONMENT_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")
ENVIRONMENT_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")

VERDICTS: dict[Verdict, tuple[str, str]] = {
    Verdict.INCORRECT: (RED, "x"),
    Verdict.FAILED: (RED, "x-open"),
    Verdict.REGRESSED: (RED, "triangle-right"),
    Verdict.LESS_ACCURATE: (PURPLE, "triangle-left-open"),
    Verdict.IMPROVED: (GREEN, "triangle-left"),
    Verdict.INCONCLUSIVE: (ORANGE, "diamond-open"),
    Verdict.UNCHANGED: (BLUE, "circle"),
    Verdict.IDENTICAL: (GREY, "square"),
    Verdict.NEW: (PURPLE, "star"),
    Verdict.REMOVED: (GREY, "line-ew"),
}
"""Colour and Plotly symbol."""

_SCALES = ((NS_PER_S, "s"), (NS_PER_MS, "ms"), (NS_PER_US, "µs"), (1.0, "ns"))
_LONGEST_LABEL = 160
"""Of names of others: a longer one would push the chart off its own picture."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Of an axis of times."""

    scale: float
    """Nanoseconds in one of it."""
    name: str


def unit_of(values_ns: Iterable[float | None]) -> Unit:
    """The largest unit in which the middle value is at least 1; None and NaN do not count."""
    known = [value for value in values_ns if value is not None and value == value]
    middle = median(known) if known else 0.0
    return next((Unit(scale, name) for scale, name in _SCALES if middle >= scale), Unit(1.0, "ns"))


def plain_label(text: object) -> str:
    """Anybody's words as a label: on one line, not without end, and none of the tags that Plotly reads."""
    line = plain(str(text))
    if len(line) > _LONGEST_LABEL:
        line = line[: _LONGEST_LABEL - 1] + "…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def faint(color: str, share: float = 0.22) -> str:
    """The same colour, translucent: for bands, on any background."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {share})"


def chart_config(name: str, image: str = "png") -> dict[str, Any]:
    """Plotly's configuration of a chart.

    Args:
        name: what a picture of it is called, without an ending.
        image: `png` or `svg`: what the camera button saves.
    """
    # Twice the pixels: a picture in a comment is looked at on better screens than this one.
    scale = 1 if image == "svg" else 2
    return {
        "displaylogo": False,
        "toImageButtonOptions": {"filename": name, "format": image, "scale": scale},
        "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    }
