"""Device code of `stack`: the residual sum between two layers, and its normalization."""

import triton
import triton.language as tl

from kernels._quantize import to_bf16


@triton.jit
def _add_rms_norm(
    # pointers
    x_ptr,
    y_ptr,
    sum_ptr,
    normed_ptr,
    # shape
    HIDDEN: tl.constexpr,
    # meta
    EPSILON: tl.constexpr,
    ADD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row a program."""
    cols = tl.arange(0, BLOCK)
    offsets = tl.program_id(0).to(tl.int64) * HIDDEN + cols
    # Columns past the end are zero: they add nothing to the mean.
    total = tl.load(x_ptr + offsets, mask=cols < HIDDEN, other=0.0).to(tl.float32)
    if ADD:
        total += tl.load(y_ptr + offsets, mask=cols < HIDDEN, other=0.0).to(tl.float32)
        tl.store(sum_ptr + offsets, to_bf16(total), mask=cols < HIDDEN)
    scale = tl.rsqrt(tl.sum(total * total, axis=0) / HIDDEN + EPSILON)
    tl.store(normed_ptr + offsets, to_bf16(total * scale), mask=cols < HIDDEN)
