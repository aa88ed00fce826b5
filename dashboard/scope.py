"""Which repository and which machine a page is about: chosen at its top, kept in the address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import streamlit as st

from dashboard import data
from dashboard.state import choose
from dashboard.style import nothing_measured
from perfsuite.report.environments import machine_model
from perfsuite.store.trends import Machine

_ALIVE = timedelta(days=7)
"""A model that has not reported for so long before the newest report is not what visitors come for."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What the visitor looks at."""

    database: data.Database
    repository: str
    machine: Machine

    @property
    def params(self) -> dict[str, str]:
        """For links that stay with it."""
        return {"repository": self.repository, "machine": self.machine.fingerprint}


def choose_scope(database: data.Database) -> Scope:
    """The selectors; ends the page where nothing was measured.

    Where there is one repository or one machine only, there is nothing to select.
    """
    repositories = data.repositories(database)
    if not repositories:
        nothing_measured()
    row = st.container(horizontal=True)
    with row:
        repository = choose("Repository", "repository", repositories, alone=False)
    machines = {machine.fingerprint: machine for machine in data.machines(database, repository)}
    if not machines:
        nothing_measured()
    with row:
        fingerprint = choose(
            "Machine",
            "machine",
            list(machines),
            default=main_machine(list(machines.values())).fingerprint,
            show=lambda key: machines[key].environment.label,
            alone=False,
        )
    return Scope(database, repository, machines[fingerprint])


def main_machine(machines: Sequence[Machine]) -> Machine:
    """What is shown unasked: of the GPU model with most runs, among those still reporting, the newest
    environment. A single run elsewhere must not take the place of the history.

    Args:
        machines: at least one, the newest first.
    """
    alive = [machine for machine in machines if machine.newest >= machines[0].newest - _ALIVE]
    runs: Counter[object] = Counter()
    for machine in alive:
        runs[machine_model(machine.environment)] += machine.runs
    model, _ = runs.most_common(1)[0]
    return next(machine for machine in alive if machine_model(machine.environment) == model)
