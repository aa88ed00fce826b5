"""Device code of `_ring`: the warp that copies, and what it tells the others of each tile.

Programs take the tiles as they get to them, by a counter: tiles differ in how long they take, and so do
multiprocessors. What a tile is, only the copying warp has to find out: it is ahead of the others, who find it
beside the first stage of the tile.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import async_copy, mbarrier, tma


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
    # Of no tiles at all, too, something is read.
    some = gl.maximum(gl.minimum(tile, tiles - 1), 0) // N_TILES
    expert = gl.load(expert_ptr + some)
    first = gl.load(first_ptr + some)
    blocks = gl.load(of_expert_ptr + some)
    local = tile - first * N_TILES
    block = gl.where(tile < tiles, first + local % blocks, 0)
    return tile, expert, block, gl.load(count_ptr + block), local // blocks


@gluon.jit
def _tell(notes, stage, about):
    """What the tile is that begins in this stage: for those who wait at its barrier.

    Block and tile of rows in one number, -1: no more tiles; the expert; slots that the block holds.
    """
    ONE: gl.constexpr = gl.BlockedLayout([1], [32], [1], [0])
    for i in gl.static_range(3):
        notes.index(stage * 3 + i).store(gl.zeros([1], gl.int32, ONE) + about[i])


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
def produce(args, SIZES: gl.constexpr):
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
                _tell(notes, stage, (block * N_TILES + n_tile, expert, held))
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
    _tell(notes, stage, (-1, 0, 0))
    mbarrier.arrive(full.index(stage), count=33 if TOP_K else 1)


@gluon.jit
def told(notes, stage, WHAT: gl.constexpr):
    """One of the three numbers of `_tell`."""
    ALL: gl.constexpr = gl.BlockedLayout([1], [32], [4], [0])
    return gl.max(notes.index(stage * 3 + WHAT).load(ALL), axis=0)
