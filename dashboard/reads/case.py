"""What the case page reads: the two runs that an address names, the case on both, its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import data
from dashboard.charts.code import ErrorPoint, Step
from dashboard.charts.roofline import Standing, standing_of
from dashboard.data import Database
from dashboard.reads import compare as reads_compare
from dashboard.reads.alerts import of_repository
from perfsuite.model import Alert, CaseComparison, ComparisonReport, Launches, Result, Run, Status
from perfsuite.report.words import commit_line
from perfsuite.stats.stored import STORED
from perfsuite.store.trends import Place, Point

MOST_CHANGES = 200
"""Changes of machine code that are drawn, the newest; each is read with all its kernels."""
MOST_PEERS = 150
"""Cases of a run on the roofline plot, those of the case's family first: each is read by itself."""


@dataclass(frozen=True, slots=True)
class View:
    """One case on one or two sides."""

    database: Database
    case: str
    base: Run | None
    head: Run
    report: ComparisonReport | None = None
    """Of both runs; None where there is one."""

    @property
    def lockstep(self) -> bool:
        """Whether both sides were measured together."""
        return self.report is not None and self.report.comparison.kind != STORED

    @property
    def compared(self) -> CaseComparison | None:
        """The verdict on the case."""
        known = (*self.report.comparisons, *self.report.canaries) if self.report else ()
        return next((one for one in known if one.case == self.case), None)

    @property
    def sides(self) -> dict[str, Result]:
        """`base` and `head`, those that have a result of the case."""
        runs = {"base": self.base, "head": self.head}
        found = {name: result_of(self.database, run, self.case) for name, run in runs.items() if run}
        return {name: result for name, result in found.items() if result is not None}

    @property
    def where(self) -> dict[str, str]:
        """Parameters of links that stay with this repository and machine."""
        return {"repository": self.head.repository, "machine": self.head.environment.fingerprint}

    @property
    def address(self) -> dict[str, str]:
        """Parameters by which this page finds it again."""
        if self.report is not None:
            return {"case": self.case, **reads_compare.address_of(self.report.comparison)}
        return {"case": self.case, "run": self.head.id, **self.where}


@dataclass(frozen=True, slots=True)
class History:
    """The results of a case in the history of its machine, the oldest first."""

    places: tuple[Place, ...]
    points: tuple[Point, ...]

    @property
    def commits(self) -> list[str]:
        """Short names, for an axis."""
        return [place.commit.label[:7] for place in self.places]


def result_of(database: Database, run: Run, case: str) -> Result | None:
    """The result of a case with its samples."""
    return _result(database, run.id, case, data.stamp(run))


@st.cache_resource(max_entries=32, show_spinner=False)
def _result(database: Database, run_id: str, case: str, stamp: str) -> Result | None:
    return data.reader(database).trends.result(run_id, case)


@st.cache_resource(ttl=data.FRESH_S, max_entries=64, show_spinner=False)
def run_of(database: Database, ref: str) -> Run:
    """The run of an id, of its beginning, or the newest of a commit.

    Raises:
        UsageError: no such run, or the beginning of several; names the nearest.
    """
    return data.reader(database).run(ref)


@st.cache_resource(ttl=data.FRESH_S, max_entries=32, show_spinner=False)
def cases_of(database: Database, run_id: str) -> Sequence[str]:
    """The cases of a run, sorted."""
    return tuple(sorted(cell.case for cell in data.reader(database).trends.cells([run_id])))


def history(database: Database, repository: str, machine: str, case: str) -> History:
    """Trusted runs only: what a stranger's code measured says nothing of the history."""
    return _history(database, repository, machine, case, data.news(database))


@st.cache_resource(max_entries=16, show_spinner=False)
def _history(database: Database, repository: str, machine: str, case: str, stamp: str) -> History:
    trends = data.reader(database).trends
    series = trends.series(repository, case, machine)
    points = {point.run_id: point for point in trends.points([each.id for each in series])}
    places = [
        place
        for place in data.places(database, repository, machine)
        if place.run_id in points and place.trusted
    ]
    return History(tuple(places), tuple(points[place.run_id] for place in places))


