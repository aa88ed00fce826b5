"""Device code of `decode` and `matvec_w4`: products of a few rows with INT4 weights, without matrix units.

A program holds ROWS weight rows × TILES tiles of K at a time, as int32 words [LANES, TILES, RB, 16], where
RB is ROWS / LANES. Threads are dealt out from the last dimension and then from the first: the 16 words of a
row's tile lie on 4 threads (16 bytes each), LANES rows and 8 / LANES tiles on the rest of a warp, tiles on
warps. The rest is in registers: the activations' words are the same for all rows, so a thread uses them RB
times.
"""

import triton
import triton.language as tl

from kernels._quantize import abs_bits, scale_of, to_bf16, to_int8

DOWN_TILE = tl.constexpr(16)
"""Columns of silu(gate) · up that share a scale, the words of a thread: its tails are long."""


@triton.jit
def dot4(packed, x_low, x_high, PTX: tl.constexpr):
    """16 · Σ nibble · code over the 4 bytes of each word: (low nibbles, high nibbles), int32."""
    if PTX:
        low, high = tl.inline_asm_elementwise(
            """{
            .reg .b32 low, high;
            shl.b32 low, $2, 4;
            and.b32 low, low, 0xF0F0F0F0;
            and.b32 high, $2, 0xF0F0F0F0;
            dp4a.s32.s32 $0, low, $3, 0;
            dp4a.s32.s32 $1, high, $4, 0;
            }""",
            "=&r,=&r,r,r,r",
            [packed, x_low, x_high],
            dtype=(tl.int32, tl.int32),
            is_pure=True,
            pack=1,
        )
    else:
        low = tl.zeros_like(packed)
        high = tl.zeros_like(packed)
        for byte in tl.static_range(4):
            # Shifts up to the sign and back extend the sign.
            low += ((packed << (28 - 8 * byte)) >> 28) * ((x_low << (24 - 8 * byte)) >> 24)
            high += ((packed << (24 - 8 * byte)) >> 28) * ((x_high << (24 - 8 * byte)) >> 24)
        low, high = low * 16, high * 16
    return low, high


@triton.jit
def dot8(packed, x_low, x_high, PTX: tl.constexpr):
    """`dot4` with both sums in one."""
    if PTX:
        both = tl.inline_asm_elementwise(
            """{
            .reg .b32 low, high;
            shl.b32 low, $1, 4;
            and.b32 low, low, 0xF0F0F0F0;
            and.b32 high, $1, 0xF0F0F0F0;
            dp4a.s32.s32 low, low, $2, 0;
            dp4a.s32.s32 $0, high, $3, low;
            }""",
            "=r,r,r,r",
            [packed, x_low, x_high],
            dtype=tl.int32,
            is_pure=True,
            pack=1,
        )
    else:
        low, high = dot4(packed, x_low, x_high, PTX)
        both = low + high
    return both


