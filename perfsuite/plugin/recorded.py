"""Handing measured samples to pytest-benchmark, so that its JSON, tables and comparisons show device time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RecordedClock:
    """A timer that stands still but for `advance`. pytest-benchmark calls it around each round."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def __repr__(self) -> str:
        return "perfsuite device clock"

    def advance(self, ns: float) -> None:
        self.now_s += ns / 1e9


def replay_samples(benchmark: Any, clock: RecordedClock, samples_ns: Sequence[float]) -> None:
    """Let `benchmark` (pytest-benchmark's fixture, with `clock` as its timer) see one round a sample."""
    pending = iter(samples_ns)
    # A difference of large clock readings loses digits: start anew for each round.
    benchmark.pedantic(
        lambda: clock.advance(next(pending)),
        setup=lambda: setattr(clock, "now_s", 0.0),
        rounds=len(samples_ns),
        iterations=1,
    )
