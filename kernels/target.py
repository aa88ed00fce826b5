"""Questions about the hardware, answered in one place: what a launch on this device can do, and launching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
from triton.runtime.jit import JITFunction

INTERPRETED = bool(triton.knobs.runtime.interpret)
"""Whether device code runs in Triton's interpreter: decided when it is imported, as Triton does."""


OVERLAP_ARCH = 90
"""From this compute capability on a launch may begin while the one before it ends."""
NO_SPILLS = ("80", "90")
"""Where ptxas spills nothing by itself: its own choice stays, which on Hopper is what was measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """What kernels are compiled for."""

    backend: str
    """"cuda", "hip", or "cpu" (the interpreter)."""
    arch: str
    """"90" or "gfx942"; empty for the interpreter."""
    name: str = ""
    """The GPU's name where there is one."""

    @property
    def inline_ptx(self) -> bool:
        return self.backend == "cuda"


INTERPRETER = Target("cpu", "")


def target_of(device: torch.device) -> Target:
    """What a launch on `device` compiles for.

    Meta tensors: the GPU for which something compiles just now without launching, named if it is there;
    otherwise nothing is launched, as if for the interpreter.

    Raises:
        ValueError: tensors on the CPU while Triton's interpreter is off.
    """
    if INTERPRETED:
        return INTERPRETER
    if device.type == "cpu":
        raise ValueError(
            "tensors on the CPU need Triton's interpreter: set TRITON_INTERPRET=1 before importing kernels"
        )
    if device.type == "meta" and not _compiles():
        return INTERPRETER
    driver = triton.runtime.driver.active
    found = driver.get_current_target()
    if device.type == "meta":
        device = driver.get_active_torch_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return Target(str(found.backend), str(found.arch), name)


def overlaps(target: Target) -> bool:
    """Whether a launch on `target` can begin while the one before it ends."""
    return target.backend == "cuda" and int(target.arch) >= OVERLAP_ARCH


def overlap(target: Target, *, wanted: bool = True) -> dict[str, object]:
    """Options of a launch that begins, where that is `wanted` and possible, while the one before it ends.

    Every kernel so launched waits, in all its programs, before it reads what a launch writes or writes what
    one reads: whoever waits for it then knows that all before it is done as well. What no launch in front
    writes (weights) may be loaded ahead of the wait.
    """
    return {"OVERLAP": True, "launch_pdl": True} if wanted and overlaps(target) else {"OVERLAP": False}


def multiprocessors(device: torch.device) -> int:
    """Multiprocessors of `device`; of a GPU that is not there, those of an H100 or H200."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).multi_processor_count)
    return 132


def roomy(target: Target) -> dict[str, int]:
    """Launch option of a kernel of up to 8 warps: as many registers as there are, rather than a spill.

    Left to itself, ptxas spills a few words to run one more program at a time on some architectures.
    """
    return {"maxnreg": 255} if target.backend == "cuda" and target.arch not in NO_SPILLS else {}


def launch(kernel: Any, grid: Sequence[int], device: torch.device, *arguments: Any, **options: Any) -> None:
    """Launch `kernel` on `device`. On meta tensors nothing runs: there the launch only reaches a recorder."""
    if device.type == "meta" and not _compiles():
        return
    if device.type == "cpu":
        # Refuses the CPU without the interpreter, by name.
        target_of(device)
    if device.type == "cuda" and device.index not in (None, torch.cuda.current_device()):
        with torch.cuda.device(device):
            kernel[tuple(grid)](*arguments, **options)
        return
    kernel[tuple(grid)](*arguments, **options)


def _compiles() -> bool:
    """Whether something took over Triton's launches in order to compile without launching.

    A meta tensor has no address: a real launch on one would read from null.
    """
    return not INTERPRETED and not JITFunction.run.__module__.startswith("triton.")
