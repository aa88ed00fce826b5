"""Which machine is shown unasked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sample_history import GPU, NEW_DRIVER, START

from dashboard.derive.machines import main_machine, speaking
from perfsuite.model import Commit, Environment
from perfsuite.store.trends import Machine, Place

OTHER = replace(GPU, gpu="NVIDIA H100")


def machine(environment: Environment, days: float, runs: int) -> Machine:
    newest = START + timedelta(days=days)
    return Machine(environment.fingerprint, environment, (environment.host,), newest, "run", runs)


@pytest.mark.parametrize(
    ("machines", "expected"),
    [
        ([machine(GPU, 0, 1)], GPU),
        # A lone newer run elsewhere does not hide the history.
        ([machine(OTHER, 1, 1), machine(GPU, 0, 30)], GPU),
        # A new driver does: it goes on with the history of its model.
        ([machine(NEW_DRIVER, 1, 1), machine(GPU, 0, 30)], NEW_DRIVER),
        # What is gone for weeks does not come first, however long its history.
        ([machine(OTHER, 30, 2), machine(GPU, 0, 300)], OTHER),
    ],
)
def test_the_machine_that_visitors_come_for(machines: list[Machine], expected: Environment) -> None:
    assert main_machine(machines).fingerprint == expected.fingerprint


def place(name: str, *, dirty: str = "", trusted: bool = True) -> Place:
    return Place(name, Commit(name, dirty=dirty), START, START, "environment", "pr", "run", trusted)


def test_uncommitted_changes_and_strangers_code_say_nothing_of_a_commit() -> None:
    runs = [place("a"), place("b", dirty="c0ffee"), place("c", trusted=False), place("d")]
    assert [one.run_id for one in speaking(runs)] == ["a", "d"]
