"""Rows for grouped GEMMs: tokens sorted by expert, without asking the host.

A slot is one (token, choice) pair: slot = token · top_k + choice. Rows come in blocks of one expert each; an
expert's last block may have rows that hold no slot. The number of blocks is known only on the device, so
tensors and grids have an upper bound, and blocks that hold nothing have a count of zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from kernels import _routing as device_code
from kernels.checks import require_count, require_power_of_two, require_shape, require_sizes, require_tensor
from kernels.quantize import Cut, power_of_two, values_cut
from kernels.target import INTERPRETED, launch, overlap, roomy, target_of

BLOCK_MS = (16, 32, 64, 128)
"""Slots of one block. 16 is the least that an INT8 dot takes."""
ALONE = 1024
"""Up to this many slots every program counts all of them itself, which saves a launch."""
CHUNK_TOKENS = 64
"""Tokens counted together, at least: half a thousand slots at eight experts a token."""
MOST_CHUNKS = 16
"""Every program reads all chunks' counts: beyond this many, chunks grow instead."""
LARGEST_CHUNK = 8192
"""Slots of a chunk: 16 for each of 512 threads. Beyond, there are more chunks."""
TILE_ELEMENTS = 4096
"""Of a two-dimensional tile: 32 registers of each of 128 threads."""
BLOCKS_A_PROGRAM = 16
"""At most: their experts are found by comparing each with all experts."""
PROGRAMS = 8 if INTERPRETED else 1056
"""That place and quantize, at most: eight for each multiprocessor. The interpreter pays by program."""
SLOTS_A_PROGRAM = 64
"""Where there is nothing to quantize."""
NOT_QUANTIZED = {"K_PADDED": 1, "TILES": 1, "TILE": 0, "BLOCK_TILES": 1}


@dataclass(frozen=True)
class Routing:
    """Slots in rows, sorted by expert. Blocks of an expert are consecutive, experts ascend.

    Attributes:
        places: int32 [tokens, top_k]: the row of each slot; -1 without an expert.
        slots: int32 [blocks · block_m]: the slot of each row; -1 for rows of live blocks that hold none;
            undefined past the last live block. The order within an expert is not always that of the slots.
        expert: int32 [blocks], the expert of each block; -1 past the last live block.
        first: int32 [blocks], the first block of that expert.
        of_expert: int32 [blocks], how many blocks that expert has.
        count: int32 [blocks], how many rows hold a slot: 1 to `block_m`, 0 past the last live block.
        live: int32 [1], how many blocks hold something.
        next: int32 [1], zero: programs of a GEMM take its tiles by it, and leave it zero. One GEMM at a time.
        block_m: rows of a block.
    """

    places: torch.Tensor
    slots: torch.Tensor
    expert: torch.Tensor
    first: torch.Tensor
    of_expert: torch.Tensor
    count: torch.Tensor
    live: torch.Tensor
    next: torch.Tensor
    block_m: int

    @property
    def blocks(self) -> int:
        """Upper bound, known to the host."""
        return self.expert.shape[0]


def most_blocks(slots: int, experts: int, block_m: int) -> int:
    """Upper bound of the number of blocks: every expert hit may have one that is not full."""
    return (slots + min(slots, experts) * (block_m - 1)) // block_m


def align_experts(topk_ids: torch.Tensor, experts: int, block_m: int) -> Routing:
    """Sort slots by expert into blocks of rows: one launch, or two for more than 1024 slots.

    Args:
        topk_ids: int64 [tokens, top_k], contiguous. Ids outside [0, experts) are left out.
        experts: number of experts.
        block_m: rows of a block, a power of two.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    routing = _unfilled(topk_ids, experts, block_m)
    _place(topk_ids, experts, routing, power_of_two(-(-SLOTS_A_PROGRAM // max(1, topk_ids.shape[1]))), None)
    return routing


def route_and_quantize(
    x: torch.Tensor,
    topk_ids: torch.Tensor,
    experts: int,
    block_m: int,
    act_tile: int,
    padded: int | None = None,
) -> tuple[Routing, torch.Tensor, torch.Tensor]:
    """`align_experts`, and `quantize_rows` of the tokens into those rows, in the same launches.

    A GEMM reads its rows one behind the other: codes are copied to each row of their token.

    Args:
        x: bf16 [tokens, K], contiguous.
        topk_ids, experts, block_m: as of `align_experts`.
        act_tile, padded: as of `quantize_rows`.

    Returns:
        The routing; codes int8 [rows, padded] and scales fp32 [ceil(padded / act_tile), rows], one row for
        each slot; rows that hold no slot are undefined.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    routing, cut = _for_tokens(x, topk_ids, experts, block_m, Cut(x.shape[1], act_tile, padded))
    codes, scales = cut.outputs(x, routing.slots.shape[0])
    _place_tokens(topk_ids, experts, routing, _Quantized(cut, x, codes, scales))
    return routing, codes, scales


def route_and_quantized_values(
    x: torch.Tensor,
    topk_ids: torch.Tensor,
    experts: int,
    block_m: int,
    act_tile: int,
    padded: int | None = None,
) -> tuple[Routing, torch.Tensor]:
    """`align_experts`, and `quantized_values` of the tokens, in the same launches: for a GEMM that gathers.

    Returns:
        The routing; values bf16 [tokens, padded].
    """
    routing, cut = _for_tokens(x, topk_ids, experts, block_m, values_cut(x.shape[1], act_tile, padded))
    values = x.new_empty(x.shape[0], cut.width)
    _place_tokens(topk_ids, experts, routing, _Quantized(cut, x, values, None))
    return routing, values


