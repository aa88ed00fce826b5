"""Device code of `routing`: slots to rows in the order of experts, tokens quantized into those rows."""

import triton
import triton.language as tl
from triton.language.extra import cuda

from kernels._quantize import codes_of, load_rows, store_codes, store_scales, values_of


@triton.jit
def _ids_at(ids_ptr, slots, inside, EXPERTS: tl.constexpr):
    """Expert ids as int32; -1 outside and for ids that name no expert."""
    ids = tl.load(ids_ptr + slots, mask=inside, other=-1)
    return tl.where((ids >= 0) & (ids < EXPERTS), ids, -1).to(tl.int32)


@triton.jit
def _count_experts(
    # pointers
    ids_ptr,
    ranks_ptr,
    counts_ptr,
    # shape
    SLOTS,
    CHUNK_SLOTS,
    EXPERTS: tl.constexpr,
    # meta
    BINS: tl.constexpr,
    CHUNK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """How many slots of each chunk go to each expert, and each slot's rank among those."""
    if OVERLAP:
        cuda.gdc_launch_dependents()
    chunk = tl.program_id(0)
    counts = counts_ptr + chunk * BINS
    # The counters are this program's own: it zeroes them itself, which saves a launch.
    tl.store(counts + tl.arange(0, BINS), tl.zeros((BINS,), tl.int32))
    lane = tl.arange(0, CHUNK)
    slots = chunk * CHUNK_SLOTS + lane
    # Slots past the end do not exist; those past the chunk are another program's.
    inside = (lane < CHUNK_SLOTS) & (slots < SLOTS)
    ids = _ids_at(ids_ptr, slots, inside, EXPERTS)
    tl.debug_barrier()
    rank = tl.atomic_add(counts + ids, 1, mask=ids >= 0, sem="relaxed")
    tl.store(ranks_ptr + slots, rank, mask=inside)


@triton.jit
def _totals(
    ids_ptr,
    counts_ptr,
    chunk,
    SLOTS,
    CHUNKS,
    EXPERTS: tl.constexpr,
    BINS: tl.constexpr,
    ALL: tl.constexpr,
    CHUNK_ROWS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Slots of each expert: (all of them, those in chunks before `chunk`; not counted where ALL)."""
    if ALL:
        # Few slots: every program counts them itself, which saves a launch.
        slots = tl.arange(0, ALL)
        ids = _ids_at(ids_ptr, slots, slots < SLOTS, EXPERTS)
        total = tl.histogram(ids, BINS, mask=ids >= 0)
        before = tl.zeros((BINS,), tl.int32)
    else:
        row = tl.arange(0, ROWS)[:, None]
        total = tl.zeros((BINS,), tl.int32)
        before = tl.zeros((BINS,), tl.int32)
        for first in tl.static_range(0, CHUNK_ROWS, ROWS):
            # There are rows to spare, so that no load has a condition; they have counted nothing.
            counts = tl.load(counts_ptr + (first + row) * BINS + tl.arange(0, BINS)[None, :])
            total += tl.sum(tl.where(first + row < CHUNKS, counts, 0), axis=0)
            before += tl.sum(tl.where(first + row < chunk, counts, 0), axis=0)
    return total, before


@triton.jit
def _describe_blocks(
    total,
    end,
    # pointers
    slots_ptr,
    expert_ptr,
    first_ptr,
    of_expert_ptr,
    count_ptr,
    live_ptr,
    # shape
    BLOCKS,
    # meta
    BINS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCKS_A_PROGRAM: tl.constexpr,
):
    """Some of the blocks, and the rows of those that hold no slot. `end`: past each expert's last block."""
    block = tl.program_id(0) * BLOCKS_A_PROGRAM + tl.arange(0, BLOCKS_A_PROGRAM)
    past = tl.sum((end[None, :] <= block[:, None]).to(tl.int32), axis=1)
    live = past < BINS
    expert = tl.minimum(past, BINS - 1)
    slots = tl.gather(total, expert, axis=0)
    of_expert = (slots + BLOCK_M - 1) // BLOCK_M
    first = tl.gather(end, expert, axis=0) - of_expert
    count = tl.minimum(slots - (block - first) * BLOCK_M, BLOCK_M)
    count = tl.where(live, count, 0)
    # Blocks past the table do not exist.
    inside = block < BLOCKS
    tl.store(expert_ptr + block, tl.where(live, expert, -1), mask=inside)
    tl.store(first_ptr + block, tl.where(live, first, 0), mask=inside)
    tl.store(of_expert_ptr + block, tl.where(live, of_expert, 0), mask=inside)
    tl.store(count_ptr + block, count, mask=inside)
    row = tl.arange(0, BLOCK_M)[None, :]
    padding = (live & inside)[:, None] & (row >= count[:, None])
    # Rows that hold a slot are written by the program that places it.
    tl.store(
        slots_ptr + block[:, None] * BLOCK_M + row,
        tl.full((BLOCKS_A_PROGRAM, BLOCK_M), -1, tl.int32),
        mask=padding,
    )
    if tl.program_id(0) == 0:
        tl.store(live_ptr, tl.max(end, axis=0))
        # Beside it: tiles that a GEMM has handed out.
        tl.store(live_ptr + 1, 0)


@triton.jit
def _place_slots(
    # pointers
    ids_ptr,
    ranks_ptr,
    counts_ptr,
    places_ptr,
    slots_ptr,
    expert_ptr,
    first_ptr,
    of_expert_ptr,
    count_ptr,
    live_ptr,
    x_ptr,
    codes_ptr,
    scales_ptr,
    # shape
    TOKENS,
    BLOCKS,
    CHUNKS,
    EXPERTS: tl.constexpr,
    TOP_K: tl.constexpr,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TILES: tl.constexpr,
    # stride
    SCALES_STRIDE,
    # meta
    BLOCK_M: tl.constexpr,
    BINS: tl.constexpr,
    CHUNK_TOKENS: tl.constexpr,
    ALL: tl.constexpr,
    CHUNK_ROWS: tl.constexpr,
    ROWS: tl.constexpr,
    OTHERS: tl.constexpr,
    TOKENS_A_PROGRAM: tl.constexpr,
    LANES: tl.constexpr,
    BLOCKS_A_PROGRAM: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_TILES: tl.constexpr,
    VALUES: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """Put the slots of some tokens in place, describe some of the blocks, quantize those tokens if TILE.

    Codes and scales are copied to each of a token's rows; VALUES: bf16 values, to the token's own row alone.
    """
    token = tl.program_id(0) * TOKENS_A_PROGRAM
    PARTS: tl.constexpr = (TILES + BLOCK_TILES - 1) // BLOCK_TILES
    lane = tl.arange(0, LANES)
    slots = token * TOP_K + lane
    # Lanes past this program's tokens are the next program's; tokens past the end do not exist.
    inside = (lane < TOKENS_A_PROGRAM * TOP_K) & (slots < TOKENS * TOP_K)
    ids = _ids_at(ids_ptr, slots, inside, EXPERTS)
    if TILE:
        row = token + tl.arange(0, BLOCK_ROWS)
        tile = tl.arange(0, BLOCK_TILES)
        col = tile[:, None] * TILE + tl.arange(0, TILE)[None, :]
        # The first rows are on their way while everything is counted.
        ahead = load_rows(x_ptr, row, row < TOKENS, col, K)
    if OVERLAP:
        cuda.gdc_wait()
        cuda.gdc_launch_dependents()
    if not ALL:
        rank = tl.load(ranks_ptr + slots, mask=inside, other=0)
    chunk = token // CHUNK_TOKENS
    total, before = _totals(
        ids_ptr, counts_ptr, chunk, TOKENS * TOP_K, CHUNKS, EXPERTS, BINS, ALL, CHUNK_ROWS, ROWS
    )
    blocks = (total + BLOCK_M - 1) // BLOCK_M
    end = tl.cumsum(blocks, axis=0)
    start = (end - blocks) * BLOCK_M + before
    if ALL:
        earlier = tl.zeros((LANES, OTHERS), tl.int32)
        # Later slots are not in front of any of this program's.
        for first in range(0, tl.minimum(token + TOKENS_A_PROGRAM, TOKENS) * TOP_K, OTHERS):
            others = first + tl.arange(0, OTHERS)
            other_ids = _ids_at(ids_ptr, others, others < TOKENS * TOP_K, EXPERTS)
            same = ids[:, None] == other_ids[None, :]
            earlier += (same & (others[None, :] < slots[:, None])).to(tl.int32)
        rank = tl.sum(earlier, axis=1)
    place = tl.gather(start, tl.maximum(ids, 0), axis=0) + rank
    place = tl.where(ids >= 0, place, -1)
    tl.store(slots_ptr + place, slots, mask=ids >= 0)
    tl.store(places_ptr + slots, place, mask=inside)
    if TILE:
        # Places are read back by other threads of this program.
        tl.debug_barrier()
        for step in range(TOKENS_A_PROGRAM // BLOCK_ROWS * PARTS):
            value = ahead
            rows = row + (step // PARTS) * BLOCK_ROWS
            tiles = tile + (step % PARTS) * BLOCK_TILES
            cols = col + (step % PARTS) * (BLOCK_TILES * TILE)
            next_rows = row + ((step + 1) // PARTS) * BLOCK_ROWS
            next_cols = col + ((step + 1) % PARTS) * (BLOCK_TILES * TILE)
            # The last step looks ahead at rows of the next program.
            wanted = (next_rows < token + TOKENS_A_PROGRAM) & (next_rows < TOKENS)
            ahead = load_rows(x_ptr, next_rows, wanted, next_cols, K)
            codes, scale = codes_of(value.to(tl.float32))
            if VALUES:
                codes = values_of(codes, scale, BLOCK_ROWS, BLOCK_TILES, TILE)
                store_codes(codes, codes_ptr, rows, rows < TOKENS, cols, K_PADDED)
            to_ptrs = places_ptr + rows * TOP_K
            to = tl.load(to_ptrs, mask=rows < TOKENS, other=-1)
            for copy in tl.static_range(1, 1 if VALUES else TOP_K + 1):
                here = to
                # The next place is on its way while this copy is stored.
                to = tl.load(to_ptrs + copy, mask=(rows < TOKENS) & (copy < TOP_K), other=-1)
                store_codes(codes, codes_ptr, here, here >= 0, cols, K_PADDED)
                store_scales(scale, scales_ptr, here, here >= 0, tiles, TILES, SCALES_STRIDE)
    # Last: all that is above is on its way while blocks are described.
    _describe_blocks(
        total,
        end,
        slots_ptr,
        expert_ptr,
        first_ptr,
        of_expert_ptr,
        count_ptr,
        live_ptr,
        BLOCKS,
        BINS,
        BLOCK_M,
        BLOCKS_A_PROGRAM,
    )
