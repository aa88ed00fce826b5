"""How main is doing: commits × families of cases → verdicts, lines and one answer. Pure: the store's narrow
rows in, frozen values out.

What a cell of the grid says, the first that holds (statuses of the cases, then what is stored as alerts):
*incorrect*, *failed*; *regressed*, *improved*: an alert on one of its cases, which nobody called noise, names
this commit as the first of the new level; *inconclusive*: a case is off its level at one of the newest
commits, which are too few for a change point; *new*: nothing earlier to hold any of its cases against;
*identical*: each case launches the machine code of its result before; *unchanged* otherwise. Not measured: no
cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from statistics import fmean, median

from perfsuite.model import CANARY_FAMILY, Alert, AlertState, Status, Timer, Verdict
from perfsuite.stats.machine import HISTORY_LEAST, HISTORY_MOVED, moved_since
from perfsuite.stats.segment_test import LEAST_POINTS
from perfsuite.store.trends import Cell, Place

TIMED = (Timer.GRAPH, Timer.EVENTS, Timer.WALL, Timer.IMPORTED)
"""Timers whose times say something of the code. The reference's wall clock on a CPU does not."""
WAITING = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
"""States of an alert that still ask for somebody."""
EARLIER = 30
"""Results before one, by which its level is known: more would reach back behind slow drift."""
_SIGMAS = 5.0
_MAD_TO_SIGMA = 1.4826
_ENDS = 3
"""Points at either end of a line between which its change is taken: one alone is mostly noise."""
_WORDS = {"slower": Verdict.REGRESSED, "faster": Verdict.IMPROVED}
SEVERITY = (
    Verdict.INCORRECT,
    Verdict.FAILED,
    Verdict.REGRESSED,
    Verdict.INCONCLUSIVE,
    Verdict.IMPROVED,
    Verdict.NEW,
    Verdict.UNCHANGED,
    Verdict.IDENTICAL,
)
"""The worst first."""
QUIET = (Verdict.UNCHANGED, Verdict.IDENTICAL, Verdict.NEW)
_Key = tuple[str, str, Timer]
"""Machine, version of the benchmark and timer: times are comparable within one."""


@dataclass(frozen=True, slots=True)
class Column:
    """One commit: the newest result of each case there."""

    place: Place
    """Its newest run."""
    fingerprint: str
    cells: Mapping[str, Cell]
    boundary: str = ""
    """What changed in the environment since the commit before."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One cell of the grid."""

    verdict: Verdict
    cases: tuple[str, ...] = ()
    """Those that made it so, where it is not quiet."""
    change: float | None = None
    """The largest of these, where it is known."""
    alert: str = ""
    """Id of the alert that says so."""


