"""Device code of the grouped W4A8 GEMM for Hopper (sm_90), in Gluon: what Triton hides is spelled out here.

One program a multiprocessor goes over the tiles that hold anything. A warp copies (TMA) into a ring of
stages; four warp groups compute outᵀ = W · xᵀ, 64 of the 256 weight rows of a tile each: while some scale
their sums, the tensor cores work for the others. Nothing but the ring ties them together.

Of a GATED tile half the rows are gate and half up, in turns of 8, so that the thread that holds a gate
holds its up as well: that is how a descriptor of five dimensions copies them, the weights lie as ever.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from kernels._ring_integer import integer_sums, own_scales


@gluon.jit
def _unpack(packed):
    """Both nibbles of each byte as INT8, 16 times their signed value: (low, high)."""
    low = gl.inline_asm_elementwise(
        "{ .reg .b32 t; shl.b32 t, $1, 4; and.b32 $0, t, 0xF0F0F0F0; }", "=r,r", [packed], gl.int8, True, 4
    )
    high = gl.inline_asm_elementwise("and.b32 $0, $1, 0xF0F0F0F0;", "=r,r", [packed], gl.int8, True, 4)
    return low, high


@gluon.jit
def _tile_at(tile, tables, N_TILES: gl.constexpr):
    """(expert, block, tile of rows): blocks of an expert side by side, so that they share its weights."""
    expert_ptr, first_ptr, of_expert_ptr, live_ptr = tables
    some = tile // N_TILES
    expert = gl.load(expert_ptr + some)
    first = gl.load(first_ptr + some)
    blocks = gl.load(of_expert_ptr + some)
    local = tile - first * N_TILES
    return expert, first + local % blocks, local // blocks


@gluon.jit
def _produce(
    descs,
    tables,
    ring,
    X_ROWS,
    N: gl.constexpr,
    GATED: gl.constexpr,
    N_TILES: gl.constexpr,
    K_TILES: gl.constexpr,
    W_SCALES: gl.constexpr,
    X_SCALES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    STAGES: gl.constexpr,
):
    """Copies every stage of every tile, as far ahead as the ring allows."""
    w_desc, w_scale_desc, x_desc, x_scale_desc = descs
    w, w_scale, x, x_scale, full, empty = ring
    expert_ptr, first_ptr, of_expert_ptr, live_ptr = tables
    # Where a copy lands is a multiple of 128 bytes: 32 scales at least.
    BOX: gl.constexpr = max(BLOCK_M, 32)
    BYTES: gl.constexpr = 256 * 64 + BLOCK_M * 128 + W_SCALES * 256 * 2 + X_SCALES * BOX * 4
    stage = 0
    phase = 1
    tiles = gl.load(live_ptr) * N_TILES
    for tile in range(gl.program_id(0), tiles, gl.num_programs(0)):
        expert, block, n_tile = _tile_at(tile, tables, N_TILES)
        for k in range(K_TILES):
            ready = full.index(stage)
            mbarrier.wait(empty.index(stage), phase)
            mbarrier.expect(ready, BYTES)
            at = expert * K_TILES + k
            to = w.index(stage)
            if GATED:
                to = to._reinterpret(gl.uint8, [1, 16, 2, 8, 64], w_desc.layout)
                tma.async_copy_global_to_shared(w_desc, [at, n_tile * 16, 0, 0, 0], ready, to)
            else:
                tma.async_copy_global_to_shared(w_desc, [at * N + n_tile * 256, 0], ready, to)
            tma.async_copy_global_to_shared(x_desc, [block * BLOCK_M, k * 128], ready, x.index(stage))
            for group in gl.static_range(W_SCALES):
                to = w_scale.index(stage * W_SCALES + group)
                if GATED:
                    to = to._reinterpret(w_scale_desc.dtype, [1, 16, 2, 8], w_scale_desc.layout)
                    where = [at * W_SCALES + group, n_tile * 16, 0, 0]
                    tma.async_copy_global_to_shared(w_scale_desc, where, ready, to)
                else:
                    where = (at * W_SCALES + group) * N + n_tile * 256
                    tma.async_copy_global_to_shared(w_scale_desc, [where], ready, to)
            for part in gl.static_range(X_SCALES):
                where = (k * X_SCALES + part) * X_ROWS + block * BLOCK_M
                to = x_scale.index(stage * X_SCALES + part)
                tma.async_copy_global_to_shared(x_scale_desc, [where], ready, to)
            stage += 1
            if stage == STAGES:
                stage = 0
                phase ^= 1


@gluon.jit
def _dot(
    low, high, x, acc, HALF: gl.constexpr, AT: gl.constexpr, WIDTH: gl.constexpr, GO_ON: gl.constexpr
):
    """Starts the rows times the block's tokens: over both halves of the K-tile (HALF 2), or part of one."""
    if HALF == 2:
        dot = warpgroup_mma(low, x.slice(0, 64, 1).permute((1, 0)), acc, use_acc=GO_ON, is_async=True)
        return warpgroup_mma(high, x.slice(64, 64, 1).permute((1, 0)), dot, use_acc=True, is_async=True)
    else:
        some = x.slice(64 * HALF + AT, WIDTH, 1).permute((1, 0))
        if HALF == 0:
            return warpgroup_mma(low, some, acc, use_acc=GO_ON, is_async=True)
        else:
            return warpgroup_mma(high, some, acc, use_acc=GO_ON, is_async=True)


