"""How long a history takes: `pytest tests/benchmarks/bench_history.py` (not part of the tests).

Asked for: 10,000 points in under 0.1 s on one core, one more point in under 5 ms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfsuite.stats.change_points import change_points
from perfsuite.stats.history_stream import Stream
from perfsuite.stats.rules import Series

POINTS = 10_000


def history(steps: int) -> list[float]:
    """Times with 1 % of noise, and so many steps of 2 %."""
    generator = np.random.default_rng(0)
    level = np.zeros(POINTS)
    for _ in range(steps):
        level[generator.integers(POINTS) :] += generator.choice([-0.02, 0.02])
    values: list[float] = (1e5 * np.exp(generator.normal(0, 0.01, POINTS) + level)).tolist()
    return values


@pytest.mark.parametrize("steps", [0, 40])
def test_whole_history(benchmark: Any, steps: int) -> None:
    benchmark(change_points, Series("case", tuple(history(steps))))


@pytest.mark.parametrize("steps", [0, 40])
def test_one_more_point(benchmark: Any, steps: int) -> None:
    values = history(steps)
    stream = Stream.of(values[:-50])
    following = iter(values[-50:])
    benchmark.pedantic(lambda: stream.add(next(following)), rounds=50)
