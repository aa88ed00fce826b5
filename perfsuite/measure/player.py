"""What a schedule drives: one case on one side, whether in this process or in another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    error_parts: tuple[float, ...] = ()
    """RMS error of equal parts of the outputs; empty where the gate is red."""


@dataclass(frozen=True, slots=True)
class CompiledCode:
    """A case, compiled but not run."""

    launches: Launches
    compile_s: float | None = None
    """What Triton took to compile it; None where any of it came from a cache."""


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """One allocation. `sets`, `iterations` and `warm` fix the graph's form: head is given base's."""

    pair: int
    block: int
    sets: int | None = None
    iterations: int | None = None
    warm: int | None = None
    """Calls of the untimed replay before each timed one."""


@dataclass(frozen=True, slots=True)
class BlockInfo:
    sets: int
    iterations: int
    timer: Timer
    round_ns: float
    """How long a round takes about, to choose the number of rounds."""
    notes: tuple[str, ...] = ()
    warm: int | None = None
    """Calls of the untimed replay before each round."""
    host_ns: float | None = None
    """Host time of one call, as the process's first block found it."""
    peak_bytes: int | None = None
    """Memory that one call allocates at most."""
    spent: Mapping[str, int] = field(default_factory=dict)
    """What preparing the block took, in ns by step: `inputs`, `calibrate`, `place`, `capture`, `facts`."""

    def plan(self, pair: int, block: int) -> BlockPlan:
        """A block of the same form: of the other side, or a later one."""
        return BlockPlan(pair, block, self.sets, self.iterations, self.warm)


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

    def compile(self) -> CompiledCode:
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


class LocalPlayer(Player, Protocol):
    """A player in the process where its case runs."""

    def close(self) -> None:
        """Free everything of the case: the other side may need the memory."""
        ...
