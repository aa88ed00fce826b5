"""The compiling side: a case's machine code at its real shape, without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from perfsuite.measure.player import BlockInfo, BlockPlan, CompiledCode, Gate, PlayerError
from perfsuite.model import Round
from perfsuite.plugin.spec import Spec


@dataclass(slots=True)
class AheadPlayer:
    """Compiles for `target` (`sm_90`), on meta tensors; knows nothing of time or of values."""

    spec: Spec
    target: str

    def compile(self) -> CompiledCode:
        return compile_case(self.spec, self.target)

    def gate(self) -> Gate:
        self._refuse()

    def block(self, plan: BlockPlan) -> BlockInfo:
        self._refuse()

    def round(self, index: int, order: int) -> Round:
        self._refuse()

    def release(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _refuse(self) -> NoReturn:
        raise PlayerError("this trial only compiles")


@dataclass(slots=True)
class CompileClock:
    """Adds up what Triton says of its compilations."""

    kernels: int = 0
    cached: int = 0
    seconds: float = 0.0
    _others: Any = field(default=None, repr=False)

    def __call__(self, *, times: Any, cache_hit: bool, **more: Any) -> None:
        if cache_hit:
            self.cached += 1
        else:
            self.kernels += 1
            self.seconds += times.total / 1e6
        if self._others is not None:
            self._others(times=times, cache_hit=cache_hit, **more)

    def reset(self) -> None:
        """Forget what was compiled so far."""
        self.kernels = self.cached = 0
        self.seconds = 0.0

    def of(self, kernels: int) -> float | None:
        """Seconds for a case with so many distinct kernels, None unless every one was compiled just now.

        A part would say nothing: which case compiles a kernel that several share is chance.
        """
        return self.seconds if not self.cached and 0 < kernels <= self.kernels else None


def compile_case(spec: Spec, target: str | None) -> CompiledCode:
    """One call's launches for `target`, or for the GPU at hand (None), compiled but not run."""
    from perfsuite.static.offline import compile_launches

    def make() -> object:
        """Inputs may depend on the target, as tiles do; making them may compile, which is not the case's."""
        made = spec.make(0, "meta")
        clock.reset()
        return made

    with listening() as clock:
        launches = compile_launches(spec.function, make, target)
    return CompiledCode(launches, clock.of(len({kernel.hash for kernel in launches.kernels})))


@contextmanager
def listening() -> Iterator[CompileClock]:
    """Inside, Triton's compilations are timed."""
    from triton import knobs

    before = knobs.compilation.listener
    clock = CompileClock(_others=before)
    knobs.compilation.listener = clock
    try:
        yield clock
    finally:
        knobs.compilation.listener = before
