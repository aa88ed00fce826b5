"""Stored points → lines of the trends page: one case, one clock, along the axis of a machine's runs. Pure.

As in `perfsuite history`, environments of one GPU model follow each other with a boundary between them, and
change points are those of `perfsuite.stats.change_points`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from perfsuite.model import Environment, Status, Timer
from perfsuite.report.environments import differences
from perfsuite.report.words import timer_label
from perfsuite.stats.change_points import ChangePoint, Kind, change_points
from perfsuite.stats.rules import Series
from perfsuite.store.trends import Place, Point, SeriesInfo

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DEVICE_CLOCK = "device time"
NO_CLOCK = "no time"
OFF_MAIN = "not on the main line"
"""Kind of a mark: of a working tree with changes, or of another branch."""
SPREADS = 2.0
"""Half-width of a noise band in robust standard deviations: about 95 % of normal noise lies within."""
_MAD_TO_DEVIATION = 1.4826
"""Of normal noise."""
_MOVES = (Kind.STEP, Kind.DRIFT)


_LEAST_DIGITS = 4
"""As git asks for."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where times begin that say nothing about those before."""

    at: int
    """First place after it."""
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The runs of a history: environment after environment, each in the order of its commits."""

    places: tuple[Place, ...]
    index: Mapping[str, int]
    """Run id → place."""
    environments: Mapping[str, Environment]
    """By fingerprint, the earliest first."""
    boundaries: tuple[Boundary, ...] = ()
    ends: Mapping[str, int] = field(default_factory=dict)
    """Fingerprint → its last place."""
    main: tuple[bool, ...] = ()
    """Whether a place is of the branch that most runs are of, without changes of the working tree."""

    def __len__(self) -> int:
        return len(self.places)

    def find(self, ref: str, *, newest: bool = True) -> int | None:
        """The newest (or oldest) place of a commit, of the beginning of its sha as pages show it, or of a
        run's id; None where it is not here, or where several commits begin so."""
        if ref in self.index:
            return self.index[ref]
        if len(ref) < _LEAST_DIGITS:
            return None
        found = [at for at, place in enumerate(self.places) if place.commit.sha.startswith(ref)]
        one = len({self.places[at].commit.sha for at in found}) == 1
        return found[-1 if newest else 0] if one else None


@dataclass(frozen=True, slots=True)
class Part:
    """Points that are compared with each other: one environment, version of the benchmark, and timer."""

    start: int
    stop: int
    """First point, and first after it."""
    version: str
    text: str
    """What changed before it; empty for the first."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A run that is no point of the line."""

    x: int
    kind: str
    """A status, or `OFF_MAIN`."""
    level_ns: float
    """Where it is drawn: its own time, or that of the point before it (NaN where there is none)."""


@dataclass(frozen=True, slots=True)
class Level:
    """What the times between two moves have in common. `first` and `last` are points."""

    first: int
    last: int
    median_ns: float
    spread_ns: float
    """Robust standard deviation of the points."""


@dataclass(frozen=True, slots=True)
class Line:
    """The times of one case by one clock. Arrays have one value a point, part after part."""

    case: str
    clock: str
    x: Ints
    """Place on the axis; ascending within a part."""
    median_ns: Floats
    low_ns: Floats
    high_ns: Floats
    roofline: Floats
    """Fraction, NaN where it is not known."""
    parts: tuple[Part, ...] = ()
    marks: tuple[Mark, ...] = ()
    changes: tuple[ChangePoint, ...] = ()
    """Steps and drifts; their indices are points."""
    levels: tuple[Level, ...] = ()

    @property
    def boundaries(self) -> list[Boundary]:
        """Those of the benchmark and its timer; the axis has those of the environment."""
        return [Boundary(int(self.x[part.start]), part.text) for part in self.parts if part.text]


