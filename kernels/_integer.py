"""Device code of the integer mode: the portable grouped GEMM."""

import triton
import triton.language as tl

from kernels._quantize import to_bf16, unpack_int4


@triton.jit
def _integer_gemm(
    # pointers
    x_ptr,
    x_scale_ptr,
    w_ptr,
    multiplier_ptr,
    row_scale_ptr,
    out_ptr,
    expert_ptr,
    count_ptr,
    # shape
    N: tl.constexpr,
    K_PADDED: tl.constexpr,
    # meta
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PTX: tl.constexpr,
    FLOAT_DOT: tl.constexpr,
):
    """bf16 [rows, N]: rows times their expert's weights; the sums are INT32 until the end."""
    HALF: tl.constexpr = 64
    N_BLOCKS: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N
    block = tl.program_id(0) // N_BLOCKS
    count = tl.load(count_ptr + block)
    # The grid is an upper bound: this block holds nothing.
    if count == 0:
        return
    expert = tl.load(expert_ptr + block).to(tl.int64)
    lane = tl.arange(0, BLOCK_M)
    row = (block * BLOCK_M + lane).to(tl.int64)
    n = (tl.program_id(0) % N_BLOCKS) * BLOCK_N + tl.arange(0, BLOCK_N)
    # Rows past N read the last row again; they are not stored.
    n_safe = tl.minimum(n, N - 1)
    byte = tl.arange(0, HALF)
    w_ptrs = w_ptr + expert * (N * K_PADDED // 2) + (n_safe[:, None] * HALF + byte[None, :])
    multiplier_ptrs = multiplier_ptr + expert * (K_PADDED // 128 * N) + n_safe
    x_ptrs = x_ptr + row[:, None] * K_PADDED + byte[None, :]
    sums = tl.zeros((BLOCK_N, BLOCK_M), tl.int32)
    none = tl.zeros((BLOCK_N, BLOCK_M), tl.float32 if FLOAT_DOT else tl.int32)
    for tile in range(K_PADDED // 128):
        low, high = unpack_int4(tl.load(w_ptrs + tile * (N * HALF)), PTX)
        x_low = tl.load(x_ptrs + tile * 128)
        x_high = tl.load(x_ptrs + tile * 128 + HALF)
        if FLOAT_DOT:
            # The same integers in fp32, below 2²⁴ and so exact: numpy multiplies those with BLAS.
            low, high = low.to(tl.float32), high.to(tl.float32)
            x_low, x_high = x_low.to(tl.float32), x_high.to(tl.float32)
        dot = tl.dot(low, tl.trans(x_low), none, out_dtype=none.dtype)
        dot = tl.dot(high, tl.trans(x_high), dot, out_dtype=none.dtype)
        # Unpacking leaves 16 times the weight.
        sums += (dot.to(tl.int32) >> 4) * tl.load(multiplier_ptrs + tile * N).to(tl.int32)[:, None]
    of_row = tl.load(row_scale_ptr + expert * N + n_safe)[:, None]
    of_token = tl.load(x_scale_ptr + row, mask=lane < count, other=0.0)[None, :]
    out = to_bf16(tl.trans(sums.to(tl.float32) * of_row * of_token))
    # Lanes past the block's count and rows past N belong to nobody.
    tl.store(out_ptr + row[:, None] * N + n[None, :], out, mask=(lane < count)[:, None] & (n < N)[None, :])
