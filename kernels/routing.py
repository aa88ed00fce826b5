"""Sorting tokens by expert for grouped GEMMs, without asking the host.

A slot is one (token, choice) pair: slot = token · top_k + choice. The GEMMs take slots in blocks of one
expert each; the number of blocks is known only on the device, so the grid is an upper bound and blocks that
hold nothing have a count of zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels import _routing as device_code
from kernels.checks import require_tensor
from kernels.target import launch

BLOCK_MS = (16, 32, 64, 128)
"""Slots of one block. 16 is the least that an INT8 dot takes."""
SMALL = 4096
"""Up to this many slots every program counts all of them itself, which saves a launch."""
CHUNK = 128
"""Slots that one program puts in place, each compared with all others of its chunk."""
MOST_CHUNKS = 64
"""Where chunks are counted apart, every program reads all counts: beyond this, chunks grow instead."""
TILE_ELEMENTS = 16384
"""Of a two-dimensional tile: 64 registers of each of 256 threads."""
BLOCKS_A_PROGRAM = 16


@dataclass(frozen=True)
class Routing:
    """Slots sorted by expert (stable: equal experts keep their order), cut into blocks.

    Attributes:
        slots: int32 [tokens · top_k]; slots without an expert are missing at the end.
        places: int32 [tokens, top_k], the inverse: where in `slots` each slot is; -1 without an expert.
        expert: int32 [blocks], the expert of each block.
        start: int32 [blocks], where in `slots` a block begins.
        count: int32 [blocks], how many slots it holds: 1 to `block_m`, 0 for blocks past the last.
        block_m: slots of a full block.
    """

    slots: torch.Tensor
    places: torch.Tensor
    expert: torch.Tensor
    start: torch.Tensor
    count: torch.Tensor
    block_m: int


def most_blocks(slots: int, experts: int, block_m: int) -> int:
    """Upper bound of the number of blocks: every expert hit may have one that is not full."""
    return (slots + min(slots, experts) * (block_m - 1)) // block_m


def align_experts(topk_ids: torch.Tensor, experts: int, block_m: int) -> Routing:
    """Sort slots by expert and cut them into blocks: one launch, or two for more than 4096 slots.

    Args:
        topk_ids: int64 [tokens, top_k], contiguous. Ids outside [0, experts) are left out.
        experts: number of experts.
        block_m: slots of a block, a power of two.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_tensor("topk_ids", topk_ids, torch.int64, 2)
    if experts < 1:
        raise ValueError(f"experts is {experts}; it must be at least 1")
    if block_m < 1 or block_m & (block_m - 1):
        raise ValueError(f"block_m is {block_m}; it must be a power of two")
    slots, device = topk_ids.numel(), topk_ids.device
    blocks = most_blocks(slots, experts, block_m)
    # Each row starts at a multiple of 16 bytes, whatever the number of blocks: kernels are compiled for that.
    table = torch.empty(3, -(-blocks // 4) * 4, dtype=torch.int32, device=device)[:, :blocks]
    order = torch.empty(slots, dtype=torch.int32, device=device)
    places = torch.empty(topk_ids.shape, dtype=torch.int32, device=device)
    routing = Routing(order, places, table[0], table[1], table[2], block_m)
    if slots:
        _sort(topk_ids, experts, routing)
    return routing


def _sort(topk_ids: torch.Tensor, experts: int, routing: Routing) -> None:
    slots, device, blocks = topk_ids.numel(), topk_ids.device, routing.expert.numel()
    small = slots <= SMALL
    chunk = CHUNK if small else max(CHUNK, _power_of_two(-(-slots // MOST_CHUNKS)))
    chunks = -(-slots // chunk)
    # At least 128, one for each thread of the histogram.
    bins = max(128, _power_of_two(experts))
    counts = torch.empty(0 if small else chunks * bins, dtype=torch.int32, device=device)
    sizes = {"EXPERTS": experts, "BINS": bins, "CHUNK": chunk}
    if not small:
        launch(device_code._count_experts, (chunks,), device, topk_ids, counts, slots, **sizes)
    launch(
        device_code._place_slots,
        (max(chunks, -(-blocks // BLOCKS_A_PROGRAM)),),
        device,
        topk_ids,
        counts,
        routing.slots,
        routing.places,
        routing.expert,
        routing.start,
        routing.count,
        slots,
        blocks,
        chunks,
        **sizes,
        BLOCK_M=routing.block_m,
        # A histogram needs a value for each thread.
        ALL=max(256, _power_of_two(slots)) if small else 0,
        CHUNKS_A_STEP=max(1, TILE_ELEMENTS // 2 // bins),
        OTHERS=min(chunk, TILE_ELEMENTS // chunk),
        BLOCKS_A_PROGRAM=BLOCKS_A_PROGRAM,
        num_warps=8,
    )


def _power_of_two(number: int) -> int:
    """The least power of two that is at least `number`."""
    return 1 << max(0, number - 1).bit_length()
