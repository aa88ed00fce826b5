"""Who else computes on the GPU: told, waited for, and kept with what was measured beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from perfsuite.errors import MachineError
from perfsuite.measure.nvml import GpuProcess
from perfsuite.measure.settings import Progress

SMALL_DESKTOP_BYTES = 1 << 30
"""A graphics process that holds less draws a desktop: it costs next to nothing and never goes."""
POLL_S = 1.0
GRACE_S = 1.0
"""A process that was killed stays in the driver's list for a moment: whoever is there is looked for twice."""
_MOST_NAMED = 4
_NAME_LETTERS = 60


def disturbing(processes: Sequence[GpuProcess]) -> list[GpuProcess]:
    """Those that may take time from what is measured."""
    return [one for one in processes if not one.graphics or one.bytes >= SMALL_DESKTOP_BYTES]


def named(processes: Sequence[GpuProcess]) -> str:
    """`python train.py (pid 7, 3.0 GiB)`, at most a few of them."""
    shown = [f"{_name(one)} (pid {one.pid}, {one.bytes / 2**30:.1f} GiB)" for one in processes[:_MOST_NAMED]]
    left = len(processes) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def _name(process: GpuProcess) -> str:
    # A process names itself as it likes.
    words = " ".join("".join(c if c.isprintable() else " " for c in process.name).split())
    return words if len(words) <= _NAME_LETTERS else words[: _NAME_LETTERS - 1] + "…"


class Neighbours:
    """Processes of others on the GPU.

    It is asked only while no process of ours holds the GPU: so whoever is there is a stranger, though pids
    may be those of another namespace, as they are in a container.
    """

    def __init__(
        self,
        ask: Callable[[], Sequence[GpuProcess]],
        progress: Progress,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: ask: all processes on the GPU now."""
        self._ask = ask
        self._progress = progress
        self._sleep = sleep
        self._clock = clock
        self._first: list[GpuProcess] = []
        self._later: dict[int, GpuProcess] = {}

    def begin(self, wait_s: float | None) -> None:
        """Looks before the measurement.

        Args:
            wait_s: how long to wait until they are gone; None: not at all, they are noted.

        Raises:
            MachineError: they were there all that time.
        """
        found = self._staying()
        if found and wait_s is not None:
            found = self._wait(found, wait_s)
        self._first = found
        if found:
            self._progress.note(f"other processes use the GPU: {named(found)}")

    def look(self) -> None:
        """Looks again: whoever came is noted, once."""
        known = {one.pid for one in self._first} | self._later.keys()
        if not any(one.pid not in known for one in disturbing(self._ask())):
            return
        new = [one for one in self._staying() if one.pid not in known]
        if new:
            self._later |= {one.pid: one for one in new}
            self._progress.note(f"other processes began to use the GPU: {named(new)}")

    @property
    def told(self) -> str:
        """Who was there, in words; empty where nobody was."""
        later = list(self._later.values())
        parts = [named(self._first), f"while measuring came {named(later)}" if later else ""]
        return "; ".join(part for part in parts if part)

    def _staying(self) -> list[GpuProcess]:
        if not disturbing(self._ask()):
            return []
        self._sleep(GRACE_S)
        return disturbing(self._ask())

    def _wait(self, found: list[GpuProcess], wait_s: float) -> list[GpuProcess]:
        started = self._clock()
        while found:
            if self._clock() - started >= wait_s:
                raise MachineError(
                    f"the GPU is busy: {named(found)}; it was waited for {wait_s:g} s (--wait-idle)",
                    "repeat the command when they are gone, or without --wait-idle to measure beside them",
                )
            self._progress.waiting(f"the GPU is busy: {named(found)}")
            self._sleep(POLL_S)
            found = disturbing(self._ask())
        self._progress.going_on()
        return found
