"""What one call of an op costs beside device time: the host's time, and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

HOST_CALLS, LEAST_HOST_CALLS = 20, 5
HOST_BUDGET_NS = 30_000_000
"""Slow ops are called less often: their host time matters less."""
CALLS_PER_SYNC = 4
"""So few that the launch queue (about 1,000 entries) never fills, which would make the host wait."""


def host_ns(call: Callable[[], object], synchronize: Callable[[], object], device_ns: float) -> float:
    """Median host time of one call in ns, the device not keeping it waiting.

    Args:
        call: the op on one set of inputs.
        synchronize: waits for the device.
        device_ns: about the device time of one call.
    """
    affordable = int(HOST_BUDGET_NS / max(device_ns, 1.0))
    times = []
    for number in range(max(LEAST_HOST_CALLS, min(HOST_CALLS, affordable))):
        if number % CALLS_PER_SYNC == 0:
            synchronize()
        start = time.perf_counter_ns()
        output = call()
        times.append(time.perf_counter_ns() - start)
        # Freed outside of the timed span: the next call finds the memory in the allocator's cache.
        del output
    synchronize()
    return statistics.median(times)


def peak_bytes(call: Callable[[], object]) -> int:
    """Memory that one call allocates at most, its outputs included."""
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    output = call()
    torch.cuda.synchronize()
    del output
    return int(torch.cuda.max_memory_allocated() - before)


class Spent:
    """Time of a block's steps by name, ns."""

    def __init__(self) -> None:
        self._ns: dict[str, int] = {}

    @contextmanager
    def on(self, step: str) -> Iterator[None]:
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self._ns[step] = self._ns.get(step, 0) + time.perf_counter_ns() - start

    @property
    def ns(self) -> Mapping[str, int]:
        return dict(self._ns)
