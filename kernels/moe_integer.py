"""The mixture of experts with integer multipliers of groups: the K-loops in INT32, numerics of their own."""

from __future__ import annotations

import torch

from kernels import _integer as device_code
from kernels import ring
from kernels.checks import require_choice, require_ids, require_layer, require_type
from kernels.integer import IntegerWeight
from kernels.quantize import padded_k, quantize_rows, silu_mul_quantize, whole_row
from kernels.ring import RingTile
from kernels.routing import BLOCK_MS, Routing, route_and_quantize
from kernels.target import launch, target_of
from kernels.tuning import SAFE_TILE, Tile, block_m_for
from kernels.weighted_sum import weighted_sum

MANY_SLOTS = 64
"""Of an expert: from so many on `ring` is faster with blocks of 128 (measured on an H200: 4 to 25 %)."""
INTERPRETER_TILE = Tile(2048, 4, 1)
"""A program costs more than its arithmetic there."""


def moe_w4a8_integer(
    x: torch.Tensor,
    w1: IntegerWeight,
    w2: IntegerWeight,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    *,
    block_m: int | None = None,
    debug: bool = False,
) -> torch.Tensor:
    """Σ over a token's experts of weight · w2 · (silu(gate) · up), where [gate, up] = w1 · x.

    Less exact and faster than `kernels.moe_w4a8.moe_w4a8`: activations have one scale per token instead of
    one per 128 columns, and weights come with integer multipliers of their groups. Nothing synchronizes
    with the host: a call captures into a CUDA graph.

    Args:
        x: bf16 [tokens, hidden], contiguous.
        w1: packed [experts, 2 · inter, hidden]; gate rows, then up rows.
        w2: packed [experts, hidden, inter].
        topk_weights: fp32 [tokens, top_k], contiguous.
        topk_ids: int64 [tokens, top_k], contiguous; ids outside [0, experts) contribute nothing.
        block_m: slots of a block; default: by slots per expert.
        debug: refuse ids outside [0, experts). This reads them on the host: not for a CUDA graph.

    Returns:
        bf16 [tokens, hidden]. The relative RMS error against fp32 on the dequantized weights is 2.4 %
        for rows of 2048 and 512 (Qwen3.5), 3.6 % for rows of 4096 and 14336 (Mixtral).

    Raises:
        TypeError: a tensor's dtype.
        ValueError: shapes, devices or options that do not fit, by name.
    """
    for name, weight in (("w1", w1), ("w2", w2)):
        require_type(name, weight, IntegerWeight, ": see pack_integer")
    require_layer(x, w1, w2, topk_weights, topk_ids)
    if block_m is not None:
        require_choice("block_m", block_m, BLOCK_MS)
    experts, _, hidden = w1.shape
    if debug:
        require_ids(topk_ids, experts)
    out = torch.empty_like(x)
    tokens, top_k = topk_ids.shape
    if not tokens:
        return out
    by_ring = ring.supported(target_of(x.device)) and ring.fits(hidden, w2.shape[2])
    if block_m is None:
        block_m = default_block_m(tokens * top_k / experts, by_ring=by_ring)
    width, inter = padded_k(hidden), padded_k(w2.shape[2])
    routing, codes, scales = route_and_quantize(x, topk_ids, experts, block_m, whole_row(width), width)
    if by_ring:
        act = ring.integer_gemm(codes, scales, w1, routing, RingTile(8), gated=True)
        codes, scales = quantize_rows(act, whole_row(inter), inter, counts=routing.count)
        y = ring.integer_gemm(codes, scales, w2, routing, RingTile(8), gated=False)
    else:
        both = integer_gemm(codes, scales, w1, routing)
        codes, scales = silu_mul_quantize(both, whole_row(inter), inter, counts=routing.count)
        y = integer_gemm(codes, scales, w2, routing)
    return weighted_sum(y, topk_weights, routing.places, out)


def default_block_m(slots: float, *, by_ring: bool) -> int:
    """By slots per expert. On `ring` a block of 128 that is not half full costs what a block of 64 costs."""
    return 128 if by_ring and slots >= MANY_SLOTS else block_m_for(slots)


def integer_gemm(
    codes: torch.Tensor, scales: torch.Tensor, weight: IntegerWeight, routing: Routing
) -> torch.Tensor:
    """bf16 [rows, N]: each row times its expert's weights, on any GPU."""
    _, n, k = weight.shape
    target = target_of(codes.device)
    tile = INTERPRETER_TILE if target.backend == "cpu" else SAFE_TILE
    out = codes.new_empty(codes.shape[0], n, dtype=torch.bfloat16)
    launch(
        device_code._integer_gemm,
        (routing.blocks * -(-n // tile.block_n),),
        codes.device,
        codes,
        scales,
        weight.packed,
        weight.multipliers,
        weight.row_scales,
        out,
        routing.expert,
        routing.count,
        N=n,
        K_PADDED=padded_k(k),
        BLOCK_M=routing.block_m,
        BLOCK_N=tile.block_n,
        PTX=target.inline_ptx,
        FLOAT_DOT=target.backend == "cpu",
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return out
