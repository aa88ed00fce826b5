"""One case's history as text and as JSON: its level, where it moved, between which commits, by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from perfsuite.report.columns import columns
from perfsuite.report.words import plain
from perfsuite.stats.change_points import ChangePoint, Kind
from perfsuite.stats.rules import Series
from perfsuite.units import format_ns, format_share

SCHEMA = 1
_BARS = "▁▂▃▄▅▆▇█"
_BOUNDARY = "│"
_GAP = " "
_SHA = 10
_SUBJECT = 60
_LEAST_WIDTH = 20
_TRIMMED = 0.02
"""Share of the points, on either side, that may leave the picture: one outlier must not flatten it."""
_LINE_WIDTH = 24
"""Of the small pictures in the table of several cases."""


@dataclass(frozen=True, slots=True)
class History:
    """The series of one case on one GPU model, and what a rule found in it."""

    case: str
    repository: str
    machine: str
    """The newest environment, in words."""
    series: Series
    """In ns."""
    points: Sequence[ChangePoint]
    """Where the level moved, in order; intervals may be NaN where the rule has none."""
    boundaries: Mapping[int, str]
    """First point of each further environment → what changed there."""
    subjects: Sequence[str] = ()
    """First lines of the commits' messages, as many as points, or none."""

    @property
    def level_ns(self) -> float | None:
        """Median since the newest change or boundary; None without points."""
        start = max([0, *self.boundaries, *(point.index for point in self.points)])
        values = [value for value in self.series.values[start:] if math.isfinite(value)]
        return median(values) if values else None

    @property
    def moves(self) -> list[ChangePoint]:
        """Change points that are no boundaries."""
        return [point for point in self.points if point.kind is not Kind.BOUNDARY]


def history_text(history: History, *, width: int = 100) -> str:
    """The answer first, the picture, then a line for each change and each boundary."""
    lines = [
        f"{plain(history.case)}  {plain(history.machine)}",
        _answer(history),
        "",
        sparkline(history.series.values, max(_LEAST_WIDTH, width), tuple(history.boundaries)),
        *_scale(history),
    ]
    events = [line for _, line in sorted([*_changes(history), *_boundaries(history)])]
    return "\n".join([*lines, *([""] if events else []), *events]) + "\n"


def histories_text(histories: Sequence[History]) -> str:
    """A line for each."""
    rows = [
        (
            plain(one.case),
            str(len(one.series)),
            "–" if one.level_ns is None else format_ns(one.level_ns),
            str(len(one.moves)),
            _last(one),
            sparkline(one.series.values, _LINE_WIDTH, tuple(one.boundaries)),
        )
        for one in histories
    ]
    headings = ("case", "points", "level", "changes", "last change", "history")
    return "\n".join(columns(headings, rows, right=(1, 2, 3))) + "\n"


def history_json(histories: Sequence[History]) -> dict[str, Any]:
    """Times in ns, shares as fractions, bigger is positive; what is not known is null."""
    return {"schema": SCHEMA, "histories": [_plain(history) for history in histories]}


def sparkline(values: Sequence[float], width: int, boundaries: Sequence[int] = ()) -> str:
    """A picture of at most `width` characters, older points left; several points share one as their median.

    Missing points are blank; the first point of a new environment stands behind a bar.
    """
    room = max(1, width - len(boundaries))
    per = max(1, math.ceil(len(values) / room))
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return ""
    cut = int(len(finite) * _TRIMMED)
    low, high = finite[cut], finite[-1 - cut]
    edges, drawn = sorted(set(boundaries)), ""
    for start in range(0, len(values), per):
        drawn += _BOUNDARY * sum(start <= edge < start + per for edge in edges if edge > 0)
        drawn += _bar([value for value in values[start : start + per] if math.isfinite(value)], low, high)
    return drawn


