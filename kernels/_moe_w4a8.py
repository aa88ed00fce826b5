"""Device code of the portable grouped GEMM, over blocks of rows of one expert each.

A and B are swapped, outᵀ = W · xᵀ: the unpacked weights are the register operand of the matrix instruction
and never go back through shared memory. Hopper has a kernel of its own, in `_ring`.
"""

import triton
import triton.language as tl

from kernels._quantize import abs_bits, scale_of, to_bf16, to_int8, unpack_int4


@triton.jit
def _load_x(ptrs, start, K: tl.constexpr, WIDTH: tl.constexpr, EVEN_K: tl.constexpr):
    """Unquantized activations [BLOCK_M, WIDTH] from column `start` on, fp32; zero past the end of a row."""
    if EVEN_K:
        return tl.load(ptrs + start).to(tl.float32)
    inside = (start + tl.arange(0, WIDTH)) < K
    return tl.load(ptrs + start, mask=inside[None, :], other=0.0).to(tl.float32)


@triton.jit
def _quantized(ptrs, row_ptrs, low_at, high_at, K: tl.constexpr, PIECE: tl.constexpr, ACT_TILE: tl.constexpr):
    """Both pieces of a step quantized here: INT8 low and high, and their scales."""
    low = _load_x(ptrs, low_at, K, PIECE, K % 128 == 0)
    high = _load_x(ptrs, high_at, K, PIECE, K % 128 == 0)
    if ACT_TILE <= PIECE:
        low_bits = tl.max(abs_bits(low), axis=1)
        high_bits = tl.max(abs_bits(high), axis=1)
    elif ACT_TILE == 2 * PIECE:
        # Both pieces together are the scale's tile.
        low_bits = tl.maximum(tl.max(abs_bits(low), axis=1), tl.max(abs_bits(high), axis=1))
        high_bits = low_bits
    else:
        # The scale's tile is wider than both: look at all of it.
        whole = tl.arange(0, ACT_TILE)
        start = (low_at // ACT_TILE) * ACT_TILE
        low_bits = tl.max(
            abs_bits(_load_x(row_ptrs + whole[None, :], start, K, ACT_TILE, K % 128 == 0)), axis=1
        )
        high_bits = low_bits
    low_scale, low_inverse = scale_of(low_bits)
    high_scale, high_inverse = scale_of(high_bits)
    return to_int8(low, low_inverse[:, None]), to_int8(high, high_inverse[:, None]), low_scale, high_scale


@triton.jit
def _gemm(
    # pointers
    x_ptr,
    x_scale_ptr,
    w_ptr,
    w_scale_ptr,
    out_ptr,
    slots_ptr,
    expert_ptr,
    count_ptr,
    # shape
    N: tl.constexpr,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TOP_K: tl.constexpr,
    # stride
    XS_STRIDE,
    # meta
    GROUP: tl.constexpr,
    ACT_TILE: tl.constexpr,
    HOISTED: tl.constexpr,
    GATHERED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PTX: tl.constexpr,
    FLOAT_DOT: tl.constexpr,
):
    """bf16 [rows, N]. Activations: INT8 rows with scales if HOISTED; else bf16, of tokens if GATHERED."""
    HALF: tl.constexpr = 64
    # What one dot covers: never across an activation tile or a group.
    SMALLER: tl.constexpr = GROUP if GROUP < ACT_TILE else ACT_TILE
    PIECE: tl.constexpr = HALF if HALF < SMALLER else SMALLER
    PIECES: tl.constexpr = HALF // PIECE
    STEPS: tl.constexpr = K_PADDED // (2 * PIECE)
    ONE_SCALE: tl.constexpr = SMALLER >= 128
    N_BLOCKS: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N

    block = tl.program_id(0) // N_BLOCKS
    count = tl.load(count_ptr + block)
    # The grid is an upper bound: this block holds nothing.
    if count == 0:
        return
    expert = tl.load(expert_ptr + block).to(tl.int64)
    lane = tl.arange(0, BLOCK_M)
    row = (block * BLOCK_M + lane).to(tl.int64)
    x_row = row
    if GATHERED:
        # Lanes past the count read some token's row; what comes of it is not stored.
        x_row = (tl.load(slots_ptr + row, mask=lane < count, other=0) // TOP_K).to(tl.int64)
    n = (tl.program_id(0) % N_BLOCKS) * BLOCK_N + tl.arange(0, BLOCK_N)
    # Rows past N read the last row again; they are not stored.
    n_safe = tl.minimum(n, N - 1) if N % BLOCK_N != 0 else n

    piece = tl.arange(0, PIECE)
    w_ptrs = w_ptr + expert * (N * K_PADDED // 2) + (n_safe[:, None] * HALF + piece[None, :])
    ws_ptrs = w_scale_ptr + expert * (K_PADDED // GROUP * N) + n_safe
    row_ptrs = x_ptr + x_row[:, None] * (K_PADDED if HOISTED else K)
    x_ptrs = row_ptrs + piece[None, :]
    xs_ptrs = x_scale_ptr + row

    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    none = tl.zeros((BLOCK_N, BLOCK_M), tl.float32 if FLOAT_DOT else tl.int32)
    for step in range(STEPS):
        tile = step // PIECES
        part = (step % PIECES) * PIECE
        low_at = tile * 128 + part
        high_at = low_at + HALF
        low, high = unpack_int4(tl.load(w_ptrs + tile * (N * HALF) + part), PTX)
        if HOISTED:
            x_low = tl.load(x_ptrs + low_at)
            x_high = tl.load(x_ptrs + high_at)
            low_scale = tl.load(xs_ptrs + (low_at // ACT_TILE) * XS_STRIDE)
            high_scale = low_scale
            if ACT_TILE < 128:
                high_scale = tl.load(xs_ptrs + (high_at // ACT_TILE) * XS_STRIDE)
        else:
            x_low, x_high, low_scale, high_scale = _quantized(
                x_ptrs, row_ptrs, low_at, high_at, K, PIECE, ACT_TILE
            )
        if FLOAT_DOT:
            # The same integers in fp32, below 2²⁴ and so exact: numpy multiplies those with BLAS.
            low, high = low.to(tl.float32), high.to(tl.float32)
            x_low, x_high = x_low.to(tl.float32), x_high.to(tl.float32)
        w_scale = tl.load(ws_ptrs + (low_at // GROUP) * N).to(tl.float32)[:, None]
        dot = tl.dot(low, tl.trans(x_low), none, out_dtype=none.dtype)
        if ONE_SCALE:
            dot = tl.dot(high, tl.trans(x_high), dot, out_dtype=none.dtype)
            acc += dot.to(tl.float32) * low_scale[None, :] * w_scale
        else:
            acc += dot.to(tl.float32) * low_scale[None, :] * w_scale
            w_scale = tl.load(ws_ptrs + (high_at // GROUP) * N).to(tl.float32)[:, None]
            dot = tl.dot(high, tl.trans(x_high), none, out_dtype=none.dtype)
            acc += dot.to(tl.float32) * high_scale[None, :] * w_scale

    # Unpacking leaves 16 times the weight.
    out = to_bf16(tl.trans(acc * 0.0625))
    # Lanes past the block's count and rows past N belong to nobody.
    tl.store(out_ptr + row[:, None] * N + n[None, :], out, mask=(lane < count)[:, None] & (n < N)[None, :])