@gluon.jit
def _row_scale(w_scale, at, MY: gl.constexpr, LAYOUT: gl.constexpr):
    return w_scale.index(at).slice(MY, 64).load(gl.SliceLayout(1, LAYOUT)).to(gl.float32)[:, None]


@gluon.jit
def _by_groups(
    rows,
    w_scale,
    x,
    stage,
    MY: gl.constexpr,
    W_SCALES: gl.constexpr,
    PARTS: gl.constexpr,
    BLOCK_M: gl.constexpr,
    LAYOUT: gl.constexpr,
):
    """Σ over the groups of a K-tile of scale · dot, without converting or resetting a dot.

    The dots run on, D₁ = d₁, D₂ = d₁ + d₂ …, and Σ sᵢ · dᵢ = Σ Dᵢ · (sᵢ - sᵢ₊₁). They start at the bits of
    1.5 · 2²³, to which an integer below 2²² adds as a mantissa: read as a float, each is M + Dᵢ, and of all
    the M only M · s₁ is left to be taken off.
    """
    WIDTH: gl.constexpr = 64 // PARTS
    OPERAND: gl.constexpr = gl.DotOperandLayout(0, LAYOUT, 4)
    dot = gl.full([64, BLOCK_M], 0x4B400000, gl.int32, LAYOUT)
    scale = _row_scale(w_scale, stage * W_SCALES, MY, LAYOUT)
    some = gl.zeros([64, BLOCK_M], gl.float32, LAYOUT) - 12582912.0 * scale
    for part in gl.static_range(PARTS):
        low, high = _unpack(rows.slice(part * WIDTH, WIDTH, 1).load(OPERAND))
        for half in gl.static_range(2):
            begun = _dot(low, high, x, dot, half, part * WIDTH, WIDTH, True)
            if half == 0:
                after = _row_scale(w_scale, stage * W_SCALES + PARTS + part, MY, LAYOUT)
            elif part + 1 < PARTS:
                after = _row_scale(w_scale, stage * W_SCALES + part + 1, MY, LAYOUT)
            else:
                after = scale * 0.0
            dot = warpgroup_mma_wait(0, [begun])
            some += dot.to(gl.float32, bitcast=True) * (scale - after)
            # Before the dots run on: else each would be copied.
            some = gl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [some], gl.float32, False, 1)
            scale = after
    return some


