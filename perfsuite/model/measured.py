"""What is measured: environments, machine code, rounds, results, runs. Times are ns, shares fractions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Scalar = str | int | float | bool | None
Params = Mapping[str, Scalar]
CANARY_FAMILY = "perfsuite/canary"
"""Family of the pinned kernels: the same code on both sides, timed wherever anything is."""


REUSED = "reused"
"""In `Result.extra`: the comparison whose blocks these are, where it timed the same machine code before."""


class Status(StrEnum):
    """How one case ended in one run."""

    OK = "ok"
    INCORRECT = "incorrect"
    """The correctness gate is red: there is no time."""
    FAILED = "failed"
    """It raised, crashed, timed out or lost its GPU context: `Result.message` says which."""
    SKIPPED = "skipped"


class Timer(StrEnum):
    """What the samples of a result are."""

    GRAPH = "cuda-graph"
    """Device time per iteration: events around replays of a CUDA graph over many buffer sets."""
    EVENTS = "cuda-events"
    """Device time per iteration: events with the launch queue filled (the op does not capture)."""
    WALL = "wall-clock"
    """Host time per iteration of the benchmarked function."""
    REFERENCE = "wall-clock-of-reference"
    """Host time of the *reference* on the CPU at a small shape: never a statement about the kernel."""
    IMPORTED = "imported"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a run was measured. Comparisons across different fingerprints are refused by name."""

    host: str
    gpu: str | None = None
    """Marketing name as NVML tells it, None without a GPU."""
    gpu_uuid: str | None = None
    gpu_memory_bytes: int | None = None
    gpu_sm_count: int | None = None
    gpu_l2_bytes: int | None = None
    compute_capability: str | None = None
    driver: str | None = None
    cuda: str | None = None
    torch: str | None = None
    triton: str | None = None
    python: str | None = None
    cpu: str | None = None
    clocks: str | None = None
    """Clock policy: "default" or what is locked."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    """Anything else worth keeping; not part of the fingerprint."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits over what decides speed; the key of every series.

        Of a GPU machine: the GPU model, driver, CUDA, torch, Triton and the clock policy (not the host).
        Without a GPU: the host's CPU, torch, Triton and Python.
        """
        if self.gpu:
            of_gpu = (self.gpu, self.gpu_memory_bytes, self.driver, self.cuda)
            key = (*of_gpu, self.torch, self.triton, self.clocks)
        else:
            key = ("cpu", None, self.cpu, self.python, self.torch, self.triton, None)
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """One line for people: `NVIDIA H200 · driver 580.159 · torch 2.11.0 · triton 3.6.0`."""
        parts = [self.gpu or f"no GPU ({self.cpu or self.host})"]
        for name in ("driver", "cuda", "torch", "triton"):
            value = getattr(self, name)
            if value:
                parts.append(f"{name} {value}")
        return " · ".join(parts)


@dataclass(frozen=True, slots=True)
class Kernel:
    """One compiled device kernel, as a case launched it."""

    name: str
    hash: str
    """16 hex digits over its executable sections and constants, free of line information."""
    target: str
    """`sm_90`, `gfx942`."""
    registers: int | None = None
    spills: int | None = None
    """Registers spilled to local memory, in 32-bit words per thread."""
    stack_bytes: int | None = None
    shared_bytes: int | None = None
    warps: int | None = None
    stages: int | None = None
    grid: tuple[int, ...] = ()
    arguments: Params = field(default_factory=dict)
    """Arguments that are not pointers, constexprs (the tile) included, by name."""
    instructions: Mapping[str, int] = field(default_factory=dict)
    """Static instruction mix: class of instruction → how many; empty where it is not known."""
    listing: str = ""
    """SASS of its main loop, one instruction a line; of a kernel without a loop all of it, up to
    `static.loop.LISTING_LINES`. Empty where it is not known; it follows from the machine code, as the mix."""


@dataclass(frozen=True, slots=True)
class Launches:
    """What a case made the device do, in order. Equal launches are the same machine code."""

    kernels: tuple[Kernel, ...] = ()
    """Each distinct (hash, grid, arguments) once, in order of first launch."""
    order: tuple[str, ...] = ()
    """One entry a launch: `name#hash[grid](arguments)` of a Triton kernel, or `aten.mm(bf16[8,64],…)` of a
    torch op."""
    opaque: tuple[str, ...] = ()
    """Why this list may be incomplete (work that was not captured). Not empty: never *identical*."""

    @property
    def comparable(self) -> bool:
        """Whether equality with another list proves that the device does the same work."""
        return bool(self.kernels) and not self.opaque

    def same_code(self, other: Launches) -> bool:
        """True where both sides provably launch the same machine code in the same order."""
        return self.comparable and other.comparable and self.order == other.order


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What NVML said beside one round; None where it does not tell."""

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    power_w: float | None = None
    temperature_c: int | None = None
    throttle: tuple[str, ...] = ()
    """Names of the active throttle reasons, power cap included."""