def make_axis(histories: Iterable[tuple[Environment, Sequence[Place]]]) -> Axis:
    """The axis of environments whose histories follow each other; those of strangers' code are left out."""
    known = [(env, [place for place in places if place.trusted]) for env, places in histories]
    parts = sorted(
        ((env, places) for env, places in known if places),
        key=lambda part: min((place.started_at, place.run_id) for place in part[1]),
    )
    places = tuple(place for _, part in parts for place in part)
    starts = [0, *itertools.accumulate(len(part) for _, part in parts)]
    pairs = itertools.pairwise(env for env, _ in parts)
    boundaries = (
        Boundary(at, ", ".join(differences(old, new)) or "another environment")
        for at, (old, new) in zip(starts[1:], pairs, strict=False)
    )
    clean = [place for place in places if not place.commit.dirty]
    branches = Counter(place.commit.branch for place in clean if place.commit.branch)
    branch = branches.most_common(1)[0][0] if branches else None
    main = {place.run_id for place in clean if place.commit.branch in (branch, None, "")}
    return Axis(
        places,
        {place.run_id: at for at, place in enumerate(places)},
        {env.fingerprint: env for env, _ in parts},
        tuple(boundaries),
        {env.fingerprint: stop - 1 for (env, _), stop in zip(parts, starts[1:], strict=True)},
        # Where only working trees were measured, they are the history.
        tuple(not main or place.run_id in main for place in places),
    )


def make_lines(case: str, axis: Axis, infos: Sequence[SeriesInfo], points: Iterable[Point]) -> list[Line]:
    """The lines of a case, one a clock: device time and somebody's wall clock never share an axis."""
    found: dict[int, list[Point]] = {info.id: [] for info in infos}
    for point in points:
        if point.series_id in found:
            found[point.series_id].append(point)
    columns = [_columns(info, axis, found[info.id]) for info in infos]
    columns = [one for one in columns if len(one.x)]
    clocks = _clocks(columns)
    return [
        _line(case, clock, axis, [one for one in columns if clocks[one.info.id] == clock])
        for clock in sorted(set(clocks.values()))
    ]


@dataclass(frozen=True, slots=True)
class _Columns:
    """The points of one stored series on the axis, in its order."""

    info: SeriesInfo
    x: Ints
    values: Floats
    """Rows: median, low, high in ns, and the fraction of the roofline."""
    statuses: Sequence[Status]

    def of(self, chosen: NDArray[np.bool_]) -> tuple[Ints, Floats]:
        return self.x[chosen], self.values[:, chosen]


def _columns(info: SeriesInfo, axis: Axis, points: Sequence[Point]) -> _Columns:
    # Whole columns at a time: a value for each of 10,000 points would cost more than reading them.
    places = np.array([axis.index.get(point.run_id, -1) for point in points], dtype=np.int64)
    order = np.argsort(places, kind="stable")
    order = order[places[order] >= 0]
    values = [
        [point.median_ns for point in points],
        [point.low_ns for point in points],
        [point.high_ns for point in points],
        [point.roofline_fraction for point in points],
    ]
    table = np.array(values, dtype=np.float64).reshape(len(values), len(points))
    return _Columns(info, places[order], table[:, order], [points[at].status for at in order.tolist()])


def _clocks(columns: Sequence[_Columns]) -> dict[int, str]:
    """Series → its clock. One without a time (a red gate) goes with the others of its environment."""
    timed = [one for one in columns if one.info.timer is not Timer.NONE]
    timed.sort(key=lambda one: len(one.x))
    usual = {one.info.fingerprint: _clock(one.info.timer) for one in timed}
    other = _clock(timed[-1].info.timer) if timed else NO_CLOCK
    return {
        one.info.id: usual.get(one.info.fingerprint, other)
        if one.info.timer is Timer.NONE
        else _clock(one.info.timer)
        for one in columns
    }


def _clock(timer: Timer) -> str:
    return DEVICE_CLOCK if timer in (Timer.GRAPH, Timer.EVENTS) else timer_label(timer)


