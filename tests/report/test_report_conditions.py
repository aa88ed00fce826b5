"""Circumstances of a measurement, on one line each."""

from __future__ import annotations

from perfsuite.model import Environment
from perfsuite.report.conditions import conditions


def test_nothing_is_said_of_an_ordinary_environment() -> None:
    assert conditions(Environment("here", details={"cpu_count": 4, "untrusted": False})) == ()


def test_a_strangers_code_is_named_as_such() -> None:
    stranger = Environment("here", details={"untrusted": True})
    assert conditions(stranger) == ("head is code from outside: nothing it measured is used elsewhere",)
    assert stranger.fingerprint == Environment("here").fingerprint


def test_what_was_found_is_said_without_control_characters() -> None:
    details = {"other_processes": "a\x1b[2J\nb (pid 7)", "confinement": "trials confined:\tno network"}
    assert conditions(Environment("here", details=details)) == (
        "! other processes used the GPU: a[2J b (pid 7)",
        "trials confined: no network",
    )
