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

from kernels._ring_copies import produce, told
from kernels._ring_integer import integer_sums, own_scales
from kernels._ring_loops import pair_sums, sums
from kernels._ring_values import as_values, value_sums


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
    mine,
    row,
    n_tile,
    FRAGMENT: gl.constexpr,
    GATED: gl.constexpr,
    QUANTIZED: gl.constexpr,
):
    """Stores a fragment of the result by way of `mine`; rows past the block's slots are nobody's."""
    ROWS: gl.constexpr = mine.shape[0]
    if GATED:
        act = _gated(acc, ROWS)
        if QUANTIZED:
            act = as_values(act, ROWS)
        mine.store(act.to(gl.bfloat16).permute([1, 0]))
    else:
        mine.store(acc.to(gl.bfloat16).permute([1, 0]))
    fence_async_shared()
    tma.async_copy_shared_to_global(out_desc, [row, (n_tile * 4 + FRAGMENT) * mine.shape[1]], mine)


@gluon.jit
def _integer_tile(args, tile, stage, phase, FRAGMENT: gl.constexpr, SIZES: gl.constexpr):
    """A tile of the integer mode: (stage, phase) after it."""
    out_desc, out, ring, notes, scales = args
    N_TILES: gl.constexpr = SIZES[2]
    BLOCK_M: gl.constexpr = SIZES[6]
    at = (told(notes, stage, 1), tile // N_TILES * BLOCK_M, tile % N_TILES)
    if BLOCK_M > 64:
        # Where the second half of a block holds nothing, it costs nothing.
        if told(notes, stage, 2) > 64:
            stage, phase = _two_halves(args, at, stage, phase, FRAGMENT, SIZES)
        else:
            stage, phase = _one_half(args, at, stage, phase, FRAGMENT, 64, SIZES)
    else:
        stage, phase = _one_half(args, at, stage, phase, FRAGMENT, BLOCK_M, SIZES)
    return stage, phase


@gluon.jit
def _one_half(args, at, stage, phase, FRAGMENT: gl.constexpr, ROWS: gl.constexpr, SIZES: gl.constexpr):
    out_desc, out, ring, notes, scales = args
    expert, row, n_tile = at
    N: gl.constexpr = SIZES[0]
    GATED: gl.constexpr = SIZES[1]
    K_TILES: gl.constexpr = SIZES[3]
    STAGES: gl.constexpr = SIZES[7]
    MY: gl.constexpr = FRAGMENT * 64
    # Under way while the K-loop runs.
    of_row, of_token = own_scales(scales, expert, row, n_tile, MY, N, ROWS, GATED)
    sums, stage, phase = integer_sums(ring, stage, phase, MY, K_TILES, ROWS, STAGES)
    tma.store_wait(0)
    mine = out.index(FRAGMENT * (out.shape[0] // 4))
    _put(sums * of_row * of_token, out_desc, mine, row, n_tile, FRAGMENT, GATED, False)
    return stage, phase


@gluon.jit
def _two_halves(args, at, stage, phase, FRAGMENT: gl.constexpr, SIZES: gl.constexpr):
    """128 rows at a time; beside so many sums there is room for the scales of half of them, at the end."""
    out_desc, out, ring, notes, scales = args
    expert, row, n_tile = at
    N: gl.constexpr = SIZES[0]
    GATED: gl.constexpr = SIZES[1]
    K_TILES: gl.constexpr = SIZES[3]
    STAGES: gl.constexpr = SIZES[7]
    MY: gl.constexpr = FRAGMENT * 64
    sums, stage, phase = integer_sums(ring, stage, phase, MY, K_TILES, 128, STAGES)
    halves = sums.reshape([64, 2, 64]).permute([0, 2, 1]).split()
    tma.store_wait(0)
    for half in gl.static_range(2):
        first = row + half * 64
        of_row, of_token = own_scales(scales, expert, first, n_tile, MY, N, 64, GATED)
        some = gl.convert_layout(halves[half], of_token.type.layout, assert_trivial=True)
        mine = out.index(FRAGMENT * 2 + half)
        _put(some * of_row * of_token, out_desc, mine, first, n_tile, FRAGMENT, GATED, False)
    return stage, phase


@gluon.jit
def _consume(args, GROUP_ID: gl.constexpr, WARP_GROUPS: gl.constexpr, SIZES: gl.constexpr):
    """One of four warp groups, 64 of the 256 rows of each tile; or of two, 128."""
    out_desc, out, ring, notes, scales = args
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
    tile = told(notes, stage, 0)
    while tile >= 0:
        if X_SCALES == 0 and not VALUES:
            stage, phase = _integer_tile(args, tile, stage, phase, FIRST, SIZES)
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
            row = tile // N_TILES * BLOCK_M
            n_tile = tile % N_TILES
            # The copies of the tile before have read what they need.
            tma.store_wait(0)
            _put(a, out_desc, out.index(FIRST), row, n_tile, FIRST, GATED, QUANTIZED)
            if FRAGMENTS == 2:
                _put(b, out_desc, out.index(FIRST + 1), row, n_tile, FIRST + 1, GATED, QUANTIZED)
        mbarrier.wait(full.index(stage), phase)
        tile = told(notes, stage, 0)
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
    notes = gl.allocate_shared_memory(gl.int32, [STAGES * 3, 1], mbarrier.MBarrierLayout())
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(STAGES):
        # With a gather every thread of the copying warp arrives, beside the copies of weights.
        mbarrier.init(full.index(i), count=33 if TOP_K else 1)
        mbarrier.init(empty.index(i), count=WARP_GROUPS)
    fence_async_shared()
    if OVERLAP:
        # The launch before has made the rows.
        gl.inline_asm_elementwise("griddepcontrol.wait; // $0", "=r", [], gl.int32, False, 1)
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
                (produce, (producer, SIZES)),
            ],
            [4, 4, 4, 1],
            [96, 96, 96, 88] if TOP_K else ([112, 112, 112, 24] if W_SCALES < 4 else [104, 104, 104, 56]),
        )
    else:
        gl.warp_specialize(
            [
                (_consume, (consumer, A, WARP_GROUPS, SIZES)),
                (_consume, (consumer, B, WARP_GROUPS, SIZES)),
                (produce, (producer, SIZES)),
            ],
            [4, 1],
            [232, 24],
        )
