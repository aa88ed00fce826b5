"""What a schedule drives: one case on one side, whether in this process or in another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from perfsuite.model import Launches, Round, Side, Timer


@dataclass(frozen=True, slots=True)
class Gate:
    """The correctness gate's answer: a fresh set of inputs against the reference."""

    passed: bool
    message: str = ""
    error_rms: float | None = None
    error_max: float | None = None
    output_hash: str | None = None
    launches: Launches | None = None
    """What was seen on the device, where it could not be compiled ahead."""


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """One allocation. `sets` and `iterations` fix the graph's form: head is given base's."""

    pair: int
    block: int
    sets: int | None = None
    iterations: int | None = None


@dataclass(frozen=True, slots=True)
class BlockInfo:
    sets: int
    iterations: int
    timer: Timer
    round_ns: float
    """How long a round takes about, to choose the number of rounds."""
    notes: tuple[str, ...] = ()


class PlayerError(Exception):
    """The case failed in its own code; the trial lives on.

    `lost` is set where its GPU context or its process is gone: the trial has to be replaced.
    """

    def __init__(self, message: str, *, lost: bool = False, side: Side | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.lost = lost
        self.side = side
        """Whose it is, where two sides are driven."""


class Player(Protocol):
    """One side of a case. Every method raises `PlayerError`."""

    def compile(self) -> Launches:
        """The launches at the real shape, compiled ahead of time; nothing runs on a GPU."""
        ...

    def gate(self) -> Gate: ...

    def block(self, plan: BlockPlan) -> BlockInfo:
        """Free everything, allocate and capture anew."""
        ...

    def round(self, index: int, order: int) -> Round: ...

    def release(self) -> None:
        """Free the block's buffers."""
        ...
