"""What the overview reads: the newest commits of a machine's history with their results, alerts, jobs.

Everything that grows with the number of runs is bounded here, and kept until the store has news.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from dashboard import data
from dashboard.data import FRESH_S, Database
from dashboard.derive.health import Column, Family, Health, families, health
from dashboard.reads.alerts import of_repository
from perfsuite.model import Comparison, Environment, Job, JobKind, JobState, Worker
from perfsuite.report.environments import machine_model
from perfsuite.store.trends import Cell, Machine, Place, TrendReader

MOST_CELLS = 40_000
"""Results that are read at most: a suite of thousands of cases is shown over fewer commits."""
_RUNS_A_COMMIT = 6
"""A first guess of how many runs a commit has here: a row costs little, another query more. Where it has
more, more are read."""
_OLDER_RUNS = 3
"""Of a commit, looked at for the cases that its newest run lacks."""
_MAIN = ("main", "master")
_FACTS = ("gpu", "driver", "cuda", "torch", "triton", "python", "cpu", "clocks")
_COMPARISONS, _JOBS, _PULLS = 30, 20, 60
"""So many of the newest are looked through."""


@dataclass(frozen=True, slots=True)
class Window:
    """The newest commits of a history."""

    columns: tuple[Column, ...]
    """Oldest first. One more than was asked for, where there is one: the first needs one before it."""
    branch: str
    """What they are commits of."""
    cut: bool
    """There are too many cases for as many commits as were asked for."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the page says of the history."""

    window: Window
    rows: tuple[Family, ...]
    health: Health


@dataclass(frozen=True, slots=True)
class Work:
    """Who does what at the moment."""

    running: tuple[Job, ...]
    queued: int
    workers: tuple[Worker, ...]
    pulls: tuple[Job, ...]
    """The newest measured job of each pull request, the newest first."""


@st.cache_resource(ttl=FRESH_S, max_entries=16, show_spinner=False)
def overview(database: Database, repository: str, machine: str, commits: int) -> Overview:
    """The history of a machine over its newest commits, judged by `dashboard.derive.health`."""
    window = _window(database, repository, machine, commits, data.news(database))
    known = of_repository(database, repository)
    rows = families(window.columns, known)
    return Overview(window, tuple(rows), health(window.columns, rows, known))


@st.cache_resource(ttl=FRESH_S, max_entries=8, show_spinner=False)
def comparisons(database: Database, repository: str) -> Sequence[Comparison]:
    """The newest first; those of unchanged code are the noise page's."""
    found = data.reader(database).trends.comparisons_of(repository=repository, limit=_COMPARISONS)
    return tuple(comparison for comparison in found if comparison.kind != "noise")


@st.cache_resource(ttl=FRESH_S, max_entries=8, show_spinner=False)
def work(database: Database, repository: str) -> Work:
    """Jobs and workers; all empty where no service uses this store."""
    jobs = data.reader(database).jobs
    waiting = jobs.jobs(repository, states=(JobState.QUEUED, JobState.RUNNING), limit=_JOBS)
    pulls: dict[int, Job] = {}
    for job in jobs.jobs(repository, kind=JobKind.COMPARE, limit=_PULLS):
        if job.pull is not None and job.comparison:
            pulls.setdefault(job.pull, job)
    return Work(
        running=tuple(job for job in waiting if job.state is JobState.RUNNING),
        queued=sum(job.state is JobState.QUEUED for job in waiting),
        workers=tuple(worker for worker in jobs.workers(repository) if worker.stopped_at is None),
        pulls=tuple(pulls.values()),
    )


