"""Cached reads of the alerts page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import data
from dashboard.data import Database
from perfsuite.model import Alert, Commit, Status

AROUND = 25
"""Runs on either side of a change that show both levels."""


@dataclass(frozen=True, slots=True)
class Around:
    """The runs of a series about a change, the oldest first."""

    values_ns: tuple[float | None, ...]
    """None where there is no time."""
    statuses: tuple[Status, ...]
    commits: tuple[Commit, ...]
    low: int
    """Place of the last commit of the old level …"""
    high: int
    """… and of the first one of the new level; of a missing series both are the last."""


# A resource, not data: values are frozen.
@st.cache_resource(ttl=data.FRESH_S, max_entries=2, show_spinner=False)
def alerts(database: Database) -> Sequence[Alert]:
    """All of the store, the newest first: the one list of all pages, read anew after each triage."""
    return tuple(data.reader(database).alerts())


def of_repository(database: Database, repository: str) -> Sequence[Alert]:
    """In whatever state, the newest first."""
    return tuple(alert for alert in alerts(database) if alert.repository == repository)


@st.cache_resource(ttl=data.FRESH_S, max_entries=64, show_spinner=False)
def commits(database: Database, repository: str, shas: frozenset[str]) -> Mapping[str, Commit]:
    """What is stored of some commits; one that was never measured here is not in it."""
    return data.reader(database).trends.commits(repository, sorted(shas))


def machine_labels(database: Database, repositories: set[str]) -> Mapping[str, str]:
    """Fingerprint → machine for people."""
    return {
        machine.fingerprint: machine.environment.label
        for repository in repositories
        for machine in data.machines(database, repository)
    }


@st.cache_resource(ttl=data.FRESH_S, max_entries=32, show_spinner=False)
def around(database: Database, alert: Alert) -> Around | None:
    """What was measured about the change; None where its commits are not (any more) in the history."""
    places = data.places(database, alert.repository, alert.fingerprint)
    trends = data.reader(database).trends
    series = trends.series(alert.repository, alert.case, alert.fingerprint)
    points = {point.run_id: point for point in trends.points([item.id for item in series])}
    ends = (alert.before, alert.after)
    # Another version of the benchmark is another series: only that of the change is shown.
    ours = {
        points[place.run_id].series_id
        for place in places
        if place.commit.sha in ends and place.run_id in points
    }
    here = [place for place in places if place.run_id in points and points[place.run_id].series_id in ours]
    shas = [place.commit.sha for place in here]
    low = _last(shas, alert.before)
    high = _last(shas, alert.after) if alert.after else low
    if low is None or high is None:
        return None
    first = max(0, low - AROUND)
    shown = here[first : high + AROUND + 1]
    found = [points[place.run_id] for place in shown]
    return Around(
        tuple(point.median_ns for point in found),
        tuple(point.status for point in found),
        tuple(place.commit for place in shown),
        low - first,
        high - first,
    )


def _last(shas: Sequence[str], sha: str) -> int | None:
    """The newest place of a commit."""
    return next((place for place in reversed(range(len(shas))) if shas[place] == sha), None)
