"""Machine code before the stopwatch: workers that compile every case of a tree while others measure."""

from __future__ import annotations

import contextlib
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from perfsuite.measure.player import PlayerError
from perfsuite.measure.process import Ended, RemotePlayer, Trial, TrialFailed, TrialPlan
from perfsuite.model import Launches

CORES_PER_WORKER = 1
MOST_WORKERS = 6


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of compiling a case: its launches, or why there are none."""

    launches: Launches | None
    message: str = ""
    compile_s: float | None = None
    """What Triton took; None where any of it came from a cache."""

    def same_code(self, other: Compiled) -> bool:
        """Whether both compiled, provably to the same machine code and launches."""
        if self.launches is None or other.launches is None:
            return False
        return self.launches.same_code(other.launches)


def worker_count(cores: int, sides: int) -> int:
    """Compiling processes of one side."""
    return max(1, min(MOST_WORKERS, cores // (CORES_PER_WORKER * sides)))


class CompilePool:
    """Trials of one tree that only compile. They fill the tree's Triton cache on the way."""

    def __init__(self, plan: TrialPlan, workers: int) -> None:
        self._plan = plan
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._futures: dict[str, Future[Compiled]] = {}
        self._closing = False
        self._lock = threading.Lock()
        # Started here, in the main thread: a child is killed when the thread that started it ends.
        self._trials = [Trial(plan) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(index,), daemon=True, name=f"compile-{index}")
            for index in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, cases: list[str]) -> None:
        """Queue cases, in this order."""
        for case in cases:
            self._futures[case] = Future()
            self._queue.put(case)

    def result(self, case: str) -> Compiled:
        """Wait for a case that was asked for; one that was not has nothing."""
        future = self._futures.get(case)
        # Waiting in steps keeps Ctrl-C alive.
        while future is not None and not future.done():
            threading.Event().wait(0.005)
            if not any(thread.is_alive() for thread in self._threads) and not future.done():
                return Compiled(None, "the compiling workers ended")
        return future.result() if future is not None else Compiled(None, "not compiled ahead")

    def close(self) -> None:
        """Leave no process behind. Idempotent."""
        with self._lock:
            self._closing = True
            for trial in self._trials:
                trial.close()
        for _ in self._threads:
            self._queue.put(None)

    def _work(self, index: int) -> None:
        broken = ""
        try:
            self._trials[index].collected()
        except TrialFailed as error:
            broken = str(error)
        while (case := self._queue.get()) is not None:
            try:
                outcome = Compiled(None, broken) if broken else self._compile(index, case)
            except Exception as error:
                # Whatever goes wrong in a worker is the outcome of its case: somebody waits for it.
                outcome = Compiled(None, f"the compiling worker failed: {type(error).__name__}: {error}")
            self._futures[case].set_result(outcome)

    def _compile(self, index: int, case: str) -> Compiled:
        try:
            trial = self._living(index)
            started = trial.start(case)
            if isinstance(started, Ended):
                return Compiled(None, started.message)
            code = RemotePlayer(trial).compile()
            trial.finish()
            return Compiled(code.launches, compile_s=code.compile_s)
        except PlayerError as error:
            if not error.lost:
                with contextlib.suppress(PlayerError):
                    self._trials[index].after_error()
            return Compiled(None, error.message)
        except TrialFailed as error:
            return Compiled(None, str(error))

    def _living(self, index: int) -> Trial:
        """The worker's trial, replaced if the last case took it down."""
        with self._lock:
            if self._closing:
                raise TrialFailed("closing")
            if self._trials[index].alive:
                return self._trials[index]
            self._trials[index] = Trial(self._plan)
        self._trials[index].collected()
        return self._trials[index]
