"""The pytest plugin: the `gpu_benchmark` fixture. Imports nothing heavy: every pytest session loads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from perfsuite.plugin.recorded import RecordedClock

CLOCK: pytest.StashKey[RecordedClock] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("perfsuite")
    group.addoption("--perfsuite-blocks", type=int, default=2, help="blocks (allocations) of a case")
    group.addoption("--perfsuite-rounds", type=int, default=12, help="timed rounds of a block")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "full: a benchmark for --profile full alone, or where -k names only such"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    if "gpu_benchmark" in getattr(item, "fixturenames", ()):
        from perfsuite.plugin.recorded import RecordedClock

        clock = RecordedClock()
        item.stash[CLOCK] = clock
        item.add_marker(pytest.mark.benchmark(timer=clock))


@pytest.fixture
def gpu_benchmark(request: pytest.FixtureRequest, benchmark: Any) -> Callable[..., None]:
    """Check an op against its reference, then measure its device time.

    `gpu_benchmark(function, inputs=, reference=, tolerance=, small=None, bytes=None, operations=None,
    precision="bf16", rotate=None, hash_output=False)`: see `perfsuite.plugin.spec.Spec` for the arguments.
    """
    from perfsuite.plugin.fixture import GpuBenchmark

    return GpuBenchmark(request, benchmark, request.node.stash[CLOCK])
