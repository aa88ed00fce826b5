"""Small pictures in tables: a line of relative values. Pure.

As images: Streamlit's HTML lets no SVG element through. An image knows no colour of its page, so all
colours are the palette's, which read on white and on black.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from dashboard.charts.palette import BLUE, GREEN, GREY, RED
from perfsuite.model import Verdict
from perfsuite.units import format_share

LEAST_RANGE = 0.02
"""Half of the height, as a share: noise of half a percent must not look like a mountain range."""
_PAD = 3.0
"""Room for the marks at the edges, in pixels."""
_SIGNS = {
    Verdict.REGRESSED: (RED, "M{x:.1f} {y:.1f}l-3 5h6z"),
    Verdict.IMPROVED: (GREEN, "M{x:.1f} {y:.1f}l-3 -5h6z"),
}
"""Triangles that point the way of the time: ▲ slower, ▼ faster."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a picture, in pixels."""

    width: int = 240
    height: int = 28


SMALL = Size()


def sparkline(
    line: Sequence[float | None],
    what: str,
    *,
    breaks: Collection[int] = (),
    marks: Mapping[int, Verdict] | None = None,
    size: Size = SMALL,
) -> Markup:
    """A line of values around 1 over the commits, slower is up; breaks where nothing may be compared.

    Args:
        line: one a commit, oldest first; None where there is no value.
        what: says what it shows, for people who do not see it.
        breaks: places before which the line begins anew.
        marks: places with a regression or an improvement.
    """
    known = [value for value in line if value is not None]
    if not known:
        return Markup("")
    reach = max(LEAST_RANGE, *(abs(value - 1) for value in known))
    points = [_point(place, value, len(line), reach, size) for place, value in enumerate(line)]
    parts = [
        _stroke(
            f"M0 {size.height / 2:.1f}H{size.width}", GREY, ' stroke-opacity=".5" stroke-dasharray="2 3"'
        ),
        *(_stroke(f"M{x:.1f} 0V{size.height}", GREY) for x in _edges(breaks, line, size)),
        _stroke(_path(points, breaks), BLUE, ' fill="none" stroke-width="1.5" stroke-linecap="round"'),
        _end(points),
        *_signs(points, marks or {}),
    ]
    low, high = min(known) - 1, max(known) - 1
    said = f"{what}: between {format_share(low)} and {format_share(high)} of its level"
    return picture("".join(parts), said, size)


def picture(drawn: str, said: str, size: Size) -> Markup:
    """An image of SVG elements, which must not hold anybody's words; `said` may."""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size.width}" height="{size.height}"'
        f' viewBox="0 0 {size.width} {size.height}">{drawn}</svg>'
    )
    # Quotes are the only characters that the attribute cannot hold; the others are kept short.
    source = "data:image/svg+xml," + quote(svg.replace('"', "'"), safe=" '=:/.,;-+()!*~")
    return Markup('<img class="ps-spark" src="{}" width="{}" height="{}" alt="{}" title="{}">').format(
        source, size.width, size.height, said, said
    )


def _stroke(path: str, color: str, more: str = "") -> str:
    return f'<path d="{path}" stroke="{color}"{more}/>'


def _point(
    place: int, value: float | None, count: int, reach: float, size: Size
) -> tuple[float, float] | None:
    if value is None:
        return None
    width, height = size.width - 2 * _PAD, size.height - 2 * _PAD
    x = _PAD + width * (place / (count - 1) if count > 1 else 0.5)
    return x, size.height / 2 - (value - 1) / reach * height / 2


def _edges(breaks: Collection[int], line: Sequence[float | None], size: Size) -> list[float]:
    width = size.width - 2 * _PAD
    return [
        _PAD + width * (place - 0.5) / (len(line) - 1) for place in sorted(breaks) if place and len(line) > 1
    ]


def _path(points: Sequence[tuple[float, float] | None], breaks: Collection[int]) -> str:
    """Lines between neighbours that have a value; a lone one is a line of no length, which is a dot."""
    steps, pen = [], False
    for place, point in enumerate(points):
        if point is None:
            continue
        pen = pen and place not in breaks
        steps.append(f"{'L' if pen else 'M'}{point[0]:.1f} {point[1]:.1f}{'' if pen else 'h0'}")
        pen = True
    return "".join(steps)


def _end(points: Sequence[tuple[float, float] | None]) -> str:
    x, y = next(point for point in reversed(points) if point is not None)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{BLUE}"/>'


def _signs(points: Sequence[tuple[float, float] | None], marks: Mapping[int, Verdict]) -> list[str]:
    found = []
    for place, verdict in sorted(marks.items()):
        point = points[place]
        if point is not None and verdict in _SIGNS:
            color, shape = _SIGNS[verdict]
            found.append(f'<path d="{shape.format(x=point[0], y=point[1])}" fill="{color}"/>')
    return found
