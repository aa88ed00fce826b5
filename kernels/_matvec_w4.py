"""Device code of `matvec_w4`: a stream of weight rows past activations that stay in registers."""

import triton
import triton.language as tl

from kernels._decode import load_scales, load_words, load_x, products, quantized, row_sums, rows_of
from kernels._quantize import to_bf16


@triton.jit
def _matvec(
    # pointers
    x_ptr,
    w_ptr,
    w_scale_ptr,
    y_ptr,
    # shape
    TOKENS,
    N: tl.constexpr,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    # meta
    GROUP: tl.constexpr,
    ACT_TILE: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    TILES: tl.constexpr,
    PTX: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """y[token, rows] of a block of ROWS; TILES cover all of K."""
    TOTAL: tl.constexpr = K_PADDED // 128
    PIECES: tl.constexpr = 2 if (GROUP == 32 or ACT_TILE == 32) else 1
    JOINT: tl.constexpr = GROUP == 128 and ACT_TILE == 128
    # Tokens of the same rows run side by side: all but the first find the weights in the cache.
    token = (tl.program_id(0) % TOKENS).to(tl.int64)
    row = rows_of(tl.program_id(0) // TOKENS, ROWS, LANES)
    tile = tl.arange(0, TILES)
    live = tile < TOTAL
    only = tl.zeros((TILES,), tl.int64)
    # Rows past the end read the last one again; they are not stored.
    safe = row if N % ROWS == 0 else tl.minimum(row, N - 1)
    # A dense weight may have more words than 32 bits count.
    wide = tile.to(tl.int64)
    words = load_words(w_ptr, only, wide, safe, live, N, K_PADDED)
    s_low, s_high = load_scales(w_scale_ptr, only, wide, safe, live, N, K_PADDED, GROUP)
    if OVERLAP:
        # The next launch may load its weights already: it waits for this one, as this one does for the last.
        tl.extra.cuda.gdc_launch_dependents()
        # Weights are nobody's result; x is, and y may still be read.
        tl.extra.cuda.gdc_wait()
    low, high = load_x(x_ptr, token + only, tile, live, K)
    x_low, x_high, xs_low, xs_high = quantized(low, high, ACT_TILE, PTX)
    y = row_sums(products(words, s_low, s_high, x_low, x_high, xs_low, xs_high, JOINT, PIECES, PTX))
    tl.store(y_ptr + token * N + row, to_bf16(y), mask=row < N)