def before(database: Database, known: History, run_id: str, case: str) -> str | None:
    """The run to compare a run of the history with: the newest before it with other machine code, else the
    one before it; None where it is the first."""
    at = next((number for number, place in enumerate(known.places) if place.run_id == run_id), None)
    if not at:
        return None
    launches = known.points[at].launches_id
    for number in range(at - 1, -1, -1):
        other = known.points[number].launches_id
        if other is not None and launches is not None and other != launches:
            return known.places[number].run_id
    return known.places[at - 1].run_id


def steps(database: Database, known: History) -> list[Step]:
    """Where the machine code changed, the oldest first: the newest `MOST_CHANGES`, and what was before."""
    changes: list[tuple[int, str]] = []
    for at, point in enumerate(known.points):
        if point.launches_id is not None and (not changes or changes[-1][1] != point.launches_id):
            changes.append((at, point.launches_id))
    changes = changes[-MOST_CHANGES:]
    launches = _launches(database, tuple(sorted({launches_id for _, launches_id in changes})))
    return [
        Step(at, commit_line(known.places[at].commit), launches[launches_id])
        for at, launches_id in changes
        if launches_id in launches and launches[launches_id].kernels
    ]


@st.cache_resource(max_entries=16, show_spinner=False)
def _launches(database: Database, ids: tuple[str, ...]) -> Mapping[str, Launches]:
    return data.reader(database).trends.launches(ids)


@st.cache_resource(max_entries=64, show_spinner=False)
def listing(database: Database, target: str, hash: str) -> str | None:
    """The main loop of a kernel's machine code."""
    return data.reader(database).trends.listing(target, hash)


def errors(database: Database, repository: str, machine: str, case: str) -> list[ErrorPoint]:
    """The errors of the history against the tolerance of their series."""
    return _errors(database, repository, machine, case, data.news(database))


@st.cache_resource(max_entries=16, show_spinner=False)
def _errors(database: Database, repository: str, machine: str, case: str, stamp: str) -> list[ErrorPoint]:
    known = _history(database, repository, machine, case, stamp)
    newest = {point.series_id: point.run_id for point in known.points if point.error_rms is not None}
    tolerances = {series: _tolerance(database, run_id, case, stamp) for series, run_id in newest.items()}
    return [
        ErrorPoint(
            at, commit_line(place.commit), point.error_rms / tolerance, point.error_rms,
            passed=point.status is Status.OK,
        )
        for at, (place, point) in enumerate(zip(known.places, known.points, strict=True))
        if point.error_rms is not None and (tolerance := tolerances[point.series_id])
    ]  # fmt: skip


@st.cache_resource(max_entries=64, show_spinner=False)
def _tolerance(database: Database, run_id: str, case: str, stamp: str) -> float | None:
    """A series has one: the tolerance is part of the benchmark, and so of its version."""
    result = data.reader(database).trends.result(run_id, case, samples=False)
    return result.tolerance if result else None


def standings(database: Database, run: Run, family: str) -> Sequence[Standing]:
    """Where the cases of a run stand below the roofline."""
    return _standings(database, run.id, family, data.stamp(run))


@st.cache_resource(max_entries=16, show_spinner=False)
def _standings(database: Database, run_id: str, family: str, stamp: str) -> Sequence[Standing]:
    reader = data.reader(database)
    cells = sorted(reader.trends.cells([run_id]), key=lambda cell: (cell.family != family, cell.case))
    timed = [cell for cell in cells if cell.median_ns is not None]
    if len(timed) <= MOST_PEERS:
        results = {result.case: result for result in reader.results(run_id, samples=False)}
    else:
        timed = timed[:MOST_PEERS]
        read = (reader.trends.result(run_id, cell.case, samples=False) for cell in timed)
        results = {result.case: result for result in read if result is not None}
    found = (standing_of(results[cell.case], cell.median_ns) for cell in timed if cell.case in results)
    return tuple(standing for standing in found if standing is not None)


def alerts(database: Database, repository: str, case: str, machine: str) -> Sequence[Alert]:
    """Of the case on this machine, the newest first."""
    found = of_repository(database, repository)
    return tuple(alert for alert in found if alert.case == case and alert.fingerprint == machine)
