"""Cached reads of the trends page. Kept until the store has something new."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import data
from dashboard.derive.trend_lines import Axis, Line, make_axis, make_lines
from dashboard.derive.trend_units import Facts
from dashboard.scope import Scope
from perfsuite.report.environments import machine_model
from perfsuite.store.trends import Machine

MOST_PLACES = 10_000
"""Runs on one axis, the newest; other environments of the same GPU model are joined while they fit."""
_LINES = 64
"""Cases kept: each of 10,000 points is about a megabyte."""


def axis(scope: Scope) -> Axis:
    """The runs of the chosen machine, and those of its GPU model in other environments."""
    machines = joined(scope.machine, data.machines(scope.database, scope.repository))
    fingerprints = tuple(machine.fingerprint for machine in machines)
    return _axis(scope.database, scope.repository, fingerprints, data.news(scope.database), machines)


def joined(machine: Machine, machines: Sequence[Machine]) -> list[Machine]:
    """The machine and those whose histories it continues (or that continue its own), the newest first."""
    model = machine_model(machine.environment)
    found, runs = [machine], machine.runs
    for other in machines:
        fits = runs + other.runs <= MOST_PLACES
        if fits and other.fingerprint != machine.fingerprint and machine_model(other.environment) == model:
            found.append(other)
            runs += other.runs
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _axis(
    database: data.Database,
    repository: str,
    fingerprints: tuple[str, ...],
    stamp: str,
    _machines: Sequence[Machine],
) -> Axis:
    trends = data.reader(database).trends
    return make_axis(
        (machine.environment, trends.places(repository, machine.fingerprint, limit=MOST_PLACES))
        for machine in _machines
    )


def lines(scope: Scope, case: str, along: Axis) -> Sequence[Line]:
    """Those of a case on an axis, one a clock."""
    fingerprints = tuple(along.environments)
    return _lines(scope.database, scope.repository, case, fingerprints, data.news(scope.database), along)


@st.cache_resource(max_entries=_LINES, show_spinner=False)
def _lines(
    database: data.Database,
    repository: str,
    case: str,
    fingerprints: tuple[str, ...],
    stamp: str,
    _along: Axis,
) -> Sequence[Line]:
    trends = data.reader(database).trends
    infos = [info for info in trends.series(repository, case) if info.fingerprint in fingerprints]
    return tuple(make_lines(case, _along, infos, trends.points([info.id for info in infos])))


def facts(scope: Scope, along: Axis, shown: Sequence[Line]) -> dict[tuple[str, str], Facts]:
    """(case, version) → what its calls work on, as the version's newest run says."""
    newest = {
        (line.case, part.version): along.places[int(line.x[part.stop - 1])].run_id
        for line in shown
        for part in line.parts
    }
    return {key: _facts(scope.database, run_id, key[0]) for key, run_id in newest.items()}


@st.cache_resource(max_entries=512, show_spinner=False)
def _facts(database: data.Database, run_id: str, case: str) -> Facts:
    return Facts.of(data.reader(database).trends.result(run_id, case, samples=False))