def _line(case: str, clock: str, axis: Axis, columns: Sequence[_Columns]) -> Line:
    main = np.array(axis.main, dtype=np.bool_)
    good: dict[tuple[str, str, Timer], list[tuple[Ints, Floats]]] = {}
    off: list[Mark] = []
    for one in columns:
        timed = np.array([status is Status.OK for status in one.statuses]) & (one.values[0] > 0)
        kept = timed & main[one.x]
        info = one.info
        if kept.any():
            good.setdefault((info.fingerprint, info.version, info.timer), []).append(one.of(kept))
        aside, times = one.of(timed & ~kept)
        off += map(_off_main, aside.tolist(), times[0].tolist())
    groups = sorted(
        ((key, *_merged(parts)) for key, parts in good.items()),
        key=lambda group: min((axis.places[at].started_at, at) for at in group[1].tolist()),
    )
    x = np.concatenate([np.zeros(0, dtype=np.int64), *(places for _, places, _ in groups)])
    median, low, high, roofline = np.concatenate([np.zeros((4, 0)), *(v for _, _, v in groups)], axis=1)
    parts = _parts([(version, timer, len(places)) for (_, version, timer), places, _ in groups])
    of_reference = any(timer is Timer.REFERENCE for (_, _, timer), _, _ in groups)
    changes = () if of_reference else _changes(case, median, parts)
    return Line(
        case,
        clock,
        x,
        median,
        np.where(np.isnan(low), median, low),
        np.where(np.isnan(high), median, high),
        roofline,
        parts,
        tuple(sorted([*off, *_untimed(columns, x, median)], key=lambda mark: mark.x)),
        changes,
        _levels(median, parts, changes),
    )


def _merged(parts: Sequence[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    """Series that differ in nothing that matters here (an import beside a run), in the order of the axis."""
    x = np.concatenate([places for places, _ in parts])
    order = np.argsort(x, kind="stable")
    return x[order], np.concatenate([values for _, values in parts], axis=1)[:, order]


def _off_main(x: int, median_ns: float) -> Mark:
    return Mark(x, OFF_MAIN, median_ns)


def _parts(groups: Sequence[tuple[str, Timer, int]]) -> tuple[Part, ...]:
    found: list[Part] = []
    before: tuple[str, Timer] | None = None
    start = 0
    for version, timer, count in groups:
        found.append(Part(start, start + count, version, _change_of(before, (version, timer))))
        before, start = (version, timer), start + count
    return tuple(found)


def _change_of(before: tuple[str, Timer] | None, after: tuple[str, Timer]) -> str:
    if before is None:
        return ""
    words = ["benchmark changed"] if before[0] != after[0] else []
    if before[1] is not after[1]:
        words.append(f"timed by {before[1]} → {after[1]}")
    return ", ".join(words)


def _changes(case: str, median_ns: Floats, parts: Sequence[Part]) -> tuple[ChangePoint, ...]:
    values = tuple(median_ns.tolist())
    series = Series(id=case, values=values, boundaries=tuple(part.start for part in parts[1:]))
    return tuple(point for point in change_points(series) if point.kind in _MOVES)


def _levels(median_ns: Floats, parts: Sequence[Part], changes: Sequence[ChangePoint]) -> tuple[Level, ...]:
    edges = sorted({*(part.start for part in parts), *(point.index for point in changes), len(median_ns)})
    found = []
    for first, stop in itertools.pairwise(edges):
        values = median_ns[first:stop]
        middle = float(np.median(values))
        spread = _MAD_TO_DEVIATION * float(np.median(np.abs(values - middle)))
        found.append(Level(first, stop - 1, middle, spread))
    return tuple(found)


def _untimed(columns: Sequence[_Columns], x: Ints, median_ns: Floats) -> Iterator[Mark]:
    """Runs whose case has no time, at the level of the run before."""
    order = np.argsort(x, kind="stable")
    places = x[order]
    for one in columns:
        for at, status in zip(one.x.tolist(), one.statuses, strict=True):
            if status is not Status.OK:
                before = max(0, int(np.searchsorted(places, at)) - 1)
                level = float(median_ns[order[before]]) if len(x) else float("nan")
                yield Mark(at, status.value, level)