def _bar(values: Sequence[float], low: float, high: float) -> str:
    if not values:
        return _GAP
    if high <= low:
        return _BARS[len(_BARS) // 2]
    share = (median(values) - low) / (high - low)
    return _BARS[round(min(max(share, 0.0), 1.0) * (len(_BARS) - 1))]


def _answer(history: History) -> str:
    count, steps = len(history.series), len(history.moves)
    changes = "no change" if not steps else f"{steps} {'change' if steps == 1 else 'changes'}"
    level = f", now {format_ns(history.level_ns)}" if history.level_ns is not None else ""
    return f"{count} {'point' if count == 1 else 'points'}{_dates(history.series)}, {changes}{level}."


def _dates(series: Series) -> str:
    if not series.times:
        return ""
    first, last = (datetime.fromtimestamp(moment, UTC) for moment in (min(series.times), max(series.times)))
    return f" from {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _scale(history: History) -> Iterator[str]:
    finite = [value for value in history.series.values if math.isfinite(value)]
    if finite:
        yield f"{format_ns(min(finite))} … {format_ns(max(finite))}"


def _changes(history: History) -> Iterator[tuple[int, str]]:
    for point in history.moves:
        levels = f"{format_ns(point.before)} → {format_ns(point.after)}"
        note = {Kind.DRIFT: "  slow drift", Kind.SMALL: "  small"}.get(point.kind, "")
        yield point.index, f"{_size(point)}  {levels}  {_range(history, point)}{note}"


def _size(point: ChangePoint) -> str:
    """`+4.10 % [+3.20 … +5.00]`, without the interval where there is none."""
    if not (math.isfinite(point.low) and math.isfinite(point.high)):
        return format_share(point.change)
    low, high = (format_share(end).removesuffix(" %") for end in (point.low, point.high))
    return f"{format_share(point.change)} [{low} … {high}]"


def _range(history: History, point: ChangePoint) -> str:
    """`1a2b3c4d5e..6f7a8b9c0d fuse the router`: it came after the first, at the latest with the second."""
    commits = history.series.commits
    if not commits:
        return f"points {point.low_index}..{point.high_index}"
    between = f"{plain(commits[point.low_index][:_SHA])}..{plain(commits[point.high_index][:_SHA])}"
    sure = point.high_index == point.low_index + 1
    if not (sure and history.subjects and history.subjects[point.high_index]):
        return between
    return f"{between} {plain(history.subjects[point.high_index])[:_SUBJECT]}"


def _boundaries(history: History) -> Iterator[tuple[int, str]]:
    measured = {point.index: point for point in history.points if point.kind is Kind.BOUNDARY}
    commits = history.series.commits
    for index, what in history.boundaries.items():
        at = plain(commits[index][:_SHA]) if commits else f"point {index}"
        point = measured.get(index)
        size = f"  ({_size(point)}, no verdict)" if point else ""
        yield index, f"── {at}: {plain(what)}{size}"


def _last(history: History) -> str:
    if not history.moves:
        return "–"
    point = history.moves[-1]
    return f"{format_share(point.change)} {_range(history, point)}"


def _plain(history: History) -> dict[str, Any]:
    series = history.series
    measured = {point.index: point for point in history.points if point.kind is Kind.BOUNDARY}
    return {
        "case": history.case,
        "repository": history.repository,
        "machine": history.machine,
        "level_ns": _finite(history.level_ns),
        "values_ns": [_finite(value) for value in series.values],
        "times": list(series.times),
        "commits": list(series.commits),
        "change_points": [_point(history, point) for point in history.moves],
        "boundaries": [
            {
                "index": index,
                "commit": series.commits[index] if series.commits else None,
                "what": what,
                "change": _finite(measured[index].change) if index in measured else None,
            }
            for index, what in sorted(history.boundaries.items())
        ],
    }


def _point(history: History, point: ChangePoint) -> dict[str, Any]:
    commits = history.series.commits
    return {
        "index": point.index,
        "kind": str(point.kind),
        "after_commit": commits[point.low_index] if commits else None,
        "until_commit": commits[point.high_index] if commits else None,
        "low_index": point.low_index,
        "high_index": point.high_index,
        "change": _finite(point.change),
        "low": _finite(point.low),
        "high": _finite(point.high),
        "strength": _finite(point.strength),
        "before_ns": _finite(point.before),
        "after_ns": _finite(point.after),
    }


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None
