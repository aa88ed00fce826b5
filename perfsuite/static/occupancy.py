"""How many warps of a kernel one multiprocessor holds."""

from __future__ import annotations

from perfsuite.model import Kernel
from perfsuite.static.targets import KIB, find_target

# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability", and NVIDIA's occupancy
# calculator: the register file, and the units in which registers and shared memory are handed out.
REGISTERS_PER_MULTIPROCESSOR = 64 * 1024
REGISTERS_PER_WARP_UNIT = 256
SHARED_UNIT_BYTES = 128
SHARED_RESERVED_BYTES = KIB
"""Kept by the system for each block; a multiprocessor has this much more than one block may ask for."""


def occupancy(kernel: Kernel) -> float | None:
    """Resident warps over the most that a multiprocessor holds, from registers and shared memory.

    None where a number is missing, and for AMD, whose register files are divided in other ways.
    """
    target = find_target(kernel.target)
    if target.backend != "cuda" or not kernel.warps or not kernel.registers:
        return None
    per_warp = _round_up(kernel.registers * target.warp_size, REGISTERS_PER_WARP_UNIT)
    # Turing keeps nothing back and has no more than one block may use.
    reserved = SHARED_RESERVED_BYTES if target.name != "sm_75" else 0
    shared = _round_up((kernel.shared_bytes or 0) + reserved, SHARED_UNIT_BYTES)
    limits = [
        target.max_blocks,
        target.max_warps // kernel.warps,
        REGISTERS_PER_MULTIPROCESSOR // per_warp // kernel.warps,
    ]
    if shared:
        limits.append((target.shared_limit_bytes + reserved) // shared)
    return min(limits) * kernel.warps / target.max_warps


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
