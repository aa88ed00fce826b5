"""GPUs that kernels are compiled for: what one block may use, and what host code asks a driver for.

Sources: NVIDIA, CUDA C++ Programming Guide, "Technical Specifications per Compute Capability" (maximum
shared memory, warps and blocks); AMD, CDNA3 and CDNA4 ISA references (local data share of a work-group).
The number of multiprocessors is that of the architecture's common data-centre or desktop model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from perfsuite.errors import UsageError

KIB = 1024


@dataclass(frozen=True, slots=True)
class Target:
    """An architecture that Triton compiles for."""

    name: str
    shared_limit_bytes: int
    """Largest dynamic shared memory of one block."""
    multiprocessors: int
    example: str
    """The GPU whose number of multiprocessors it is."""
    max_warps: int = 64
    """Of one multiprocessor."""
    max_blocks: int = 32
    """Of one multiprocessor."""
    warp_size: int = 32

    @property
    def backend(self) -> str:
        return "hip" if self.name.startswith("gfx") else "cuda"

    @property
    def arch(self) -> int | str:
        """As Triton's `GPUTarget` wants it: 90, "gfx942"."""
        return self.name if self.backend == "hip" else int(self.name.removeprefix("sm_"))


_TARGETS = {
    target.name: target
    for target in (
        Target("sm_75", 64 * KIB, 40, "Tesla T4", 32, 16),
        Target("sm_80", 163 * KIB, 108, "A100"),
        Target("sm_86", 99 * KIB, 84, "A40", 48, 16),
        Target("sm_87", 163 * KIB, 16, "Jetson AGX Orin", 48, 16),
        Target("sm_89", 99 * KIB, 142, "L40S", 48, 24),
        Target("sm_90", 227 * KIB, 132, "H100, H200"),
        Target("sm_100", 227 * KIB, 148, "B200"),
        Target("sm_103", 227 * KIB, 148, "B300"),
        Target("sm_120", 99 * KIB, 170, "GeForce RTX 5090", 48, 24),
        Target("sm_121", 99 * KIB, 48, "GB10", 48, 24),
        Target("gfx942", 64 * KIB, 304, "MI300X", warp_size=64),
        Target("gfx950", 160 * KIB, 256, "MI350X", warp_size=64),
    )
}

NAMES = tuple(_TARGETS)


def find_target(name: str) -> Target:
    """The target of a name: `sm_90`, `sm_90a` or `90`, `gfx942`.

    Raises:
        UsageError: none has that name.
    """
    match = re.fullmatch(r"(?:sm_?)?(\d+)[af]?", name)
    target = _TARGETS.get(f"sm_{match.group(1)}" if match else name)
    if target is None:
        raise UsageError(f"unknown GPU target {name!r}", f"use one of {', '.join(NAMES)}")
    return target
