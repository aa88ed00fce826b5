"""The side without a GPU: correctness in Triton's interpreter, and the wall clock of the reference op."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from perfsuite.measure.player import BlockInfo, BlockPlan, CompiledCode, Gate, PlayerError
from perfsuite.model import Round, Timer
from perfsuite.plugin.gate import check
from perfsuite.plugin.spec import Spec

LEAST_ROUND_NS = 2_000_000


@dataclass(slots=True)
class InterpreterPlayer:
    """Runs at the small shape. Its samples are times of the *reference*, and say so."""

    spec: Spec
    _arguments: Any = field(default=None, init=False)
    _iterations: int = field(default=1, init=False)

    def compile(self) -> CompiledCode:
        raise PlayerError("this trial interprets, it does not compile")

    def gate(self) -> Gate:
        return check(self.spec, "cpu", small=True)

    def block(self, plan: BlockPlan) -> BlockInfo:
        self._arguments = self.spec.make(plan.block, "cpu", small=True)
        self._iterations = 1
        once_ns = self._time()
        self._iterations = plan.iterations or max(1, int(LEAST_ROUND_NS / max(once_ns, 1.0)))
        return BlockInfo(1, self._iterations, Timer.REFERENCE, once_ns * self._iterations)

    def round(self, index: int, order: int) -> Round:
        return Round(self._time(), order, index)

    def release(self) -> None:
        self._arguments = None

    def close(self) -> None:
        self.release()

    def _time(self) -> float:
        start = time.perf_counter_ns()
        for _ in range(self._iterations):
            self.spec.truth(self._arguments)
        return (time.perf_counter_ns() - start) / self._iterations
