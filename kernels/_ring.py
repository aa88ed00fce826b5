"""Device code of the grouped W4A8 GEMM for Hopper (sm_90), in Gluon: what Triton hides is spelled out here.

One program a multiprocessor goes over the tiles that hold anything. A warp copies (TMA) into a ring of
stages; four warp groups compute outᵀ = W · xᵀ, 64 of the 256 weight rows of a tile each (or two, 128 each):
while some scale their sums, the tensor cores work for the others. Nothing but the ring ties them together.

Of a GATED tile half the rows are gate and half up, in turns of 8, so that the thread that holds a gate
holds its up as well: that is how a descriptor of five dimensions copies them, the weights lie as ever.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, mbarrier, tma

from kernels._ring_integer import integer_sums, own_scales
from kernels._ring_loops import pair_sums, sums


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
def _produce(args, SIZES: gl.constexpr):
    """Copies every stage of every tile, as far ahead as the ring allows."""
    descs, tables, ring, X_ROWS = args
    w_desc, w_scale_desc, x_desc, x_scale_desc = descs
    w, w_scale, x, x_scale, full, empty = ring
    expert_ptr, first_ptr, of_expert_ptr, live_ptr = tables
    N: gl.constexpr = SIZES[0]
    GATED: gl.constexpr = SIZES[1]
    N_TILES: gl.constexpr = SIZES[2]
    K_TILES: gl.constexpr = SIZES[3]
    W_SCALES: gl.constexpr = SIZES[4]
    X_SCALES: gl.constexpr = SIZES[5]
    BLOCK_M: gl.constexpr = SIZES[6]
    STAGES: gl.constexpr = SIZES[7]
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
def _put(acc, out_desc, out, row, n_tile, FRAGMENT: gl.constexpr, BLOCK_M: gl.constexpr, GATED: gl.constexpr):
    """Stores a fragment of the result; rows past the block's tokens are nobody's."""
    mine = out.index(FRAGMENT)
    if GATED:
        mine.store(_gated(acc, BLOCK_M).to(gl.bfloat16).permute([1, 0]))
        col = (n_tile * 4 + FRAGMENT) * 32
    else:
        mine.store(acc.to(gl.bfloat16).permute([1, 0]))
        col = (n_tile * 4 + FRAGMENT) * 64
    fence_async_shared()
    tma.async_copy_shared_to_global(out_desc, [row, col], mine)


@gluon.jit
def _consume(args, GROUP_ID: gl.constexpr, WARP_GROUPS: gl.constexpr, SIZES: gl.constexpr):
    """One of four warp groups, 64 of the 256 rows of each tile; or of two, 128."""
    out_desc, out, tables, ring, scales = args
    expert_ptr, first_ptr, of_expert_ptr, live_ptr = tables
    N: gl.constexpr = SIZES[0]
    GATED: gl.constexpr = SIZES[1]
    N_TILES: gl.constexpr = SIZES[2]
    K_TILES: gl.constexpr = SIZES[3]
    W_SCALES: gl.constexpr = SIZES[4]
    X_SCALES: gl.constexpr = SIZES[5]
    BLOCK_M: gl.constexpr = SIZES[6]
    STAGES: gl.constexpr = SIZES[7]
    FRAGMENTS: gl.constexpr = 4 // WARP_GROUPS
    FIRST: gl.constexpr = GROUP_ID * FRAGMENTS
    MY: gl.constexpr = FIRST * 64
    stage = 0
    phase = 0
    tiles = gl.load(live_ptr) * N_TILES
    for tile in range(gl.program_id(0), tiles, gl.num_programs(0)):
        expert, block, n_tile = _tile_at(tile, tables, N_TILES)
        row = block * BLOCK_M
        if X_SCALES == 0:
            # Under way while the K-loop runs.
            of_row, of_token = own_scales(scales, expert, row, n_tile, MY, N, BLOCK_M, GATED)
            a, stage, phase = integer_sums(ring, stage, phase, MY, K_TILES, BLOCK_M, STAGES)
            a = a * of_row * of_token
        elif FRAGMENTS == 1:
            a, stage, phase = sums(ring, stage, phase, MY, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)
        else:
            a, b, stage, phase = pair_sums(
                ring, stage, phase, MY, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES
            )
        # The copies of the tile before have read what they need.
        tma.store_wait(0)
        _put(a, out_desc, out, row, n_tile, FIRST, BLOCK_M, GATED)
        if FRAGMENTS == 2:
            _put(b, out_desc, out, row, n_tile, FIRST + 1, BLOCK_M, GATED)
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
    WARP_GROUPS: gl.constexpr,
    OVERLAP: gl.constexpr,
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
        mbarrier.init(empty.index(i), count=WARP_GROUPS)
    fence_async_shared()
    if OVERLAP:
        # The launch before has made the rows.
        gl.inline_asm_elementwise("griddepcontrol.wait; // $0", "=r", [], gl.int32, False, 1)
    tables = (expert_ptr, first_ptr, of_expert_ptr, live_ptr)
    ring = (w, w_scale, x, x_scale, full, empty)
    descs = (w_desc, w_scale_desc, x_desc, x_scale_desc)
    scales = (row_scale_ptr, token_scale_ptr)
    # Registers of a thread: what so many warp groups, and one that copies, can have.
    A: gl.constexpr = 0
    B: gl.constexpr = 1
    C: gl.constexpr = 2
    D: gl.constexpr = 3
    SIZES: gl.constexpr = (N, GATED, N_TILES, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)
    consumer = (out_desc, out, tables, ring, scales)
    producer = (descs, tables, ring, X_ROWS)
    if WARP_GROUPS == 4:
        gl.warp_specialize(
            [
                (_consume, (consumer, A, WARP_GROUPS, SIZES)),
                (_consume, (consumer, B, WARP_GROUPS, SIZES)),
                (_consume, (consumer, C, WARP_GROUPS, SIZES)),
                (_consume, (consumer, D, WARP_GROUPS, SIZES)),
                (_produce, (producer, SIZES)),
            ],
            [4, 4, 4, 1],
            [112, 112, 112, 24],
        )
    else:
        gl.warp_specialize(
            [
                (_consume, (consumer, A, WARP_GROUPS, SIZES)),
                (_consume, (consumer, B, WARP_GROUPS, SIZES)),
                (_produce, (producer, SIZES)),
            ],
            [4, 1],
            [232, 24],
        )
