"""Where the time goes: seconds by named phase, for `--timings`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Timings:
    """Adds up phases; any thread may. Phases that do not overlap sum to the whole.

    Args:
        clock: seconds, from anywhere.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside, an error included."""
        start = self._clock()
        try:
            yield
        finally:
            self.add(name, self._clock() - start)

    def add(self, name: str, seconds: float, count: int = 1) -> None:
        """Count what was timed elsewhere."""
        with self._lock:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            self._counts[name] = self._counts.get(name, 0) + count

    def split(self, name: str, spent_ns: Mapping[str, int]) -> None:
        """Break a phase down by what a trial says of it (`BlockInfo.spent`): `allocate` gets rows of its own
        (`allocate: capture`, …), and keeps what the trial does not tell, the way there and back included."""
        for step, ns in spent_ns.items():
            self.add(f"{name}: {step}", ns / 1e9)
        self.add(name, -sum(spent_ns.values()) / 1e9, 0)

    def rows(self) -> list[tuple[str, float, int]]:
        """Phase, seconds, how often: the longest first."""
        with self._lock:
            rows = [(name, seconds, self._counts[name]) for name, seconds in self._seconds.items()]
        return sorted(rows, key=lambda row: (-row[1], row[0]))
