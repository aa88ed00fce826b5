"""What the noise page reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import data
from dashboard.charts.floors import LETTERS
from dashboard.data import FRESH_S, Database
from dashboard.derive.trust import SameCode, same_code
from perfsuite.model import Comparison, Noise
from perfsuite.report.noise import Floor, floors
from perfsuite.stats.judge import threshold_of
from perfsuite.store.trends import Machine

PAIRS, BLOCKS = 8, 4
"""The most that a comparison of the profile `pr` measures: pairs, and blocks of each
(`perfsuite.measure.settings.BUDGETS`, which a page may not import; a test holds them equal)."""
NOISE_FRESH_S = 60
"""Floors move slowly, and their sums go over every comparison there was."""
_COMPARISONS = 200
"""The newest comparisons of unchanged code that are looked through."""
THRESHOLD = 0.02
"""Where no comparison tells its own."""


@dataclass(frozen=True, slots=True)
class Floors:
    """The noise of a machine."""

    floors: tuple[Floor, ...]
    newest: Comparison | None
    """The newest comparison there: its thresholds are those of the gate."""

    def threshold(self, case: str) -> float:
        return THRESHOLD if self.newest is None else threshold_of(case, self.newest)


@st.cache_resource(ttl=NOISE_FRESH_S, max_entries=32, show_spinner=False)
def floors_of(database: Database, repository: str, machine: str) -> Floors:
    """By case; where the store keeps none (an import brings none), what a comparison began with."""
    store = data.reader(database)
    known: Mapping[str, tuple[str, Noise]] = store.noise(repository, machine)
    here = [
        one
        for one in store.trends.comparisons_of(repository=repository, limit=data.NEWEST)
        if one.head.environment.fingerprint == machine
    ]
    if not known:
        known = _began_with(here)
    newest = next((one for one in here if one.kind != "noise"), here[0] if here else None)
    return Floors(tuple(floors(known, PAIRS, BLOCKS)), newest)


def _began_with(comparisons: Sequence[Comparison]) -> dict[str, tuple[str, Noise]]:
    """Case → version and noise, as the newest comparison that knew any was given it."""
    for comparison in comparisons:
        if comparison.noise:
            pairs = ((key.rpartition("@"), noise) for key, noise in comparison.noise.items())
            return {case: (version, noise) for (case, _, version), noise in pairs}
    return {}


@st.cache_resource(ttl=FRESH_S, max_entries=8, show_spinner=False)
def same_code_comparisons(database: Database, repository: str, machine: str) -> Sequence[Comparison]:
    """Comparisons of a commit with itself on that machine, the newest first."""
    return tuple(
        one
        for one in data.reader(database).comparisons(limit=_COMPARISONS, kind="noise")
        if one.head.repository == repository and one.head.environment.fingerprint == machine
    )


def judged(database: Database, comparison: Comparison) -> SameCode:
    """What it said; kept, as its report is."""
    return same_code(data.report(database, comparison))


def other_machines(database: Database, repository: str, machine: str) -> Sequence[Machine]:
    """The newest others, as many as a row tells apart."""
    found = data.machines(database, repository)
    return [one for one in found if one.fingerprint != machine][: len(LETTERS)]
