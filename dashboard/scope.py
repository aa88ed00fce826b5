"""Which repository and which machine a page is about: chosen at its top, kept in the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import streamlit as st

from dashboard import data
from dashboard.derive.machines import main_machine
from dashboard.markup import link, show
from dashboard.state import choose
from dashboard.style import empty, nothing_measured
from perfsuite.store.trends import Machine


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
        _no_history(database)
    row = st.container(horizontal=True)
    with row:
        repository = choose("Repository", "repository", repositories, alone=False)
    machines = {machine.fingerprint: machine for machine in data.machines(database, repository)}
    if not machines:
        _no_history(database)
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


def _no_history(database: data.Database) -> NoReturn:
    if not data.comparisons(database):
        nothing_measured()
    show(link("The comparisons →", "compare"))
    empty(
        "There are comparisons, but no history yet.",
        "The sides of a comparison are no part of it. A run of the main branch is its first point:",
        "perfsuite run",
    )
