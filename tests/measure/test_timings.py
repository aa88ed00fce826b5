"""Phases add up, whoever adds them."""

from __future__ import annotations

import threading

import pytest

from perfsuite.measure.timings import Timings


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_phases_add_up_and_the_longest_comes_first() -> None:
    clock = Clock()
    timings = Timings(clock)
    for seconds in (1.0, 2.0):
        with timings.phase("rounds"):
            clock.now += seconds
    with pytest.raises(ValueError), timings.phase("gate"):
        clock.now += 5.0
        raise ValueError
    assert timings.rows() == [("gate", 5.0, 1), ("rounds", 3.0, 2)]


def test_a_phase_is_split_by_what_the_trial_says() -> None:
    timings = Timings()
    timings.add("allocate", 1.0)
    timings.split("allocate", {"capture": 500_000_000, "place": 250_000_000})
    assert timings.rows() == [
        ("allocate: capture", 0.5, 1),
        ("allocate", 0.25, 1),
        ("allocate: place", 0.25, 1),
    ]


def test_threads_lose_nothing() -> None:
    timings = Timings()
    threads = [
        threading.Thread(target=lambda: [timings.add("x", 1.0) for _ in range(1000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert timings.rows() == [("x", 4000.0, 4000)]