@gluon.jit
def _sums(
    ring,
    stage,
    phase,
    MY: gl.constexpr,
    K_TILES: gl.constexpr,
    W_SCALES: gl.constexpr,
    X_SCALES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    STAGES: gl.constexpr,
):
    """64 rows times the block's tokens, summed over K: (fp32 [64, BLOCK_M], stage, phase)."""
    w, w_scale, x, x_scale, full, empty = ring
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_M, 32])
    OF_ROW: gl.constexpr = gl.SliceLayout(1, LAYOUT)
    OF_TOKEN: gl.constexpr = gl.SliceLayout(0, LAYOUT)
    OPERAND: gl.constexpr = gl.DotOperandLayout(0, LAYOUT, 4)
    PIECES: gl.constexpr = W_SCALES if W_SCALES > X_SCALES else X_SCALES
    # A byte holds both halves of a K-tile: parts of the bytes, and dots of each part.
    DOTS: gl.constexpr = 1 if PIECES == 1 else 2
    PARTS: gl.constexpr = PIECES // DOTS
    WIDTH: gl.constexpr = 64 // PARTS
    acc = gl.zeros([64, BLOCK_M], gl.float32, LAYOUT)
    none = gl.zeros([64, BLOCK_M], gl.int32, LAYOUT)
    for k in range(K_TILES):
        mbarrier.wait(full.index(stage), phase)
        rows = w.index(stage).slice(MY, 64, 0)
        if X_SCALES < W_SCALES:
            scale = x_scale.index(stage).slice(0, BLOCK_M).load(OF_TOKEN)[None, :]
            some = _by_groups(rows, w_scale, x.index(stage), stage, MY, W_SCALES, PARTS, BLOCK_M, LAYOUT)
            acc += some * scale
        else:
            for part in gl.static_range(PARTS):
                low, high = _unpack(rows.slice(part * WIDTH, WIDTH, 1).load(OPERAND))
                for half in gl.static_range(DOTS):
                    dot = _dot(
                        low, high, x.index(stage), none, 2 if DOTS == 1 else half, part * WIDTH, WIDTH, False
                    )
                    at = stage * W_SCALES + (half * PARTS + part) * W_SCALES // PIECES
                    row_scale = w_scale.index(at).slice(MY, 64).load(OF_ROW).to(gl.float32)[:, None]
                    at = stage * X_SCALES + (half * PARTS + part) * X_SCALES // PIECES
                    scale = row_scale * x_scale.index(at).slice(0, BLOCK_M).load(OF_TOKEN)[None, :]
                    acc += warpgroup_mma_wait(0, [dot]).to(gl.float32) * scale
        mbarrier.arrive(empty.index(stage))
        stage += 1
        if stage == STAGES:
            stage = 0
            phase ^= 1
    # Unpacking leaves 16 times the weight.
    return acc * 0.0625, stage, phase


@gluon.jit
def _gated(acc, BLOCK_M: gl.constexpr):
    """silu(gate) · up of [64, BLOCK_M], where gate and up take turns every 8 rows: [32, BLOCK_M]."""
    gate, up = acc.reshape([4, 2, 8, BLOCK_M]).permute([0, 2, 3, 1]).split()
    # gate / (1 + 2 ** (-gate · log2 e)), by the approximations of the special-function unit (2 ulp): the
    # exact division takes 20 instructions a value, a fifth of a short K-loop.
    silu = gl.inline_asm_elementwise(
        "{ .reg .f32 t; mul.f32 t, $1, 0fBFB8AA3B; ex2.approx.ftz.f32 t, t; add.f32 t, t, 0f3F800000;"
        " rcp.approx.ftz.f32 t, t; mul.f32 $0, $1, t; }",
        "=f,f",
        [gate],
        gl.float32,
        True,
        1,
    )
    return (silu * up).reshape([32, BLOCK_M])