@dataclass(frozen=True, slots=True)
class _Quantized:
    """What is quantized beside the routing: how, of what, and where it goes.

    Without scales: values, one row a token; with them: codes, a row of each slot.
    """

    cut: Cut
    x: torch.Tensor
    codes: torch.Tensor
    scales: torch.Tensor | None


def _for_tokens(
    x: torch.Tensor, topk_ids: torch.Tensor, experts: int, block_m: int, cut: Cut
) -> tuple[Routing, Cut]:
    require_tensor("x", x, torch.bfloat16, 2)
    require_sizes("a row of x", x.shape[1:])
    require_tensor("topk_ids", topk_ids, torch.int64, 2, x.device)
    routing = _unfilled(topk_ids, experts, block_m)
    require_shape("topk_ids", topk_ids.shape, (x.shape[0], topk_ids.shape[1]))
    return routing, cut


def _place_tokens(ids: torch.Tensor, experts: int, routing: Routing, quantized: _Quantized) -> None:
    tokens_a_program = max(quantized.cut.block_rows, power_of_two(-(-ids.shape[0] // PROGRAMS)))
    _place(ids, experts, routing, tokens_a_program, quantized)


def _unfilled(topk_ids: torch.Tensor, experts: int, block_m: int) -> Routing:
    """Checks the arguments, too."""
    require_tensor("topk_ids", topk_ids, torch.int64, 2)
    require_power_of_two("block_m", block_m)
    require_count("experts", experts)
    blocks = most_blocks(topk_ids.numel(), experts, block_m)
    new = partial(torch.empty, dtype=torch.int32, device=topk_ids.device)
    # Each row starts at a multiple of 16 bytes, whatever the number of blocks: kernels are compiled for that.
    expert, first, of_expert, count = new(4, -(-blocks // 4) * 4)[:, :blocks].unbind()
    # Without a slot nothing is launched, and no block is live.
    live, next_tile = (new(2) if topk_ids.numel() else new(2).zero_()).split(1)
    places, slots = new(topk_ids.shape), new(blocks * block_m)
    return Routing(places, slots, expert, first, of_expert, count, live, next_tile, block_m)


def _place(
    ids: torch.Tensor,
    experts: int,
    routing: Routing,
    tokens_a_program: int,
    quantized: _Quantized | None,
) -> None:
    """Launches. `tokens_a_program`: a power of two."""
    (tokens, top_k), device = ids.shape, ids.device
    if not tokens * top_k:
        return
    alone = tokens * top_k <= ALONE
    chunk = max(CHUNK_TOKENS, tokens_a_program, power_of_two(-(-tokens // MOST_CHUNKS)))
    while chunk > tokens_a_program and chunk * top_k > LARGEST_CHUNK:
        chunk //= 2
    chunks = -(-tokens // chunk)
    chunk_rows = power_of_two(chunks)
    # At least 128, one for each thread of the histogram.
    bins = max(128, power_of_two(experts))
    ranks, counts = routing.places, routing.places
    target = target_of(device)
    # This launch starts before the one in front of it ends. That one does not: whatever ran before it has
    # ended, so only what it writes itself has to be waited for.
    early = overlap(target, wanted=not alone)
    if not alone:
        ranks, counts = torch.empty_like(routing.places), routing.places.new_empty(chunk_rows, bins)
        launch(
            device_code._count_experts,
            (chunks,),
            device,
            ids,
            ranks,
            counts,
            tokens * top_k,
            chunk * top_k,
            EXPERTS=experts,
            BINS=bins,
            CHUNK=power_of_two(chunk * top_k),
            OVERLAP=early["OVERLAP"],
            num_warps=16,
        )
    lanes = power_of_two(tokens_a_program * top_k)
    programs = -(-tokens // tokens_a_program)
    blocks = min(BLOCKS_A_PROGRAM, power_of_two(-(-routing.blocks // programs)))
    launch(
        device_code._place_slots,
        (max(programs, -(-routing.blocks // blocks)),),
        device,
        ids,
        ranks,
        counts,
        routing.places,
        routing.slots,
        routing.expert,
        routing.first,
        routing.of_expert,
        routing.count,
        routing.live,
        *((quantized.x, quantized.codes) if quantized else (ids, ids)),
        ids if quantized is None or quantized.scales is None else quantized.scales,
        tokens,
        routing.blocks,
        chunks,
        EXPERTS=experts,
        TOP_K=top_k,
        K=quantized.x.shape[1] if quantized else 1,
        SCALES_STRIDE=routing.slots.shape[0],
        BLOCK_M=routing.block_m,
        BINS=bins,
        CHUNK_TOKENS=chunk,
        # A histogram needs a value for each thread.
        ALL=max(256, power_of_two(tokens * top_k)) if alone else 0,
        CHUNK_ROWS=chunk_rows,
        ROWS=min(chunk_rows, max(1, TILE_ELEMENTS // bins)),
        OTHERS=max(16, TILE_ELEMENTS // lanes),
        TOKENS_A_PROGRAM=tokens_a_program,
        LANES=lanes,
        BLOCKS_A_PROGRAM=blocks,
        VALUES=quantized is not None and quantized.scales is None,
        BLOCK_ROWS=quantized.cut.block_rows if quantized else 1,
        **(quantized.cut.sizes if quantized else NOT_QUANTIZED),
        **early,
        **roomy(target),
    )