# Kept until the store has news, which `stamp` tells: the history itself never changes.
@st.cache_resource(max_entries=16, show_spinner=False)
def _window(database: Database, repository: str, machine: str, commits: int, stamp: str) -> Window:
    trends = data.reader(database).trends
    machines = data.machines(database, repository)
    runs, branch = _runs(trends, repository, _line(machines, machine), commits + 1)
    columns = [Column(found[-1], fingerprint, {}) for fingerprint, found in runs]
    newest = _cells(trends, columns[-1:])
    most = max(2, MOST_CELLS // max(1, len(newest[0]) if newest else 1))
    cut = len(columns) > most
    columns, runs = columns[-most:], runs[-most:]
    filled = _filled(trends, columns, [found for _, found in runs])
    return Window(tuple(_with_boundaries(filled, machines)), branch, cut)


def _line(machines: Sequence[Machine], chosen: str) -> list[Machine]:
    """The environment that was chosen and those that it followed on the same model, the newest first."""
    models = {machine.fingerprint: machine_model(machine.environment) for machine in machines}
    at = next((at for at, machine in enumerate(machines) if machine.fingerprint == chosen), None)
    if at is None:
        return []
    return [machine for machine in machines[at:] if models[machine.fingerprint] == models[chosen]]


def _runs(
    trends: TrendReader, repository: str, line: Iterable[Machine], commits: int
) -> tuple[list[tuple[str, list[Place]]], str]:
    """Of each of the newest commits the machine and its runs there, the newest run last; oldest commit first.

    Environments are joined where one took over from the other; two that measure at the same time are not.
    """
    found: dict[str, tuple[str, list[Place]]] = {}
    branch = ""
    for machine in line:
        first = min((runs[0].started_at for _, runs in found.values()), default=None)
        if len(found) >= commits or (first is not None and machine.newest > first):
            break
        by_commit, of = _by_commit(trends, repository, machine.fingerprint, commits, branch)
        branch = branch or of
        for sha, runs in by_commit.items():
            found.setdefault(sha, (machine.fingerprint, runs))
    ordered = sorted(found.values(), key=lambda item: _order(item[1][-1]))
    return ordered[-commits:], branch


def _by_commit(
    trends: TrendReader, repository: str, machine: str, commits: int, branch: str
) -> tuple[dict[str, list[Place]], str]:
    """Commit → its runs in their order, of whole trees of the main branch only."""
    limit = commits * _RUNS_A_COMMIT
    while True:
        places = trends.places(repository, machine, limit=limit)
        whole = [place for place in places if place.trusted and not place.commit.dirty]
        main = branch or _main_branch(whole)
        found: dict[str, list[Place]] = {}
        for place in whole:
            if place.commit.branch in (None, "", main):
                found.setdefault(place.commit.sha, []).append(place)
        if len(found) >= commits or len(places) < limit:
            return found, main
        limit *= 4


def _main_branch(places: Sequence[Place]) -> str:
    """`main` or `master` where one is there, else the branch of the newest run; empty where none is known."""
    names = [place.commit.branch for place in places if place.commit.branch]
    return next((name for name in _MAIN if name in names), names[-1] if names else "")


def _order(place: Place) -> tuple[object, ...]:
    """The order of history, as the store has it."""
    commit = place.commit
    return commit.committed_at or place.started_at, commit.position or 0, place.started_at, place.run_id


def _cells(trends: TrendReader, columns: Sequence[Column]) -> list[dict[str, Cell]]:
    """Case → result of the newest run of each column."""
    ids = {column.place.run_id: at for at, column in enumerate(columns)}
    found: list[dict[str, Cell]] = [{} for _ in columns]
    for cell in trends.cells(ids):
        found[ids[cell.run_id]][cell.case] = cell
    return found


def _filled(trends: TrendReader, columns: Sequence[Column], runs: Sequence[Sequence[Place]]) -> list[Column]:
    """The columns with their results.

    A newest run that was limited to some cases, or is not through yet, does not hide what earlier runs of its
    commit measured: these are read where a neighbour has more cases.
    """
    cells = _cells(trends, columns)
    counts = [len(found) for found in cells]
    around = [max(counts[max(0, at - 1) : at + 2]) for at in range(len(counts))]
    older: dict[str, int] = {}
    for at, (count, most) in enumerate(zip(counts, around, strict=True)):
        if count < most:
            older |= {place.run_id: at for place in runs[at][:-1][-_OLDER_RUNS:]}
    rank = {run_id: number for number, run_id in enumerate(older)}
    extra = trends.cells(older) if older else []
    for cell in sorted(extra, key=lambda cell: -rank[cell.run_id]):
        cells[older[cell.run_id]].setdefault(cell.case, cell)
    return [replace(column, cells=found) for column, found in zip(columns, cells, strict=True)]


def _with_boundaries(columns: Sequence[Column], machines: Sequence[Machine]) -> list[Column]:
    environments = {machine.fingerprint: machine.environment for machine in machines}
    found = list(columns)
    for at in range(1, len(found)):
        before, after = found[at - 1].fingerprint, found[at].fingerprint
        if before != after:
            found[at] = replace(found[at], boundary=_changed(environments[before], environments[after]))
    return found


def _changed(before: Environment, after: Environment) -> str:
    """`driver 580.10 → 590.20`."""
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in _FACTS)
    words = [f"{name} {old or 'none'} → {new or 'none'}" for name, old, new in pairs if old != new]
    return ", ".join(words) or "another environment"
