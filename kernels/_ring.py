"""Device code of the grouped W4A8 GEMM for Hopper (sm_90), in Gluon: what Triton hides is spelled out here.

One program a multiprocessor goes over the tiles that hold anything. A warp copies (TMA) into a ring of
stages; four warp groups compute outᵀ = W · xᵀ, 64 of the 256 weight rows of a tile each (or two, 128 each):
while some scale their sums, the tensor cores work for the others. Nothing but the ring ties them together.

Of a GATED tile half the rows are gate and half up, in turns of 8, so that the thread that holds a gate
holds its up as well: that is how a descriptor of five dimensions copies them, the weights lie as ever.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import async_copy, fence_async_shared, mbarrier, tma

from kernels._ring_integer import integer_sums, own_scales
from kernels._ring_loops import pair_sums, sums
from kernels._ring_values import as_values, value_sums


@gluon.jit
def _next_tile(tables, tiles, N_TILES: gl.constexpr):
    """A tile that no program has yet: (number, expert, block, slots that this holds, its tile of rows).

    Blocks of an expert lie side by side, so that they share its weights. Every program asks until there is
    none; the last to ask turns the counter back to 0.
    """
    expert_ptr, first_ptr, of_expert_ptr, live_ptr, next_ptr, count_ptr = tables
    tile = gl.inline_asm_elementwise(
        "{ .reg .pred p; .reg .b32 t; mov.u32 t, %laneid; setp.eq.u32 p, t, 0; mov.b32 t, 0;"
        " @p atom.global.inc.u32 t, [$1], $2; shfl.sync.idx.b32 $0, t, 0, 31, 0xFFFFFFFF; }",
        "=r,l,r",
        [next_ptr, tiles + gl.num_programs(0) - 1],
        gl.int32,
        False,
        1,
    )
    some = gl.minimum(tile, tiles - 1) // N_TILES
    expert = gl.load(expert_ptr + some)
    first = gl.load(first_ptr + some)
    blocks = gl.load(of_expert_ptr + some)
    local = tile - first * N_TILES
    block = gl.where(tile < tiles, first + local % blocks, 0)
    return tile, expert, block, gl.load(count_ptr + block), local // blocks


@gluon.jit
def _tell(notes, stage, about):
    """What the tile is that begins in this stage: for those who wait at its barrier."""
    ONE: gl.constexpr = gl.BlockedLayout([1], [32], [1], [0])
    for i in gl.static_range(4):
        notes.index(stage * 4 + i).store(gl.zeros([1], gl.int32, ONE) + about[i])


@gluon.jit
def _told(notes, stage, WHAT: gl.constexpr):
    ALL: gl.constexpr = gl.BlockedLayout([1], [32], [4], [0])
    return gl.max(notes.index(stage * 4 + WHAT).load(ALL), axis=0)


@gluon.jit
def _rows_of(
    slots_ptr,
    block,
    K_TILES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    TOP_K: gl.constexpr,
    PER_THREAD: gl.constexpr,
):
    """Where the first 128 bytes of each of a block's tokens are: eight threads copy those of a row.

    Rows that hold no slot are some token's, too.
    """
    LAYOUT: gl.constexpr = gl.BlockedLayout([1, PER_THREAD], [4, 8], [1, 1], [1, 0])
    lane = gl.arange(0, BLOCK_M, layout=gl.SliceLayout(1, LAYOUT))
    slot = gl.load(slots_ptr + block * BLOCK_M + lane)
    token = gl.maximum(slot, 0) // TOP_K
    col = gl.arange(0, PER_THREAD * 8, layout=gl.SliceLayout(0, LAYOUT))
    return token[:, None] * (K_TILES * 128) + col[None, :]


@gluon.jit
def _gather(x_ptr, rows, k, to, ready, COLS: gl.constexpr):
    """Copies a K-tile of a block's tokens by `cp.async`; each thread of the warp arrives when it is there."""
    for part in gl.static_range(128 // COLS):
        some = x_ptr + (k * 128 + part * COLS)
        async_copy.async_copy_global_to_shared(to.slice(part * COLS, COLS, 1), some + rows)
    async_copy.mbarrier_arrive(ready, increment_count=False)


@gluon.jit
def _produce(args, SIZES: gl.constexpr):
    """Copies every stage of every tile, as far ahead as the ring allows."""
    descs, tables, ring, notes, gathered, X_ROWS = args
    x_ptr, slots_ptr = gathered
    w_desc, w_scale_desc, x_desc, x_scale_desc = descs
    w, w_scale, x, x_scale, full, empty = ring
    expert_ptr, first_ptr, of_expert_ptr, live_ptr, next_ptr, count_ptr = tables
    N: gl.constexpr = SIZES[0]
    GATED: gl.constexpr = SIZES[1]
    N_TILES: gl.constexpr = SIZES[2]
    K_TILES: gl.constexpr = SIZES[3]
    W_SCALES: gl.constexpr = SIZES[4]
    X_SCALES: gl.constexpr = SIZES[5]
    BLOCK_M: gl.constexpr = SIZES[6]
    STAGES: gl.constexpr = SIZES[7]
    TOP_K: gl.constexpr = SIZES[8]
    # Where a copy lands is a multiple of 128 bytes: 32 scales at least.
    BOX: gl.constexpr = max(BLOCK_M, 32)
    ROW_BYTES: gl.constexpr = x.dtype.primitive_bitwidth * 16
    # Of a block of 128 rows the second half is copied where it holds something.
    HALVES: gl.constexpr = 2 if BLOCK_M == 128 else 1
    HALF: gl.constexpr = BLOCK_M // HALVES
    HALF_BYTES: gl.constexpr = 0 if TOP_K else HALF * ROW_BYTES
    BYTES: gl.constexpr = 256 * 64 + HALF_BYTES + W_SCALES * 256 * 2 + X_SCALES * BOX * 4
    halves = x._reinterpret(x.dtype, [STAGES * HALVES, HALF, 128], x.layout)
    # Columns of 128 bytes.
    COLS: gl.constexpr = 128 * 128 // ROW_BYTES
    stage = 0
    phase = 1
    tiles = gl.load(live_ptr) * N_TILES
    tile, expert, block, held, n_tile = _next_tile(tables, tiles, N_TILES)
    while tile < tiles:
        if TOP_K:
            rows = _rows_of(slots_ptr, block, K_TILES, BLOCK_M, TOP_K, COLS // 8)
        # Under way while this one is copied.
        after, expert_after, block_after, held_after, n_tile_after = _next_tile(tables, tiles, N_TILES)
        for k in range(K_TILES):
            ready = full.index(stage)
            mbarrier.wait(empty.index(stage), phase)
            if k == 0:
                _tell(notes, stage, (expert, block, held, n_tile))
            if HALVES == 2:
                mbarrier.expect(ready, BYTES, held <= HALF)
                mbarrier.expect(ready, BYTES + HALF_BYTES, held > HALF)
            else:
                mbarrier.expect(ready, BYTES)
            at = expert * K_TILES + k
            to = w.index(stage)
            if GATED:
                to = to._reinterpret(gl.uint8, [1, 16, 2, 8, 64], w_desc.layout)
                tma.async_copy_global_to_shared(w_desc, [at, n_tile * 16, 0, 0, 0], ready, to)
            else:
                tma.async_copy_global_to_shared(w_desc, [at * N + n_tile * 256, 0], ready, to)
            if TOP_K:
                _gather(x_ptr, rows, k, x.index(stage), ready, COLS)
            else:
                for half in gl.static_range(HALVES):
                    to = halves.index(stage * HALVES + half)
                    where = [block * BLOCK_M + half * HALF, k * 128]
                    tma.async_copy_global_to_shared(x_desc, where, ready, to, held > half * HALF)
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
        tile, expert, block, held, n_tile = after, expert_after, block_after, held_after, n_tile_after
    # A stage that holds nothing else tells that there are no more.
    mbarrier.wait(empty.index(stage), phase)
    _tell(notes, stage, (0, 0, 0, 0))
    mbarrier.arrive(full.index(stage), count=33 if TOP_K else 1)


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
def _put(
    acc,
    out_desc,
    out,
    row,
    n_tile,
    FRAGMENT: gl.constexpr,
    ROWS: gl.constexpr,
    GATED: gl.constexpr,
    QUANTIZED: gl.constexpr,
):
    """Stores a fragment of the result, of ROWS of the block; those past its slots are nobody's."""
    HALVES: gl.constexpr = out.shape[0] // 4
    COLS: gl.constexpr = out.shape[2]
    mine = out.index(FRAGMENT * HALVES)
    if ROWS > out.shape[1]:
        mine = out._reinterpret(out.dtype, [4, ROWS, COLS], out.layout).index(FRAGMENT)
    if GATED:
        act = _gated(acc, ROWS)
        if QUANTIZED:
            act = as_values(act, ROWS)
        mine.store(act.to(gl.bfloat16).permute([1, 0]))
    else:
        mine.store(acc.to(gl.bfloat16).permute([1, 0]))
    fence_async_shared()
    col = (n_tile * 4 + FRAGMENT) * COLS
    for half in gl.static_range(ROWS // out.shape[1]):
        to = [row + half * out.shape[1], col]
        tma.async_copy_shared_to_global(out_desc, to, out.index(FRAGMENT * HALVES + half))


@gluon.jit
def _integer_tile(
    args,
    expert,
    row,
    n_tile,
    stage,
    phase,
    FRAGMENT: gl.constexpr,
    ROWS: gl.constexpr,
    SIZES: gl.constexpr,
):
    """A tile of the integer mode, of ROWS of its block: (stage, phase) after it."""
    out_desc, out, ring, notes, scales = args
    N: gl.constexpr = SIZES[0]
    GATED: gl.constexpr = SIZES[1]
    K_TILES: gl.constexpr = SIZES[3]
    STAGES: gl.constexpr = SIZES[7]
    MY: gl.constexpr = FRAGMENT * 64
    if ROWS <= 64:
        # Under way while the K-loop runs; of more rows they would not leave it the registers.
        of_row, of_token = own_scales(scales, expert, row, n_tile, MY, N, ROWS, GATED)
    sums, stage, phase = integer_sums(ring, stage, phase, MY, K_TILES, ROWS, STAGES)
    if ROWS > 64:
        of_row, of_token = own_scales(scales, expert, row, n_tile, MY, N, ROWS, GATED)
    tma.store_wait(0)
    _put(sums * of_row * of_token, out_desc, out, row, n_tile, FRAGMENT, ROWS, GATED, False)
    return stage, phase


@gluon.jit
def _consume(args, GROUP_ID: gl.constexpr, WARP_GROUPS: gl.constexpr, SIZES: gl.constexpr):
    """One of four warp groups, 64 of the 256 rows of each tile; or of two, 128."""
    out_desc, out, ring, notes, scales = args
    N: gl.constexpr = SIZES[0]
    GATED: gl.constexpr = SIZES[1]
    N_TILES: gl.constexpr = SIZES[2]
    K_TILES: gl.constexpr = SIZES[3]
    W_SCALES: gl.constexpr = SIZES[4]
    X_SCALES: gl.constexpr = SIZES[5]
    BLOCK_M: gl.constexpr = SIZES[6]
    STAGES: gl.constexpr = SIZES[7]
    GATHERED: gl.constexpr = SIZES[8] > 0
    QUANTIZED: gl.constexpr = SIZES[9]
    VALUES: gl.constexpr = ring[2].dtype == gl.bfloat16
    FRAGMENTS: gl.constexpr = 4 // WARP_GROUPS
    FIRST: gl.constexpr = GROUP_ID * FRAGMENTS
    MY: gl.constexpr = FIRST * 64
    stage = 0
    phase = 0
    full = ring[4]
    mbarrier.wait(full.index(stage), phase)
    held = _told(notes, stage, 2)
    while held > 0:
        expert = _told(notes, stage, 0)
        row = _told(notes, stage, 1) * BLOCK_M
        n_tile = _told(notes, stage, 3)
        if X_SCALES == 0 and not VALUES:
            if BLOCK_M > 64:
                if held > 64:
                    stage, phase = _integer_tile(
                        args, expert, row, n_tile, stage, phase, FIRST, BLOCK_M, SIZES
                    )
                else:
                    stage, phase = _integer_tile(
                        args, expert, row, n_tile, stage, phase, FIRST, 64, SIZES
                    )
            else:
                stage, phase = _integer_tile(
                    args, expert, row, n_tile, stage, phase, FIRST, BLOCK_M, SIZES
                )
        else:
            if VALUES:
                a, stage, phase = value_sums(
                    ring, stage, phase, MY, K_TILES, W_SCALES, BLOCK_M, STAGES, GATHERED
                )
            elif FRAGMENTS == 1:
                a, stage, phase = sums(ring, stage, phase, MY, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES)
            else:
                a, b, stage, phase = pair_sums(
                    ring, stage, phase, MY, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES
                )
            # The copies of the tile before have read what they need.
            tma.store_wait(0)
            _put(a, out_desc, out, row, n_tile, FIRST, BLOCK_M, GATED, QUANTIZED)
            if FRAGMENTS == 2:
                _put(b, out_desc, out, row, n_tile, FIRST + 1, BLOCK_M, GATED, QUANTIZED)
        mbarrier.wait(full.index(stage), phase)
        held = _told(notes, stage, 2)
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
    next_ptr,
    count_ptr,
    row_scale_ptr,
    token_scale_ptr,
    x_ptr,
    slots_ptr,
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
    TOP_K: gl.constexpr,
    QUANTIZED: gl.constexpr,
    OVERLAP: gl.constexpr,
):
    """One grouped GEMM. GATED: bf16 [rows, N / 2], silu(gate) · up; else bf16 [rows, N].

    Rows are INT8 codes, or bf16 values in the order of `_ring_values`. TOP_K: they are tokens, and the slots
    of each block say which; else they are in the order of the blocks. QUANTIZED: the result is values.

    X_SCALES 0: the integer mode, where the scales of weights are multipliers, and scales of whole rows and
    tokens come at the end.
    """
    FLAT: gl.constexpr = gl.NVMMASharedLayout(0, 16, 1)
    W_LAYOUT: gl.constexpr = gl.NVMMASharedLayout(64, 8, 2)
    BOX: gl.constexpr = max(BLOCK_M, 32)
    w = gl.allocate_shared_memory(gl.uint8, [STAGES, 256, 64], W_LAYOUT)
    w_scale = gl.allocate_shared_memory(w_scale_desc.dtype, [STAGES * W_SCALES, 256], FLAT)
    x = gl.allocate_shared_memory(x_desc.dtype, [STAGES, BLOCK_M, 128], x_desc.layout)
    x_scale = gl.allocate_shared_memory(gl.float32, [max(STAGES * X_SCALES, 1), BOX], x_scale_desc.layout)
    HALF: gl.constexpr = min(BLOCK_M, 64)
    out_shape: gl.constexpr = [4 * BLOCK_M // HALF, HALF, 32 if GATED else 64]
    out = gl.allocate_shared_memory(gl.bfloat16, out_shape, out_desc.layout)
    # What the tile is that begins in a stage, if one does.
    notes = gl.allocate_shared_memory(gl.int32, [STAGES * 4, 1], mbarrier.MBarrierLayout())
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(STAGES):
        # With a gather every thread of the copying warp arrives, beside the copies of weights.
        mbarrier.init(full.index(i), count=33 if TOP_K else 1)
        mbarrier.init(empty.index(i), count=WARP_GROUPS)
    fence_async_shared()
    if OVERLAP:
        # The launch before has made the rows; the next one may be made ready while this runs.
        ready: gl.constexpr = "griddepcontrol.wait; griddepcontrol.launch_dependents; // $0"
        gl.inline_asm_elementwise(ready, "=r", [], gl.int32, False, 1)
    tables = (expert_ptr, first_ptr, of_expert_ptr, live_ptr, next_ptr, count_ptr)
    ring = (w, w_scale, x, x_scale, full, empty)
    descs = (w_desc, w_scale_desc, x_desc, x_scale_desc)
    scales = (row_scale_ptr, token_scale_ptr)
    # Registers of a thread: what so many warp groups, and one that copies, can have.
    A: gl.constexpr = 0
    B: gl.constexpr = 1
    C: gl.constexpr = 2
    D: gl.constexpr = 3
    SIZES: gl.constexpr = (N, GATED, N_TILES, K_TILES, W_SCALES, X_SCALES, BLOCK_M, STAGES, TOP_K, QUANTIZED)
    consumer = (out_desc, out, ring, notes, scales)
    producer = (descs, tables, ring, notes, (x_ptr, slots_ptr), X_ROWS)
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
            [96, 96, 96, 88] if TOP_K else [112, 112, 112, 24],
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
