"""Device code of `weighted_sum`."""

import triton
import triton.language as tl
from triton.language.extra import cuda

from kernels._quantize import to_bf16


@triton.jit
def _weighted_sum(
    # pointers
    y_ptr,
    weights_ptr,
    places_ptr,
    out_ptr,
    # shape
    TOKENS,
    HIDDEN: tl.constexpr,
    TOP_K: tl.constexpr,
    # meta
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """out[token] = Σ weight · y[place] over the token's places, in fp32 and in order."""
    if OVERLAP:
        cuda.gdc_wait()
        cuda.gdc_launch_dependents()
    token = (tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)).to(tl.int64)
    cols = tl.program_id(1) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)
    # Tokens and columns past the end do not exist.
    inside = (token < TOKENS)[:, None] & (cols < HIDDEN)[None, :]
    acc = tl.zeros((BLOCK_ROWS, BLOCK_COLS), tl.float32)
    for choice in tl.static_range(TOP_K):
        place = tl.load(places_ptr + token * TOP_K + choice, mask=token < TOKENS, other=-1)
        weight = tl.load(weights_ptr + token * TOP_K + choice, mask=token < TOKENS, other=0.0)
        # Slots without an expert have no row.
        held = inside & (place >= 0)[:, None]
        y = tl.load(y_ptr + place.to(tl.int64)[:, None] * HIDDEN + cols[None, :], mask=held, other=0.0)
        weight = tl.where(place >= 0, weight, 0.0)
        acc += weight[:, None] * y.to(tl.float32)
    tl.store(out_ptr + token[:, None] * HIDDEN + cols[None, :], to_bf16(acc), mask=inside)
