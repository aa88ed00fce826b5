"""What the page of a commit reads: its runs, their results, its neighbours, what was said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import data
from dashboard.data import Database
from dashboard.reads.alerts import of_repository
from perfsuite.errors import UsageError
from perfsuite.model import Alert, Commit, Result, Run
from perfsuite.store.trends import HISTORY
from perfsuite.summary import TimeSummary

_NEAR = 500
"""Runs of the newest history in which a commit's neighbours are looked for before all of it is read."""
_MOST = 200
"""Runs of one commit that are listed."""


@dataclass(frozen=True, slots=True)
class Results:
    """What one run measured, without samples."""

    results: Sequence[Result]
    times: Mapping[str, TimeSummary]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The commits measured before and after, on the same machine; None at the ends of the history."""

    before: Commit | None = None
    after: Commit | None = None


@st.cache_resource(ttl=data.FRESH_S, max_entries=64, show_spinner=False)
def runs_of(database: Database, ref: str, repository: str | None) -> Sequence[Run]:
    """The runs of a commit, the newest first, without those of dirty trees unless there are no others.

    Args:
        ref: a sha or the beginning of one, or of a run's id.
        repository: only of this one; None: the one of the newest run.

    Raises:
        UsageError: no such commit, or the beginning of several.
    """
    reader = data.reader(database)
    runs = reader.runs(shas={ref, ref.lower()}, repository=repository, limit=_MOST)
    if not runs:
        found = reader.run(ref)
        runs = reader.runs(shas={found.commit.sha}, repository=repository or found.repository, limit=_MOST)
    if not runs:
        raise UsageError(f"{found.commit.label} was not measured in {repository}", f"see {found.repository}")
    of_one = [run for run in runs if run.repository == (repository or runs[0].repository)]
    return tuple([run for run in of_one if not run.commit.dirty] or of_one)


@st.cache_resource(ttl=data.FRESH_S, max_entries=32, show_spinner=False)
def beginning_with(database: Database, ref: str) -> Sequence[tuple[str, Commit]]:
    """Repository and commit of each sha of a history that begins so, the newest of each machine first.

    Reads whole histories: asked for only where a beginning means several commits.
    """
    found: dict[tuple[str, str], Commit] = {}
    for repository in data.repositories(database):
        for machine in data.machines(database, repository):
            for place in reversed(data.places(database, repository, machine.fingerprint)):
                if place.commit.sha.startswith(ref.lower()):
                    found.setdefault((repository, place.commit.sha), place.commit)
    return tuple((repository, commit) for (repository, _), commit in found.items())


def results(database: Database, run: Run) -> Results:
    """What a run measured."""
    return _results(database, run.id, data.stamp(run))


@st.cache_resource(max_entries=64, show_spinner=False)
def _results(database: Database, run_id: str, stamp: str) -> Results:
    reader = data.reader(database)
    return Results(tuple(reader.results(run_id, samples=False)), reader.times(run_id))


@st.cache_resource(ttl=data.FRESH_S, max_entries=64, show_spinner=False)
def counts(database: Database, run_ids: tuple[str, ...]) -> Mapping[str, Mapping[str, int]]:
    """Run id → status → number of cases."""
    return data.reader(database).trends.counts(run_ids)


def alerts_of(database: Database, sha: str, repository: str) -> Sequence[Alert]:
    """Alerts whose range begins or ends at a commit, the newest first."""
    found = of_repository(database, repository)
    return tuple(alert for alert in found if sha in (alert.before, alert.after))


def neighbours(database: Database, run: Run) -> Neighbours:
    """The commits of the history around that of a run, on its machine."""
    for newest in (_NEAR, None):
        places = data.places(database, run.repository, run.environment.fingerprint, newest)
        commits = list(
            {p.commit.sha: p.commit for p in places if p.kind in HISTORY and not p.commit.dirty}.values()
        )
        at = next((number for number, one in enumerate(commits) if one.sha == run.commit.sha), None)
        # At the very beginning of the newest part, what came before is in the rest.
        if at or (at == 0 and len(places) < _NEAR) or (at is not None and newest is None):
            before = commits[at - 1] if at else None
            after = commits[at + 1] if at + 1 < len(commits) else None
            return Neighbours(before, after)
    return Neighbours()
