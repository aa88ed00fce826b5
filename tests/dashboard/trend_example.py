"""A history in memory, as the store's trend reader would return it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sample_history import GPU, REPOSITORY, START, sample_id, sample_sha

from dashboard.derive.trend_lines import Axis, Line, make_axis, make_lines
from perfsuite.model import Commit, Environment, Status, Timer
from perfsuite.store.trends import Place, Point, SeriesInfo

CASE = "moe_w4a8/decode[m=8]"


def place(number: int, **changes: object) -> Place:
    """Day `number` of the history."""
    at = START + timedelta(days=number)
    commit = Commit(sample_sha(f"day {number}"), f"Change {number} <b>of</b> it", "Ada", at, "main")
    made = Place(sample_id(f"run {number}"), commit, at, at, "environment", "quick", "run", True)
    return replace(made, **changes)  # type: ignore[arg-type]


def axis(count: int, environment: Environment = GPU) -> Axis:
    return make_axis([(environment, [place(number) for number in range(count)])])


def info(number: int = 1, **changes: object) -> SeriesInfo:
    made = SeriesInfo(
        number, REPOSITORY, "run", CASE, "v1", "moe_w4a8/decode", "cuda", Timer.GRAPH, GPU.fingerprint
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def point(number: int, median_ns: float | None, *, series: int = 1, status: Status = Status.OK) -> Point:
    low, high = (None, None) if median_ns is None else (median_ns * 0.99, median_ns * 1.01)
    return Point(series, sample_id(f"run {number}"), status, median_ns, low, high, 0.004, 0.5, None)


def lines(times_ns: Sequence[float | None], along: Axis | None = None) -> list[Line]:
    """The lines of one case with these times, one a day; None is a red gate."""
    along = along or axis(len(times_ns))
    points = [
        point(n, time, series=1 if time else 2, status=Status.OK if time else Status.INCORRECT)
        for n, time in enumerate(times_ns)
    ]
    return make_lines(CASE, along, [info(), info(2, timer=Timer.NONE)], points)