@dataclass(frozen=True, slots=True)
class Family:
    """One row: the cases of a benchmark."""

    name: str
    cases: tuple[str, ...]
    """As of the newest commit that measured it."""
    marks: tuple[Mark | None, ...]
    """One a column."""
    line: tuple[float | None, ...]
    """One a column: geometric mean of the cases' times, each over its median between two breaks."""
    breaks: frozenset[int]
    """Columns before which the environment, a benchmark or a timer changed."""
    longest: tuple[str, float] | None
    """The case that takes longest at the newest commit, and its time in ns."""
    waiting: tuple[Alert, ...] = ()
    """Alerts on its cases that ask for somebody."""

    @property
    def newest(self) -> int | None:
        """The newest column that measured it."""
        return next((place for place in reversed(range(len(self.marks))) if self.marks[place]), None)

    @property
    def change(self) -> float | None:
        """Of the line since its last break."""
        known = [value for value in self.line[max(self.breaks, default=0) :] if value is not None]
        ends = min(_ENDS, len(known) // 2)
        return median(known[-ends:]) / median(known[:ends]) - 1 if ends else None

    @property
    def severity(self) -> int:
        """For sorting: that of its worst mark, the newest or one that an alert still asks about."""
        asked = {alert.id for alert in self.waiting}
        newest = self.newest
        marks = [mark for at, mark in enumerate(self.marks) if mark and (at == newest or mark.alert in asked)]
        worst = min((SEVERITY.index(mark.verdict) for mark in marks), default=len(SEVERITY))
        return min(worst, SEVERITY.index(Verdict.REGRESSED)) if self.waiting else worst


@dataclass(frozen=True, slots=True)
class Health:
    """The answer."""

    ok: int
    incorrect: tuple[str, ...]
    """Cases, as of the newest commit that measured their family."""
    failed: tuple[str, ...]
    slower: int
    """Times that a case got slower in the window, by alerts."""
    faster: int
    unsettled: tuple[tuple[str, float], ...]
    """Cases that are off their level at the newest commit, and by how much."""
    open: tuple[Alert, ...]
    """The worst first."""
    acknowledged: int
    machine: str
    """What the canaries say against the machine; empty where it stands still."""
    timed: bool
    """Whether anything here says how fast the code is."""

    @property
    def healthy(self) -> bool:
        """Improvements that nobody has looked at yet are no illness."""
        bad = any(alert.kind != "faster" for alert in self.open)
        return not (bad or self.incorrect or self.failed or self.unsettled)


def families(columns: Sequence[Column], alerts: Sequence[Alert]) -> list[Family]:
    """The rows of the grid, by name; canaries are none.

    Args:
        columns: oldest first.
        alerts: of the repository, in any state; those of other machines do not count.
    """
    machines = {column.fingerprint for column in columns}
    mine = [alert for alert in alerts if alert.fingerprint in machines]
    names: dict[str, set[str]] = {}
    for column in columns:
        for cell in column.cells.values():
            if cell.family != CANARY_FAMILY:
                names.setdefault(cell.family, set()).add(cell.case)
    return [_family(name, sorted(cases), columns, mine) for name, cases in sorted(names.items())]


def health(columns: Sequence[Column], rows: Sequence[Family], alerts: Sequence[Alert]) -> Health:
    """The answer to "is main healthy?".

    Args:
        columns: as given to `families`.
        rows: as it returned them.
        alerts: of the repository; open ones count whatever machine they are of.
    """
    now = [cell for row in rows for cell in _newest_cells(row, columns)]
    newest = [row.marks[-1] for row in rows if row.marks and row.marks[-1]]
    open_ = sorted((a for a in alerts if a.state is AlertState.OPEN), key=_worst_first)
    return Health(
        ok=sum(cell.status is Status.OK for cell in now),
        incorrect=tuple(sorted(cell.case for cell in now if cell.status is Status.INCORRECT)),
        failed=tuple(sorted(cell.case for cell in now if cell.status is Status.FAILED)),
        slower=_moved(columns, alerts, "slower"),
        faster=_moved(columns, alerts, "faster"),
        unsettled=tuple(
            (mark.cases[0], mark.change)
            for mark in newest
            if mark.verdict is Verdict.INCONCLUSIVE and mark.change is not None
        ),
        open=tuple(open_),
        acknowledged=sum(alert.state is AlertState.ACKNOWLEDGED for alert in alerts),
        machine=_machine_moved(columns),
        timed=any(cell.timer in TIMED for column in columns for cell in column.cells.values()),
    )


def canary_lines(columns: Sequence[Column]) -> dict[str, list[float | None]]:
    """Canary → its time in ns, one a column; None where it was not measured. Of the newest machine only."""
    if not columns:
        return {}
    here = columns[-1].fingerprint
    names = sorted({c.case for column in columns for c in column.cells.values() if c.family == CANARY_FAMILY})
    return {
        name: [_time(column.cells.get(name)) if column.fingerprint == here else None for column in columns]
        for name in names
    }


def _machine_moved(columns: Sequence[Column]) -> str:
    """The newest times of the canaries against those before; of the newest commit that has them."""
    lines = {name: [v for v in line if v is not None] for name, line in canary_lines(columns).items()}
    now = {name: values[-1] for name, values in lines.items() if values}
    return moved_since(now, {name: values[:-1][-EARLIER:] for name, values in lines.items()})


def _moved(columns: Sequence[Column], alerts: Sequence[Alert], kind: str) -> int:
    there = {(column.place.commit.sha, column.fingerprint) for column in columns}
    known = [alert for alert in alerts if alert.kind == kind and alert.state is not AlertState.NOISE]
    return sum((alert.after, alert.fingerprint) in there for alert in known)


def _worst_first(alert: Alert) -> tuple[bool, float, str]:
    return (alert.kind == "faster", -abs(alert.change or 0.0), alert.id)


def _newest_cells(row: Family, columns: Sequence[Column]) -> list[Cell]:
    if row.newest is None:
        return []
    return [cell for case in row.cases if (cell := columns[row.newest].cells.get(case)) is not None]


def _family(name: str, cases: Sequence[str], columns: Sequence[Column], alerts: Sequence[Alert]) -> Family:
    mine = [alert for alert in alerts if alert.case in set(cases)]
    begins: dict[tuple[str, str], Alert] = {}
    for alert in mine:
        if alert.kind in _WORDS and alert.state is not AlertState.NOISE:
            begins.setdefault((alert.case, alert.after), alert)
    tracks = [_Track(case, columns, begins) for case in cases]
    marks = tuple(_mark(place, columns, tracks, begins) for place in range(len(columns)))
    newest = next((place for place in reversed(range(len(columns))) if marks[place]), None)
    now = [] if newest is None else [c for case in cases if (c := columns[newest].cells.get(case))]
    times = [(value, cell.case) for cell in now if (value := _time(cell)) is not None]
    return Family(
        name=name,
        cases=tuple(cell.case for cell in now),
        marks=marks,
        line=tuple(_mean([track.relative.get(place) for track in tracks]) for place in range(len(columns))),
        breaks=frozenset(place for track in tracks for place in track.breaks),
        longest=(max(times)[1], max(times)[0]) if times else None,
        waiting=tuple(alert for alert in mine if alert.state in WAITING),
    )


class _Track:
    """One case along the columns."""

    def __init__(self, case: str, columns: Sequence[Column], begins: Mapping[tuple[str, str], Alert]) -> None:
        self.case = case
        self.relative: dict[int, float] = {}
        """Column → its time over the median of those that are comparable."""
        self.breaks: list[int] = []
        self.fresh: set[int] = set()
        """Columns without an earlier result of the same benchmark."""
        self.same_code: set[int] = set()
        self.off: dict[int, float] = {}
        """Newest columns at which it is off its level → by how much."""
        self._walk(columns, begins)

    def _walk(self, columns: Sequence[Column], begins: Mapping[tuple[str, str], Alert]) -> None:
        before: Cell | None = None
        times: list[tuple[int, _Key, float]] = []
        steps = []
        for place, column in enumerate(columns):
            cell = column.cells.get(self.case)
            if cell is None or cell.status is Status.SKIPPED:
                continue
            if before is None or before.version != cell.version:
                self.fresh.add(place)
            elif cell.launches_id is not None and before.launches_id == cell.launches_id:
                self.same_code.add(place)
            before = cell
            if (self.case, column.place.commit.sha) in begins:
                steps.append(place)
            value = _time(cell)
            if value is not None:
                times.append((place, (column.fingerprint, cell.version, cell.timer), value))
        self._level(times)
        self._look(times, max(steps, default=0))

    def _level(self, times: Sequence[tuple[int, _Key, float]]) -> None:
        levels: dict[_Key, list[float]] = {}
        last: _Key | None = None
        for place, key, value in times:
            levels.setdefault(key, []).append(value)
            if last is not None and key != last:
                self.breaks.append(place)
            last = key
        middle = {key: median(values) for key, values in levels.items()}
        self.relative = {place: value / middle[key] for place, key, value in times}

    def _look(self, times: Sequence[tuple[int, _Key, float]], step: int) -> None:
        """At the newest results, of which a change point cannot be told yet: since the last one that was."""
        if not times:
            return
        key = times[-1][1]
        known = [(place, value) for place, one, value in times if one == key and place >= step]
        first = len(known) - (LEAST_POINTS - 1)
        earlier = [value for _, value in known[: max(0, first)][-EARLIER:]]
        if len(earlier) < HISTORY_LEAST:
            return
        middle = median(earlier)
        scatter = _MAD_TO_SIGMA * median(abs(value - middle) for value in earlier) / middle
        changes = ((place, value / middle - 1) for place, value in known[first:])
        allowed = max(HISTORY_MOVED, _SIGMAS * scatter)
        self.off = {place: change for place, change in changes if abs(change) > allowed}


def _mark(
    place: int,
    columns: Sequence[Column],
    tracks: Sequence[_Track],
    begins: Mapping[tuple[str, str], Alert],
) -> Mark | None:
    column = columns[place]
    here = [(track, cell) for track in tracks if (cell := column.cells.get(track.case)) is not None]
    here = [(track, cell) for track, cell in here if cell.status is not Status.SKIPPED]
    if not here:
        return None
    for status, verdict in ((Status.INCORRECT, Verdict.INCORRECT), (Status.FAILED, Verdict.FAILED)):
        red = tuple(cell.case for _, cell in here if cell.status is status)
        if red:
            return Mark(verdict, red)
    raised = [found for track, _ in here if (found := begins.get((track.case, column.place.commit.sha)))]
    for kind, verdict in _WORDS.items():
        alerts = sorted((alert for alert in raised if alert.kind == kind), key=_worst_first)
        if alerts:
            return Mark(verdict, tuple(alert.case for alert in alerts), alerts[0].change, alerts[0].id)
    return _quiet_mark(place, [track for track, _ in here])


def _quiet_mark(place: int, tracks: Sequence[_Track]) -> Mark:
    off = sorted((-abs(track.off[place]), track.case) for track in tracks if place in track.off)
    if off:
        worst = next(track for track in tracks if track.case == off[0][1])
        return Mark(Verdict.INCONCLUSIVE, tuple(case for _, case in off), worst.off[place])
    if all(place in track.fresh for track in tracks):
        return Mark(Verdict.NEW)
    if all(place in track.same_code for track in tracks):
        return Mark(Verdict.IDENTICAL)
    return Mark(Verdict.UNCHANGED)


def _time(cell: Cell | None) -> float | None:
    """In ns; None where there is none, or one that says nothing of the code."""
    if cell is None or cell.status is not Status.OK or cell.timer not in TIMED:
        return None
    return cell.median_ns if cell.median_ns and 0 < cell.median_ns < inf else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [log(value) for value in values if value is not None]
    return exp(fmean(known)) if known else None