@triton.jit
def _words(value, inverse, PTX: tl.constexpr):
    """INT8 codes of fp32 [TILES, 64], four to a word: int32 [TILES, 16]. `inverse` is as large as `value`."""
    TILES: tl.constexpr = value.shape[0]
    if PTX:
        # Bytes 0, 2 and 1, 3; then each by itself: neighbours are in one thread.
        even, odd = tl.split(tl.reshape(value, (TILES, 16, 2, 2)))
        first, third = tl.split(even)
        second, fourth = tl.split(odd)
        even, _ = tl.split(tl.reshape(inverse, (TILES, 16, 2, 2)))
        inverse, _ = tl.split(even)
        # Rounding down a sum with 1.5 · 2²³ leaves the floor in its low bits.
        packed = tl.inline_asm_elementwise(
            """{
            .reg .f32 a, b, c, d;
            .reg .b32 e, f, g, h;
            fma.rn.f32 a, $1, $5, 0f3F000000;
            fma.rn.f32 b, $2, $5, 0f3F000000;
            fma.rn.f32 c, $3, $5, 0f3F000000;
            fma.rn.f32 d, $4, $5, 0f3F000000;
            add.rm.f32 a, a, 0f4B400000;
            add.rm.f32 b, b, 0f4B400000;
            add.rm.f32 c, c, 0f4B400000;
            add.rm.f32 d, d, 0f4B400000;
            mov.b32 e, a;
            mov.b32 f, b;
            mov.b32 g, c;
            mov.b32 h, d;
            prmt.b32 e, e, f, 0x0040;
            prmt.b32 g, g, h, 0x0040;
            prmt.b32 $0, e, g, 0x5410;
            }""",
            "=r,f,f,f,f,f",
            [first, second, third, fourth, inverse],
            dtype=tl.int32,
            is_pure=True,
            pack=1,
        )
    else:
        codes = tl.reshape(to_int8(value, inverse).to(tl.int32), (TILES, 16, 4))
        packed = tl.sum((codes & 0xFF) << (tl.arange(0, 4) * 8)[None, None, :], axis=2)
    return packed


