"""Device code of `matvec_w4` for Hopper, in Gluon.

What follows the wait for x counts, since the next launch waits for it.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from kernels._dp4a_hopper import half_of, places, row_scales, sums


@gluon.jit
def _rows(block, N: gl.constexpr, ROWS: gl.constexpr, LAYOUT: gl.constexpr):
    """Rows of a block; past the end the last one again, which is not stored."""
    row = block * ROWS + places(2, ROWS // 8, LAYOUT) * 8 + places(0, 8, LAYOUT)
    if N % ROWS != 0:
        row = gl.minimum(row, N - 1)
    return row


@gluon.jit
def _matvec(
    # pointers
    x_ptr,
    w_ptr,
    w_scale_ptr,
    y_ptr,
    # shape
    TOKENS,
    N: gl.constexpr,
    K: gl.constexpr,
    K_PADDED: gl.constexpr,
    # meta
    GROUP: gl.constexpr,
    ACT_TILE: gl.constexpr,
    ROWS: gl.constexpr,
    TILES: gl.constexpr,
    WARPS: gl.constexpr,
    OVERLAP: gl.constexpr,
):
    """y[token, rows] of a block of ROWS; TILES cover all of K."""
    BOTH: gl.constexpr = ROWS // 8
    WORDS: gl.constexpr = gl.BlockedLayout([1, 1, 1, 4], [8, 1, 1, 4], [1, WARPS, 1, 1], [3, 0, 1, 2])
    ONCE: gl.constexpr = gl.BlockedLayout([1, 1, 1, 1], [8, 1, 1, 4], [1, WARPS, 1, 1], [3, 0, 1, 2])
    X: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [WARPS, 1], [1, 0])
    token = (gl.program_id(0) % TOKENS).to(gl.int64)
    block = gl.program_id(0) // TOKENS
    row = _rows(block, N, ROWS, WORDS)
    tile = places(1, TILES, WORDS)
    # Read once: other data should stay in the cache.
    packed = gl.load(
        w_ptr + ((tile * N + row) * 16 + places(3, 16, WORDS)),
        mask=tile < K_PADDED // 128,
        other=0,
        eviction_policy="evict_first",
    )
    row = _rows(block, N, ROWS, ONCE)
    tile = places(1, TILES, ONCE)
    s_low = row_scales(w_scale_ptr, row, tile, 0, N, K_PADDED, GROUP, ONCE)
    s_high = s_low
    if GROUP < 128:
        s_high = row_scales(w_scale_ptr, row, tile, 64, N, K_PADDED, GROUP, ONCE)
    if OVERLAP:
        # The next launch may load its weights already: it waits for this one, as this one does for the last.
        gl.inline_asm_elementwise("griddepcontrol.launch_dependents; // $0", "=r", [], gl.int32, False, 1)
        # Weights are nobody's result; x is, and y may still be read.
        gl.inline_asm_elementwise("griddepcontrol.wait; // $0", "=r", [], gl.int32, False, 1)
    low = half_of(x_ptr + token * K, 0, TILES, K, X)
    high = half_of(x_ptr + token * K, 64, TILES, K, X)
    y = gl.sum(sums(packed, s_low, s_high, low, high, 0, False, GROUP, ACT_TILE, WORDS, ONCE), axis=1)
    LAYOUT: gl.constexpr = y.type.layout
    lane = gl.arange(0, 8, layout=gl.SliceLayout(1, LAYOUT))
    turn = gl.arange(0, BOTH, layout=gl.SliceLayout(0, LAYOUT))
    mine = block * ROWS + turn[None, :] * 8 + lane[:, None]
    gl.store(y_ptr + token * N + mine, y.to(gl.bfloat16), mask=mine < N)