@dataclass(frozen=True, slots=True)
class Round:
    """One timed batch of iterations."""

    sample_ns: float
    """Time per iteration."""
    order: int
    """Position in the pair's timeline: base and head rounds that belong together have equal `index`."""
    index: int
    """Number of the round inside its block."""
    throttled: bool = False
    telemetry: Telemetry | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Rounds between two allocations: the unit of replication."""

    pair: int
    block: int
    sets: int
    """Buffer sets that the graph walks over."""
    iterations: int
    """Calls of the op in one round."""
    rounds: tuple[Round, ...]

    @property
    def samples_ns(self) -> tuple[float, ...]:
        return tuple(r.sample_ns for r in self.rounds)


@dataclass(frozen=True, slots=True)
class Result:
    """One case in one run."""

    case: str
    version: str
    """Hash of the benchmark's definition; versions are never compared with each other."""
    family: str
    """The benchmark without its axes: `moe_w4a8/prefill`."""
    params: Params
    device: str
    """`cuda` or `cpu`."""
    status: Status
    timer: Timer = Timer.NONE
    message: str = ""
    """Why it is not ok; one line first, details below."""
    blocks: tuple[Block, ...] = ()
    error_rms: float | None = None
    """‖output − reference‖ / ‖reference‖."""
    error_max: float | None = None
    """max |output − reference| / max |reference|."""
    error_parts: tuple[float, ...] = ()
    """RMS error of equal parts of the outputs, for the same inputs on both sides of a comparison: how far
    `error_rms` is luck. Empty where the gate is red or did not run."""
    tolerance: float | None = None
    """Largest `error_rms` that passes."""
    bytes: int | None = None
    """Bytes that the op must move at least."""
    operations: int | None = None
    launches: Launches = Launches()
    roofline_fraction: float | None = None
    """Roofline time over measured time."""
    output_hash: str | None = None
    """Hash of the output's bits for seed 0, where the benchmark asks for it."""
    extra: Mapping[str, Scalar] = field(default_factory=dict)
    """Further facts by name: `precision`, `host_ns` (host time of one call), `peak_bytes` (memory that one
    call allocates at most), `compile_s` (of a case that was not in the cache), notes."""

    @property
    def samples_ns(self) -> tuple[float, ...]:
        return tuple(sample for block in self.blocks for sample in block.samples_ns)


@dataclass(frozen=True, slots=True)
class Commit:
    """A revision as git tells it. Of a dirty tree `sha` is HEAD's and `dirty` a hash of the changes."""

    sha: str
    subject: str = ""
    author: str = ""
    committed_at: datetime | None = None
    branch: str | None = None
    dirty: str = ""
    position: int | None = None
    """How many commits its line has up to it, of merges the first parents' alone: tells which of two is the
    earlier where git's times, whole seconds, do not. None where nobody asked."""

    @property
    def label(self) -> str:
        """`1a2b3c4d5e` or `1a2b3c4d5e+dirty`; a name that is no hash is kept whole."""
        short = self.sha[:10] if set(self.sha) <= set("0123456789abcdef") else self.sha
        return short + ("+dirty" if self.dirty else "")


@dataclass(frozen=True, slots=True)
class Run:
    """All cases, one commit, one environment."""

    id: str
    """32 hex digits."""
    commit: Commit
    repository: str
    """Name of the repository under watch (`owner/name` of its remote, else the folder's name)."""
    environment: Environment
    profile: str
    started_at: datetime
    finished_at: datetime | None = None
    kind: str = "run"
    """`run`, `base`, `head` (the sides of a comparison) or `import`."""
    pattern: str = ""
    """The `-k` expression it was limited to."""
    version: str = ""
    """Version of perfsuite that measured."""
    suite: str = ""
    """Where its benchmarks are in the repository."""
