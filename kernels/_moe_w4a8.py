"""Device code of `moe_w4a8`: the grouped GEMM over blocks of slots, and the weighted sum.

A and B are swapped, outᵀ = W · xᵀ: the unpacked weights are the register operand of the matrix instruction
and never go back through shared memory.
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
def _gemm(
    # pointers
    x_ptr,
    x_scale_ptr,
    w_ptr,
    w_scale_ptr,
    out_ptr,
    slots_ptr,
    expert_ptr,
    start_ptr,
    count_ptr,
    # shape
    EXPERTS: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TOP_K: tl.constexpr,
    FIRST: tl.constexpr,
    # stride
    XS_STRIDE,
    # meta
    GROUP: tl.constexpr,
    ACT_TILE: tl.constexpr,
    HOISTED: tl.constexpr,
    SORTED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PTX: tl.constexpr,
    FLOAT_DOT: tl.constexpr,
):
    """out[slot, n-block] of one block of slots. Activations: INT8 with scales if HOISTED, else bf16."""
    TILE: tl.constexpr = 64 if GROUP < 64 else GROUP
    HALF: tl.constexpr = TILE // 2
    # What one dot covers: never across an activation tile or a group.
    PIECE: tl.constexpr = HALF if HALF < ACT_TILE else ACT_TILE
    PIECES: tl.constexpr = HALF // PIECE
    STEPS: tl.constexpr = K_PADDED // (2 * PIECE)
    ONE_SCALE: tl.constexpr = GROUP >= TILE and ACT_TILE >= TILE
    GROUPS: tl.constexpr = K_PADDED // GROUP
    X_WIDTH: tl.constexpr = K_PADDED if HOISTED else K
    N_BLOCKS: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N

    block = tl.program_id(0) // N_BLOCKS
    lane = tl.arange(0, BLOCK_M)
    expert = tl.load(expert_ptr + block).to(tl.int64)
    if SORTED:
        count = tl.load(count_ptr + block)
        # The grid is an upper bound: this block holds nothing.
        if count == 0:
            return
        start = tl.load(start_ptr + block)
        place = start + lane
        slot = tl.load(slots_ptr + place, mask=lane < count, other=0)
    else:
        # One slot a block; ids that name no expert are skipped.
        if (expert < 0) | (expert >= EXPERTS):
            return
        count = 1
        start = block
        place = start + lane * 0
        slot = place
    # Between the GEMMs rows are in the order of experts. Lanes past the count read what is there (buffers
    # have a block to spare) and are not stored.
    x_row = (slot // TOP_K if FIRST else place).to(tl.int64)
    out_row = (place if FIRST else slot).to(tl.int64)
    n = (tl.program_id(0) % N_BLOCKS) * BLOCK_N + tl.arange(0, BLOCK_N)
    # Rows past N read the last row again; they are not stored.
    n_safe = tl.minimum(n, N - 1) if N % BLOCK_N != 0 else n

    piece = tl.arange(0, PIECE)
    w_ptrs = w_ptr + expert * (N * K_PADDED // 2) + (n_safe[:, None] * HALF + piece[None, :])
    ws_ptrs = w_scale_ptr + expert * (GROUPS * N) + n_safe
    x_ptrs = x_ptr + x_row[:, None] * X_WIDTH + piece[None, :]
    xs_ptrs = x_scale_ptr + start + (lane if SORTED else lane * 0)

    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    none = tl.zeros((BLOCK_N, BLOCK_M), tl.float32 if FLOAT_DOT else tl.int32)
    # Scales are loaded one step ahead by hand: Triton pipelines only what feeds a dot.
    ws_low = tl.load(ws_ptrs)
    ws_high = tl.load(ws_ptrs + (HALF // GROUP) * N)
    if HOISTED:
        xs_low = tl.load(xs_ptrs)
        xs_high = tl.load(xs_ptrs + (HALF // ACT_TILE) * XS_STRIDE)

    for step in range(STEPS):
        tile = step // PIECES
        part = (step % PIECES) * PIECE
        k_low = tile * TILE + part
        k_high = k_low + HALF

        ahead = tl.minimum(step + 1, STEPS - 1)
        k_ahead = (ahead // PIECES) * TILE + (ahead % PIECES) * PIECE
        ws_low_ahead = tl.load(ws_ptrs + (k_ahead // GROUP) * N)
        if not ONE_SCALE:
            ws_high_ahead = tl.load(ws_ptrs + ((k_ahead + HALF) // GROUP) * N)
        if HOISTED:
            xs_low_ahead = tl.load(xs_ptrs + (k_ahead // ACT_TILE) * XS_STRIDE)
            if not ONE_SCALE:
                xs_high_ahead = tl.load(xs_ptrs + ((k_ahead + HALF) // ACT_TILE) * XS_STRIDE)

        low, high = unpack_int4(tl.load(w_ptrs + tile * (N * HALF) + part), PTX)
        if HOISTED:
            x_low = tl.load(x_ptrs + k_low)
            x_high = tl.load(x_ptrs + k_high)
        else:
            v_low = _load_x(x_ptrs, k_low, K, PIECE, K % TILE == 0)
            v_high = _load_x(x_ptrs, k_high, K, PIECE, K % TILE == 0)
            if ACT_TILE > TILE:
                # The scale's tile is wider than this step: look at all of it.
                first = (k_low // ACT_TILE) * ACT_TILE
                whole = tl.arange(0, ACT_TILE)
                whole_ptrs = x_ptr + x_row[:, None] * X_WIDTH + whole[None, :]
                bits_low = tl.max(
                    abs_bits(_load_x(whole_ptrs, first, K, ACT_TILE, K % ACT_TILE == 0)), axis=1
                )
                bits_high = bits_low
            else:
                bits_low = tl.max(abs_bits(v_low), axis=1)
                bits_high = tl.max(abs_bits(v_high), axis=1)
                if ONE_SCALE:
                    bits_low = tl.maximum(bits_low, bits_high)
                    bits_high = bits_low
            xs_low, inverse_low = scale_of(bits_low)
            xs_high, inverse_high = scale_of(bits_high)
            x_low = to_int8(v_low, inverse_low[:, None])
            x_high = to_int8(v_high, inverse_high[:, None])

        if FLOAT_DOT:
            # The same integers in fp32, below 2²⁴ and so exact: numpy multiplies those with BLAS.
            low, high = low.to(tl.float32), high.to(tl.float32)
            x_low, x_high = x_low.to(tl.float32), x_high.to(tl.float32)
        dot = tl.dot(low, tl.trans(x_low), none, out_dtype=none.dtype)
        if ONE_SCALE:
            dot = tl.dot(high, tl.trans(x_high), dot, out_dtype=none.dtype)
            acc += dot.to(tl.float32) * xs_low[None, :] * ws_low.to(tl.float32)[:, None]
        else:
            acc += dot.to(tl.float32) * xs_low[None, :] * ws_low.to(tl.float32)[:, None]
            dot = tl.dot(high, tl.trans(x_high), none, out_dtype=none.dtype)
            acc += dot.to(tl.float32) * xs_high[None, :] * ws_high.to(tl.float32)[:, None]
            ws_high = ws_high_ahead
        ws_low = ws_low_ahead
        if HOISTED:
            xs_low = xs_low_ahead
            if not ONE_SCALE:
                xs_high = xs_high_ahead

    # Unpacking leaves 16 times the weight.
    out = to_bf16(tl.trans(acc * 0.0625))
    out_ptrs = out_ptr + out_row[:, None] * N + n[None, :]
    # Lanes past the block's count and rows past N belong to nobody.
    tl.store(out_ptrs, out, mask=(lane < count)[:, None] & (n < N)[None, :])


@triton.jit
def _gemm1(
    x_ptr,
    x_scale_ptr,
    w_ptr,
    w_scale_ptr,
    out_ptr,
    slots_ptr,
    expert_ptr,
    start_ptr,
    count_ptr,
    EXPERTS: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TOP_K: tl.constexpr,
    XS_STRIDE,
    GROUP: tl.constexpr,
    ACT_TILE: tl.constexpr,
    HOISTED: tl.constexpr,
    SORTED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PTX: tl.constexpr,
    FLOAT_DOT: tl.constexpr,
):
    """Gate and up projections: [tokens, hidden] → [slots, 2 · inter], in the order of experts."""
    _gemm(
        x_ptr,
        x_scale_ptr,
        w_ptr,
        w_scale_ptr,
        out_ptr,
        slots_ptr,
        expert_ptr,
        start_ptr,
        count_ptr,
        EXPERTS,
        N,
        K,
        K_PADDED,
        TOP_K,
        True,
        XS_STRIDE,
        GROUP,
        ACT_TILE,
        HOISTED,
        SORTED,
        BLOCK_M,
        BLOCK_N,
        PTX,
        FLOAT_DOT,
    )


@triton.jit
def _gemm2(
    x_ptr,
    x_scale_ptr,
    w_ptr,
    w_scale_ptr,
    out_ptr,
    slots_ptr,
    expert_ptr,
    start_ptr,
    count_ptr,
    EXPERTS: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TOP_K: tl.constexpr,
    XS_STRIDE,
    GROUP: tl.constexpr,
    ACT_TILE: tl.constexpr,
    HOISTED: tl.constexpr,
    SORTED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PTX: tl.constexpr,
    FLOAT_DOT: tl.constexpr,
):
    """Down projection: [slots, inter] in the order of experts → [slots, hidden] in the order of tokens."""
    _gemm(
        x_ptr,
        x_scale_ptr,
        w_ptr,
        w_scale_ptr,
        out_ptr,
        slots_ptr,
        expert_ptr,
        start_ptr,
        count_ptr,
        EXPERTS,
        N,
        K,
        K_PADDED,
        TOP_K,
        False,
        XS_STRIDE,
        GROUP,
        ACT_TILE,
        HOISTED,
        SORTED,
        BLOCK_M,
        BLOCK_N,
        PTX,
        FLOAT_DOT,
    )


@triton.jit
def _weighted_sum(
    # pointers
    y_ptr,
    weights_ptr,
    ids_ptr,
    out_ptr,
    # shape
    TOKENS,
    HIDDEN: tl.constexpr,
    TOP_K: tl.constexpr,
    EXPERTS: tl.constexpr,
    # meta
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
):
    """out[token] = Σ weight · y[slot] over the token's slots, in fp32 and in order."""
    token = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    cols = tl.program_id(1) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)
    # Tokens and columns past the end do not exist.
    inside = (token < TOKENS)[:, None] & (cols < HIDDEN)[None, :]
    acc = tl.zeros((BLOCK_ROWS, BLOCK_COLS), tl.float32)
    for choice in tl.static_range(TOP_K):
        slot = token.to(tl.int64) * TOP_K + choice
        expert = tl.load(ids_ptr + slot, mask=token < TOKENS, other=-1)
        weight = tl.load(weights_ptr + slot, mask=token < TOKENS, other=0.0)
        # Slots without an expert were never written.
        held = inside & ((expert >= 0) & (expert < EXPERTS))[:, None]
        y = tl.load(y_ptr + slot[:, None] * HIDDEN + cols[None, :], mask=held, other=0.0)
        acc += weight[:, None] * y.to(tl.float32)
    tl.store(out_ptr + token.to(tl.int64)[:, None] * HIDDEN + cols[None, :], to_bf16(acc), mask=inside)
