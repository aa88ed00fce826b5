"""A series about a change as a small picture: two levels, and between which commits it moved. Pure.

Of HTML boxes, not of SVG, which Streamlit's HTML does not let through, nor an image of it: its dots could not
say which commit they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from dashboard.charts.palette import BLUE, GREY, RED, faint
from dashboard.links import href
from dashboard.router import LINK
from perfsuite.model import Commit, Status
from perfsuite.report.words import plain
from perfsuite.units import format_ns

HEIGHT_PX = 120
_EDGE = 3.0
"""Percent of the width and the height that stay free at each side, for the dots at the ends."""
_TITLE = 120
_BOX = "position:absolute;"
_DOT = _BOX + "width:7px;height:7px;margin:0 0 -3.5px -3.5px;border-radius:50%;background:"
_CROSS = _BOX + "bottom:0;margin-left:-.4em;text-decoration:none;font-size:.7rem;color:"


@dataclass(frozen=True, slots=True)
class _Picture:
    """Where things lie, in percent."""

    count: int
    bottom_ns: float
    top_ns: float

    def x(self, place: float) -> str:
        return _percent(place / max(self.count - 1, 1))

    def y(self, value_ns: float) -> str:
        return _percent((value_ns - self.bottom_ns) / (self.top_ns - self.bottom_ns or 1.0))


def around_change(
    values_ns: Sequence[float | None],
    statuses: Sequence[Status],
    commits: Sequence[Commit],
    low: int,
    high: int,
    repository: str = "",
) -> Markup:
    """A dot a run, leading to its commit; places `low` to `high` shaded; a line for the level on either side.

    Runs without a time are crosses at the bottom. Nothing where no run has a time.
    """
    known = [value for value in values_ns if value is not None]
    if not known:
        return Markup("")
    picture = _Picture(len(values_ns), min(known), max(known))
    levels = [_level(values_ns, range(low + 1), picture)]
    if high > low:
        levels.append(_level(values_ns, range(high, len(values_ns)), picture))
    marks = [
        _mark(place, value, status, commit, picture, repository)
        for place, (value, status, commit) in enumerate(zip(values_ns, statuses, commits, strict=True))
    ]
    told = f"{len(values_ns)} runs about the change, {format_ns(min(known))} to {format_ns(max(known))}"
    style = f"position:relative;max-width:720px;height:{HEIGHT_PX}px;overflow:hidden"
    return Markup(
        '<figure style="margin:0"><div role="img" aria-label="{}" style="{}">{}{}{}</div>'
        '<figcaption class="ps-muted">{}; each dot is a run, the range of the change is shaded, the lines are'
        " the medians before and after.</figcaption></figure>"
    ).format(told, style, _shade(low, high, picture), Markup("").join(levels), Markup("").join(marks), told)


def _shade(low: int, high: int, picture: _Picture) -> Markup:
    right = f"calc(100% - {picture.x(high)})"
    style = f"{_BOX}top:0;bottom:0;left:{picture.x(low)};right:{right};min-width:2px;background:{faint(GREY)}"
    return Markup('<span style="{}"></span>').format(style)


def _level(values_ns: Sequence[float | None], places: range, picture: _Picture) -> Markup:
    known = [value for place in places if (value := values_ns[place]) is not None]
    if not known:
        return Markup("")
    right = f"calc(100% - {picture.x(places[-1])})"
    ends = f"left:{picture.x(places[0])};right:{right};bottom:{picture.y(median(known))}"
    return Markup('<span style="{}"></span>').format(f"{_BOX}{ends};border-top:1px dashed currentColor")


def _mark(
    place: int, value: float | None, status: Status, commit: Commit, picture: _Picture, repository: str
) -> Markup:
    what = status.value if value is None else format_ns(value)
    title = f"{plain(commit.label)} · {what} · {plain(commit.subject)[:_TITLE]}"
    style = f"left:{picture.x(place)};"
    style += f"{_CROSS}{RED}" if value is None else f"bottom:{picture.y(value)};{_DOT}{BLUE}"
    # Not for the Tab key, which would have to pass them all: the trends page lists the commits.
    return Markup('<a class="{}" tabindex=-1 href="{}" style="{}" title="{}">{}</a>').format(
        LINK,
        href("commit", sha=commit.sha, repository=repository),
        style,
        title,
        "✕" if value is None else "",
    )


def _percent(share: float) -> str:
    return f"{_EDGE + share * (100 - 2 * _EDGE):.2f}%"
