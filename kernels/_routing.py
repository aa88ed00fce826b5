"""Device code of `routing`: slots sorted by expert in one launch, or two for many slots."""

import triton
import triton.language as tl


@triton.jit
def _ids_at(ids_ptr, slots, SLOTS, EXPERTS: tl.constexpr):
    """Expert ids as int32; -1 past the end and for ids that name no expert."""
    ids = tl.load(ids_ptr + slots, mask=slots < SLOTS, other=-1)
    return tl.where((ids >= 0) & (ids < EXPERTS), ids, -1).to(tl.int32)


@triton.jit
def _count_experts(
    # pointers
    ids_ptr,
    counts_ptr,
    # shape
    SLOTS,
    EXPERTS: tl.constexpr,
    # meta
    BINS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """How many slots of each chunk go to each expert."""
    chunk = tl.program_id(0)
    ids = _ids_at(ids_ptr, chunk * CHUNK + tl.arange(0, CHUNK), SLOTS, EXPERTS)
    counts = tl.histogram(ids, BINS, mask=ids >= 0)
    tl.store(counts_ptr + chunk * BINS + tl.arange(0, BINS), counts)


@triton.jit
def _totals(
    ids_ptr,
    counts_ptr,
    SLOTS,
    CHUNKS,
    EXPERTS: tl.constexpr,
    BINS: tl.constexpr,
    CHUNK: tl.constexpr,
    ALL: tl.constexpr,
    CHUNKS_A_STEP: tl.constexpr,
):
    """Slots of each expert: (all of them, those in chunks before this program's)."""
    chunk = tl.program_id(0)
    if ALL:
        # Few slots: every program counts them itself, which saves a launch.
        slots = tl.arange(0, ALL)
        ids = _ids_at(ids_ptr, slots, SLOTS, EXPERTS)
        total = tl.histogram(ids, BINS, mask=ids >= 0)
        before = tl.histogram(ids, BINS, mask=(ids >= 0) & (slots < chunk * CHUNK))
    else:
        bins = tl.arange(0, BINS)
        all_counts = tl.zeros((CHUNKS_A_STEP, BINS), tl.int32)
        early_counts = tl.zeros((CHUNKS_A_STEP, BINS), tl.int32)
        for first in range(0, CHUNKS, CHUNKS_A_STEP):
            rows = (first + tl.arange(0, CHUNKS_A_STEP))[:, None]
            # Chunks past the last have counted nothing.
            counts = tl.load(counts_ptr + rows * BINS + bins[None, :], mask=rows < CHUNKS, other=0)
            all_counts += counts
            early_counts += tl.where(rows < chunk, counts, 0)
        total = tl.sum(all_counts, axis=0)
        before = tl.sum(early_counts, axis=0)
    return total, before


@triton.jit
def _place_slots(
    # pointers
    ids_ptr,
    counts_ptr,
    slots_ptr,
    places_ptr,
    expert_ptr,
    start_ptr,
    count_ptr,
    # shape
    SLOTS,
    BLOCKS,
    CHUNKS,
    EXPERTS: tl.constexpr,
    # meta
    BLOCK_M: tl.constexpr,
    BINS: tl.constexpr,
    CHUNK: tl.constexpr,
    ALL: tl.constexpr,
    CHUNKS_A_STEP: tl.constexpr,
    OTHERS: tl.constexpr,
    BLOCKS_A_PROGRAM: tl.constexpr,
):
    """Put the slots of one chunk in place, and describe some of the blocks."""
    chunk = tl.program_id(0)
    total, before = _totals(ids_ptr, counts_ptr, SLOTS, CHUNKS, EXPERTS, BINS, CHUNK, ALL, CHUNKS_A_STEP)
    start = tl.cumsum(total, axis=0) - total

    # There may be more programs than chunks, for the blocks: their slots are past the end.
    if chunk < CHUNKS:
        slots = chunk * CHUNK + tl.arange(0, CHUNK)
        ids = _ids_at(ids_ptr, slots, SLOTS, EXPERTS)
        place = tl.gather(start + before, tl.maximum(ids, 0), axis=0)
        for first in tl.static_range(0, CHUNK, OTHERS):
            others = chunk * CHUNK + first + tl.arange(0, OTHERS)
            other_ids = _ids_at(ids_ptr, others, SLOTS, EXPERTS)
            earlier = (ids[:, None] == other_ids[None, :]) & (others[None, :] < slots[:, None])
            place += tl.sum(earlier.to(tl.int32), axis=1)
        # Slots without an expert have no place.
        tl.store(slots_ptr + place, slots, mask=ids >= 0)
        # The last chunk may not be full.
        tl.store(places_ptr + slots, tl.where(ids >= 0, place, -1), mask=slots < SLOTS)

    bins = tl.arange(0, BINS)[None, :]
    blocks = (total + BLOCK_M - 1) // BLOCK_M
    end = tl.cumsum(blocks, axis=0)
    head = (end - blocks)[None, :]
    block = chunk * BLOCKS_A_PROGRAM + tl.arange(0, BLOCKS_A_PROGRAM)
    holds = (head <= block[:, None]) & (block[:, None] < end[None, :])
    done = (block[:, None] - head) * BLOCK_M
    expert = tl.sum(tl.where(holds, bins, 0), axis=1)
    begin = tl.sum(tl.where(holds, start[None, :] + done, 0), axis=1)
    count = tl.sum(tl.where(holds, tl.minimum(total[None, :] - done, BLOCK_M), 0), axis=1)
    # Blocks past the table do not exist.
    live = block < BLOCKS
    tl.store(expert_ptr + block, expert, mask=live)
    tl.store(start_ptr + block, begin, mask=live)
    tl.store(count_ptr + block, count, mask=live)
