"""The compiling side: a case's machine code at its real shape, without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from perfsuite.measure.player import BlockInfo, BlockPlan, Gate, PlayerError
from perfsuite.model import Launches, Round
from perfsuite.plugin.spec import Spec


@dataclass(slots=True)
class AheadPlayer:
    """Compiles for `target` (`sm_90`), on meta tensors; knows nothing of time or of values."""

    spec: Spec
    target: str

    def compile(self) -> Launches:
        from perfsuite.static.offline import compile_launches

        return compile_launches(self.spec.function, self.spec.make(0, "meta"), self.target)

    def gate(self) -> Gate:
        self._refuse()

    def block(self, plan: BlockPlan) -> BlockInfo:
        self._refuse()

    def round(self, index: int, order: int) -> Round:
        self._refuse()

    def release(self) -> None:
        pass

    def _refuse(self) -> NoReturn:
        raise PlayerError("this trial only compiles")
