"""Which machine and which of its runs speak for a history, where nobody says. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta

from perfsuite.report.environments import machine_model
from perfsuite.store.trends import Machine, Place

_ALIVE = timedelta(days=7)
"""A model that has not reported for so long before the newest report is not what visitors come for."""


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


def speaking(places: Iterable[Place]) -> list[Place]:
    """Runs that say something of a commit of the history: neither uncommitted changes nor strangers' code."""
    return [place for place in places if place.trusted and not place.commit.dirty]
