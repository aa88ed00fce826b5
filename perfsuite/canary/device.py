"""Device code of the canaries. Pinned: every change makes them other cases, without a history."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _multiply_add(
    # pointers
    x,
    out,
    # sizes
    n,
    steps,
    FACTOR: tl.constexpr,
    SUMMAND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """`steps` dependent multiply-adds on each element; BLOCK gives each thread several chains."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    value = tl.load(x + at, mask=inside, other=0.0)
    for _ in range(steps):
        value = value * FACTOR + SUMMAND
    tl.store(out + at, value, mask=inside)


@triton.jit
def _copy(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    tl.store(out + at, tl.load(x + at, mask=inside), mask=inside)


@triton.jit
def _increment(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    tl.store(out + at, tl.load(x + at, mask=inside) + 1.0, mask=inside)
