"""The canaries as benchmarks, for the `gpu_benchmark` fixture. Times in the comments are of an H200."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import triton

from perfsuite.canary import device

COMPUTE_ELEMENTS, COMPUTE_STEPS = 1 << 20, 4096
"""4.3·10⁹ multiply-adds in fp32, eight chains a thread: about 0.15 ms at the peak of 132 multiprocessors."""
FACTOR, SUMMAND = 0.9990234375, 0.0009765625
"""1 − 2⁻¹⁰ and 2⁻¹⁰: values tend to 1, rounding errors do not grow."""
COPY_ELEMENTS = 1 << 26
"""256 MiB in, 256 MiB out: five times the L2 of an H100; about 0.12 ms."""
CHAIN, CHAIN_ELEMENTS = 4, 1 << 15
"""Small kernels that wait for each other: nothing but launching and latency."""
SMALL_ELEMENTS, SMALL_STEPS = 4096, 16
"""For Triton's interpreter."""
ROTATE = {"compute": 16, "memory": 8, "launch": 256}
"""Buffer sets. Few, since every comparison pays for them, the copy's are large. Of the chain many, of
128 KiB: in a handful of pages its time depends by 4 % on which pages they are (an H200)."""


def multiply_add(x: torch.Tensor, steps: int) -> torch.Tensor:
    """`steps` times x ← x · FACTOR + SUMMAND. x: fp32 [n], contiguous."""
    out = torch.empty_like(x)
    grid = (triton.cdiv(x.numel(), 1024),)
    device._multiply_add[grid](x, out, x.numel(), steps, FACTOR, SUMMAND, BLOCK=1024, num_warps=4)
    return out


def multiply_add_reference(x: torch.Tensor, steps: int) -> torch.Tensor:
    """In closed form: the fixed point is 1."""
    return ((x.double() - 1.0) * FACTOR**steps + 1.0).float()


def copy(x: torch.Tensor) -> torch.Tensor:
    """A copy. x: fp32 [n], contiguous."""
    out = torch.empty_like(x)
    device._copy[(triton.cdiv(x.numel(), 4096),)](x, out, x.numel(), BLOCK=4096, num_warps=8)
    return out


def increments(x: torch.Tensor) -> torch.Tensor:
    """x + CHAIN, one kernel after the other. x: fp32 [n], contiguous."""
    for _ in range(CHAIN):
        out = torch.empty_like(x)
        device._increment[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), BLOCK=1024, num_warps=4)
        x = out
    return x


def increments_reference(x: torch.Tensor) -> torch.Tensor:
    return x + CHAIN


def numbers(n: int, *more: int) -> Callable[[int], tuple[Any, ...]]:
    def inputs(seed: int) -> tuple[Any, ...]:
        torch.manual_seed(seed)
        return (torch.rand(n), *more)

    return inputs


CANARIES: dict[str, dict[str, Any]] = {
    "compute": {
        "function": multiply_add,
        "reference": multiply_add_reference,
        "inputs": numbers(COMPUTE_ELEMENTS, COMPUTE_STEPS),
        "small": numbers(SMALL_ELEMENTS, SMALL_STEPS),
        "operations": 2 * COMPUTE_ELEMENTS * COMPUTE_STEPS,
        "bytes": 8 * COMPUTE_ELEMENTS,
    },
    "memory": {
        "function": copy,
        "reference": torch.clone,
        "inputs": numbers(COPY_ELEMENTS),
        "small": numbers(SMALL_ELEMENTS),
        "bytes": 8 * COPY_ELEMENTS,
    },
    "launch": {
        "function": increments,
        "reference": increments_reference,
        "inputs": numbers(CHAIN_ELEMENTS),
        "small": numbers(SMALL_ELEMENTS),
        "bytes": 8 * CHAIN_ELEMENTS,
    },
}
"""Kind → what `gpu_benchmark` is given."""


@pytest.mark.parametrize("kind", list(CANARIES))
def test_canary(gpu_benchmark: Any, kind: str) -> None:
    gpu_benchmark(**CANARIES[kind], rotate=ROTATE[kind], precision="fp32", tolerance=1e-4)