@gluon.jit
def _consume(
    out_desc,
    out,
    tables,
    ring,
    scales,
    GROUP_ID: gl.constexpr,
    N: gl.constexpr,
    GATED: gl.constexpr,
    N_TILES: gl.constexpr,
    K_TILES: gl.constexpr,
    W_SCALES: gl.constexpr,
    X_SCALES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    STAGES: gl.constexpr,
):
    """One of four warp groups: 64 of the 256 rows of each tile."""
    expert_ptr, first_ptr, of_expert_ptr, live_ptr = tables
    MY: gl.constexpr = GROUP_ID * 64
    OUT_COLS: gl.constexpr = 32 if GATED else 64
    mine = out.index(GROUP_ID)
    stage = 0
    phase = 0
    tiles = gl.load(live_ptr) * N_TILES
    for tile in range(gl.program_id(0), tiles, gl.num_programs(0)):
        expert, block, n_tile = _tile_at(tile, tables, N_TILES)
        if X_SCALES == 0:
            # Under way while the K-loop runs.
            of_row, of_token = own_scales(scales, expert, block * BLOCK_M, n_tile, MY, N, BLOCK_M, GATED)
            sums, stage, phase = integer_sums(ring, stage, phase, MY, K_TILES, BLOCK_M, STAGES)
            acc = sums * of_row * of_token
        else:
            acc, stage, phase = _sums(ring, stage, phase, MY, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)
        value = acc
        if GATED:
            value = _gated(acc, BLOCK_M)
        # The copy of the tile before has read what it needs; rows past the block's tokens are nobody's.
        tma.store_wait(0)
        mine.store(value.to(gl.bfloat16).permute([1, 0]))
        fence_async_shared()
        col = (n_tile * 4 + GROUP_ID) * OUT_COLS
        tma.async_copy_shared_to_global(out_desc, [block * BLOCK_M, col], mine)
    tma.store_wait(0)


@gluon.jit
def _grouped(
    w_desc,
    w_scale_desc,
    x_desc,
    x_scale_desc,
    out_desc,
    expert_ptr,
    first_ptr,
    of_expert_ptr,
    live_ptr,
    row_scale_ptr,
    token_scale_ptr,
    X_ROWS,
    N: gl.constexpr,
    N_TILES: gl.constexpr,
    K_TILES: gl.constexpr,
    W_SCALES: gl.constexpr,
    X_SCALES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    STAGES: gl.constexpr,
    GATED: gl.constexpr,
    REGISTERS: gl.constexpr,
):
    """One grouped GEMM. GATED: bf16 [rows, N / 2], silu(gate) · up; else bf16 [rows, N].

    X_SCALES 0: the integer mode, where the scales of weights are multipliers, and scales of whole rows and
    tokens come at the end.
    """
    FLAT: gl.constexpr = gl.NVMMASharedLayout(0, 16, 1)
    W_LAYOUT: gl.constexpr = gl.NVMMASharedLayout(64, 8, 2)
    BOX: gl.constexpr = max(BLOCK_M, 32)
    w = gl.allocate_shared_memory(gl.uint8, [STAGES, 256, 64], W_LAYOUT)
    w_scale = gl.allocate_shared_memory(w_scale_desc.dtype, [STAGES * W_SCALES, 256], FLAT)
    x = gl.allocate_shared_memory(gl.int8, [STAGES, BLOCK_M, 128], x_desc.layout)
    x_scale = gl.allocate_shared_memory(gl.float32, [max(STAGES * X_SCALES, 1), BOX], x_scale_desc.layout)
    out = gl.allocate_shared_memory(gl.bfloat16, [4, BLOCK_M, 32 if GATED else 64], out_desc.layout)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(STAGES):
        mbarrier.init(full.index(i), count=1)
        mbarrier.init(empty.index(i), count=4)
    fence_async_shared()
    tables = (expert_ptr, first_ptr, of_expert_ptr, live_ptr)
    ring = (w, w_scale, x, x_scale, full, empty)
    descs = (w_desc, w_scale_desc, x_desc, x_scale_desc)
    scales = (row_scale_ptr, token_scale_ptr)
    A: gl.constexpr = 0
    B: gl.constexpr = 1
    C: gl.constexpr = 2
    D: gl.constexpr = 3
    gl.warp_specialize(
        [
            (_consume, (out_desc, out, tables, ring, scales, A, N, GATED, N_TILES, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)),
            (_consume, (out_desc, out, tables, ring, scales, B, N, GATED, N_TILES, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)),
            (_consume, (out_desc, out, tables, ring, scales, C, N, GATED, N_TILES, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)),
            (_consume, (out_desc, out, tables, ring, scales, D, N, GATED, N_TILES, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)),
            (_produce, (descs, tables, ring, X_ROWS, N, GATED, N_TILES, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)),
        ],
        [4, 4, 4, 1],
        [REGISTERS, REGISTERS, REGISTERS, 24],
    )