@triton.jit
def quantized(low, high, ACT_TILE: tl.constexpr, PTX: tl.constexpr):
    """INT8 words of both halves [TILES, 16], and their scales [TILES, halves of a half or 1]."""
    TILES: tl.constexpr = low.shape[0]
    PIECES: tl.constexpr = 64 // ACT_TILE if ACT_TILE < 64 else 1
    shape: tl.constexpr = (TILES, PIECES, 64 // PIECES)
    low, high = tl.reshape(low, shape), tl.reshape(high, shape)
    bits_low = tl.max(abs_bits(low), axis=2)
    bits_high = tl.max(abs_bits(high), axis=2)
    if ACT_TILE == 128:
        bits_low = tl.maximum(bits_low, bits_high)
        bits_high = bits_low
    scale_low, inverse_low = scale_of(bits_low)
    scale_high, inverse_high = scale_of(bits_high)
    # Infinity has no code: not a number.
    scale_low += scale_low * 0.0
    scale_high += scale_high * 0.0
    flat: tl.constexpr = (TILES, 64)
    low_inverse = tl.reshape(tl.broadcast_to(inverse_low[:, :, None], shape), flat)
    high_inverse = tl.reshape(tl.broadcast_to(inverse_high[:, :, None], shape), flat)
    x_low = _words(tl.reshape(low, flat), low_inverse, PTX)
    x_high = _words(tl.reshape(high, flat), high_inverse, PTX)
    return x_low, x_high, scale_low, scale_high


@triton.jit
def load_x(x_ptr, rows, tiles, live, K: tl.constexpr):
    """Both halves of the tiles of bf16 rows: fp32 [TILES, 64] each. Not `live`, or beyond K: zero."""
    cols = tiles[:, None] * 128 + tl.arange(0, 64)[None, :]
    ptrs = x_ptr + rows[:, None] * K + cols
    low = tl.load(ptrs, mask=live[:, None] & (cols < K), other=0.0)
    high = tl.load(ptrs + 64, mask=live[:, None] & (cols + 64 < K), other=0.0)
    return low.to(tl.float32), high.to(tl.float32)


@triton.jit
def load_words(w_ptr, experts, tiles, rows, live, N: tl.constexpr, K_PADDED: tl.constexpr):
    """Packed words [LANES, TILES, RB, 16] of `rows` [LANES, RB]; `experts`, `tiles`, `live` are [TILES]."""
    start = experts * (N * (K_PADDED // 8)) + tiles * (N * 16)
    ptrs = w_ptr + start[None, :, None, None] + (rows * 16)[:, None, :, None]
    ptrs += tl.arange(0, 16)[None, None, None, :]
    # Read once: other data should stay in the cache.
    return tl.load(ptrs, mask=live[None, :, None, None], other=0, eviction_policy="evict_first")


@triton.jit
def load_scales(
    s_ptr, experts, tiles, rows, live, N: tl.constexpr, K_PADDED: tl.constexpr, GROUP: tl.constexpr
):
    """bf16 scales of the low and of the high half: [LANES, TILES, RB, groups in a half or 1] each."""
    PIECES: tl.constexpr = 64 // GROUP if GROUP < 64 else 1
    start = experts * (N * (K_PADDED // GROUP)) + tiles * (N * (128 // GROUP))
    ptrs = s_ptr + start[None, :, None, None] + rows[:, None, :, None]
    ptrs += (tl.arange(0, PIECES) * N)[None, None, None, :]
    mask = live[None, :, None, None]
    low = tl.load(ptrs, mask=mask, other=0.0)
    high = low
    if GROUP < 128:
        high = tl.load(ptrs + (64 // GROUP) * N, mask=mask, other=0.0)
    return low, high


@triton.jit
def products(
    words,
    s_low,
    s_high,
    x_low,
    x_high,
    xs_low,
    xs_high,
    JOINT: tl.constexpr,
    PIECES: tl.constexpr,
    PTX: tl.constexpr,
):
    """Scaled products, 16 times too large, not yet summed: fp32 [LANES, TILES, RB, PIECES, 4 / PIECES]."""
    LANES: tl.constexpr = words.shape[0]
    TILES: tl.constexpr = words.shape[1]
    RB: tl.constexpr = words.shape[2]
    # The 4 words of a thread never cross a scale; their sum stays an integer.
    shape: tl.constexpr = (LANES, TILES, RB, PIECES, 4 // PIECES, 4)
    x_low = x_low[None, :, None, :]
    x_high = x_high[None, :, None, :]
    SCALES: tl.constexpr = s_low.shape[3]
    if SCALES > 1 and SCALES < PIECES:
        spread: tl.constexpr = (LANES, TILES, RB, SCALES, PIECES // SCALES)
        whole: tl.constexpr = (LANES, TILES, RB, PIECES)
        s_low = tl.reshape(tl.broadcast_to(s_low[:, :, :, :, None], spread), whole)
        s_high = tl.reshape(tl.broadcast_to(s_high[:, :, :, :, None], spread), whole)
    scale_low = (s_low.to(tl.float32) * xs_low[None, :, None, :])[:, :, :, :, None]
    if JOINT:
        dot = tl.sum(tl.reshape(dot8(words, x_low, x_high, PTX), shape), axis=5)
        return dot.to(tl.float32) * scale_low
    low, high = dot4(words, x_low, x_high, PTX)
    low = tl.sum(tl.reshape(low, shape), axis=5).to(tl.float32)
    high = tl.sum(tl.reshape(high, shape), axis=5).to(tl.float32)
    scale_high = (s_high.to(tl.float32) * xs_high[None, :, None, :])[:, :, :, :, None]
    return low * scale_low + high * scale_high


@triton.jit
def row_sums(products):
    """[LANES, TILES, RB, pieces, rest] → [LANES, RB], and the factor 16 of the unpacking goes.

    One axis at a time: Triton 3.6 sums over the wrong threads of a warp where those of an axis are not
    neighbours (triton-lang/triton pull request 9219), as in an axis that a reshape made of two.
    """
    return tl.sum(tl.sum(tl.sum(products, axis=1), axis=3), axis=2) * 0.0625


@triton.jit
def rows_of(block, ROWS: tl.constexpr, LANES: tl.constexpr):
    """Rows of a block: [LANES, ROWS / LANES], neighbours in the first dimension."""
    in_register = tl.arange(0, ROWS // LANES)[None, :] * LANES
    return block * ROWS + in_register + tl.arange(0, LANES)[:, None]


@triton.jit
def _gate_up(
    # pointers
    x_ptr,
    w_ptr,
    w_scale_ptr,
    ids_ptr,
    act_ptr,
    # shape
    EXPERTS: tl.constexpr,
    INTER: tl.constexpr,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TOP_K: tl.constexpr,
    # meta
    GROUP: tl.constexpr,
    ACT_TILE: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    TILES: tl.constexpr,
    PTX: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """act[slot] = silu(gate) · up for ROWS of the expert's rows; x is quantized here."""
    N: tl.constexpr = 2 * INTER
    TOTAL: tl.constexpr = K_PADDED // 128
    STEPS: tl.constexpr = (TOTAL + TILES - 1) // TILES
    PIECES: tl.constexpr = 2 if (GROUP == 32 or ACT_TILE == 32) else 1
    JOINT: tl.constexpr = GROUP == 128 and ACT_TILE == 128
    BLOCKS: tl.constexpr = (INTER + ROWS - 1) // ROWS
    if OVERLAP:
        # Ids and tokens are the work of the launch before.
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    slot = tl.program_id(0) // BLOCKS
    block = tl.program_id(0) % BLOCKS
    expert = tl.load(ids_ptr + slot).to(tl.int64)
    # Nobody reads the row of a slot without an expert.
    if (expert < 0) | (expert >= EXPERTS):
        return
    row = rows_of(block, ROWS, LANES)
    # Rows past the end read the last one again; they are not stored.
    gate_row = tl.minimum(row, INTER - 1) if INTER % ROWS != 0 else row
    up_row = gate_row + INTER
    tile = tl.arange(0, TILES)
    experts = expert + tl.zeros((TILES,), tl.int64)
    token = (slot // TOP_K).to(tl.int64) + tl.zeros((TILES,), tl.int64)
    gate = load_words(w_ptr, experts, tile, gate_row, tile < TOTAL, N, K_PADDED)
    up = load_words(w_ptr, experts, tile, up_row, tile < TOTAL, N, K_PADDED)
    gate_low, gate_high = load_scales(w_scale_ptr, experts, tile, gate_row, tile < TOTAL, N, K_PADDED, GROUP)
    up_low, up_high = load_scales(w_scale_ptr, experts, tile, up_row, tile < TOTAL, N, K_PADDED, GROUP)
    # Without it some of these loads would be issued only after x has arrived.
    tl.debug_barrier()
    low, high = load_x(x_ptr, token, tile, tile < TOTAL, K)
    gate_acc = tl.zeros((LANES, TILES, ROWS // LANES, PIECES, 4 // PIECES), tl.float32)
    up_acc = gate_acc
    for step in range(STEPS):
        if STEPS > 1:
            # What the next step needs is under way during this one.
            ahead = tile + (step + 1) * TILES
            live = ahead < TOTAL
            gate_ahead = load_words(w_ptr, experts, ahead, gate_row, live, N, K_PADDED)
            up_ahead = load_words(w_ptr, experts, ahead, up_row, live, N, K_PADDED)
            gate_low_ahead, gate_high_ahead = load_scales(
                w_scale_ptr, experts, ahead, gate_row, live, N, K_PADDED, GROUP
            )
            up_low_ahead, up_high_ahead = load_scales(
                w_scale_ptr, experts, ahead, up_row, live, N, K_PADDED, GROUP
            )
            low_ahead, high_ahead = load_x(x_ptr, token, ahead, live, K)
            tl.debug_barrier()
        x_low, x_high, xs_low, xs_high = quantized(low, high, ACT_TILE, PTX)
        gate_acc += products(gate, gate_low, gate_high, x_low, x_high, xs_low, xs_high, JOINT, PIECES, PTX)
        up_acc += products(up, up_low, up_high, x_low, x_high, xs_low, xs_high, JOINT, PIECES, PTX)
        if STEPS > 1:
            gate, gate_low, gate_high = gate_ahead, gate_low_ahead, gate_high_ahead
            up, up_low, up_high = up_ahead, up_low_ahead, up_high_ahead
            low, high = low_ahead, high_ahead
    gate_sum = row_sums(gate_acc)
    act = gate_sum * (1.0 / (1.0 + tl.exp(-gate_sum))) * row_sums(up_acc)
    tl.store(act_ptr + slot.to(tl.int64) * INTER + row, to_bf16(act), mask=row < INTER)


@triton.jit
def _down(
    # pointers
    act_ptr,
    w_ptr,
    w_scale_ptr,
    weights_ptr,
    ids_ptr,
    out_ptr,
    # shape
    EXPERTS: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TOP_K: tl.constexpr,
    # meta
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    TILES: tl.constexpr,
    PTX: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """out[token] = Σ weight · w[expert] · act over the token's slots: their tiles of K are one long row."""
    T: tl.constexpr = K_PADDED // 128
    TOTAL: tl.constexpr = TOP_K * T
    STEPS: tl.constexpr = (TOTAL + TILES - 1) // TILES
    PIECES: tl.constexpr = 64 // DOWN_TILE
    BLOCKS: tl.constexpr = (N + ROWS - 1) // ROWS
    token = tl.program_id(0) // BLOCKS
    block = tl.program_id(0) % BLOCKS
    row = rows_of(block, ROWS, LANES)
    # Rows past the end read the last one again; they are not stored.
    safe = tl.minimum(row, N - 1) if N % ROWS != 0 else row
    number = tl.arange(0, TILES)
    first = token.to(tl.int64) * TOP_K
    slot, expert, router, live = _slots(number, first, ids_ptr, weights_ptr, T, TOTAL, EXPERTS)
    words = load_words(w_ptr, expert, number % T, safe, live, N, K_PADDED)
    s_low, s_high = load_scales(w_scale_ptr, expert, number % T, safe, live, N, K_PADDED, GROUP)
    if OVERLAP:
        # Everything before needs no result of `_gate_up`, which had itself waited for ids and weights.
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    low, high = load_x(act_ptr, slot, number % T, live, K)
    acc = tl.zeros((LANES, TILES, ROWS // LANES, PIECES, 1), tl.float32)
    for step in range(STEPS):
        if STEPS > 1:
            # What the next step needs is under way during this one.
            ahead = number + (step + 1) * TILES
            slot, expert, router_ahead, live = _slots(ahead, first, ids_ptr, weights_ptr, T, TOTAL, EXPERTS)
            words_ahead = load_words(w_ptr, expert, ahead % T, safe, live, N, K_PADDED)
            s_low_ahead, s_high_ahead = load_scales(
                w_scale_ptr, expert, ahead % T, safe, live, N, K_PADDED, GROUP
            )
            low_ahead, high_ahead = load_x(act_ptr, slot, ahead % T, live, K)
            tl.debug_barrier()
        x_low, x_high, xs_low, xs_high = quantized(low, high, DOWN_TILE, PTX)
        xs_low *= router[:, None]
        xs_high *= router[:, None]
        acc += products(words, s_low, s_high, x_low, x_high, xs_low, xs_high, False, PIECES, PTX)
        if STEPS > 1:
            words, s_low, s_high, router = words_ahead, s_low_ahead, s_high_ahead, router_ahead
            low, high = low_ahead, high_ahead
    tl.store(out_ptr + token.to(tl.int64) * N + row, to_bf16(row_sums(acc)), mask=row < N)


@triton.jit
def _slots(number, first, ids_ptr, weights_ptr, T: tl.constexpr, TOTAL: tl.constexpr, EXPERTS: tl.constexpr):
    """Slot, expert and router weight of tiles of the long row; not live: no such tile, or no such expert."""
    slot = first + number // T
    expert = tl.load(ids_ptr + slot, mask=number < TOTAL, other=-1).to(tl.int64)
    live = (expert >= 0) & (expert < EXPERTS)
    return slot, expert, tl.load(weights_ptr + slot, mask=live, other=0.0), live
