"""A mixture-of-experts layer with INT4 weights and INT8 activations.

Source: pytorch/executorch pull request 19209, "Hoist W4A8 activation quantization out of GEMM K-loop".
"""

from __future__ import annotations

from typing import cast

import torch

from kernels import _moe_w4a8 as device_code
from kernels import ring
from kernels.checks import require_choice, require_ids, require_layer, require_type
from kernels.decode import DecodeTile, decode_down, decode_gate_up
from kernels.quantize import (
    ACT_TILES,
    TILE,
    PackedWeight,
    padded_k,
    quantize_rows,
    quantized_values,
    silu_mul,
    silu_mul_quantize,
)
from kernels.ring import RingTile
from kernels.routing import (
    BLOCK_MS,
    Routing,
    align_experts,
    route_and_quantize,
    route_and_quantized_values,
)
from kernels.target import launch, roomy, target_of
from kernels.tuning import PATHS, RING_BLOCK_MS, RINGS, TILES, Plan, Problem, Tile, plan_for
from kernels.weighted_sum import weighted_sum

VARIANTS = ("hoisted", "in_loop")


def moe_w4a8(
    x: torch.Tensor,
    w1: PackedWeight,
    w2: PackedWeight,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    *,
    act_tile: int = 128,
    variant: str = "hoisted",
    plan: Plan | None = None,
    debug: bool = False,
) -> torch.Tensor:
    """Σ over a token's experts of weight · w2 · (silu(gate) · up), where [gate, up] = w1 · x.

    Activations are quantized to INT8 with one scale per row per `act_tile` columns, before both GEMMs; the
    products are exact integers within a tile, sums over tiles and experts are fp32. The path is chosen by
    the number of tokens and the shape, from a table in the repository. A few tokens (decode) are two
    launches, nothing is sorted, and the second product's tiles are of 16 columns; else slots are sorted by
    expert into blocks, and the GEMMs are Hopper's own kernel there and a portable one elsewhere. Nothing
    synchronizes with the host: a call captures into a CUDA graph.

    Args:
        x: bf16 [tokens, hidden], contiguous.
        w1: packed [experts, 2 · inter, hidden]; gate rows, then up rows.
        w2: packed [experts, hidden, inter], of the same group.
        topk_weights: fp32 [tokens, top_k], contiguous.
        topk_ids: int64 [tokens, top_k], contiguous; ids outside [0, experts) contribute nothing, and one
            that a token names twice counts twice.
        act_tile: 128, or 32 as in llama.cpp (more accurate, slower).
        variant: "hoisted" quantizes rows once, before the K-loops; "in_loop" quantizes each tile in them, the
            baseline.
        plan: how to cut the work; default: from the table of this GPU.
        debug: refuse ids outside [0, experts). This reads them on the host: not for a CUDA graph.

    Returns:
        bf16 [tokens, hidden]. With activation tiles of 32 the relative RMS error against fp32 on the
        dequantized weights is about 1.2 %, with 128 about 1.6 %; of a few tokens 1.1 and 1.2 %.

    Raises:
        TypeError: a tensor's dtype.
        ValueError: shapes, devices, groups or options that do not fit, by name.
    """
    problem = _checked(x, w1, w2, topk_weights, topk_ids, act_tile, variant)
    if debug:
        require_ids(topk_ids, problem.experts)
    if plan is not None:
        sound(plan, problem, x.device)
    out = torch.empty_like(x)
    if not problem.m:
        return out
    plan = plan_for(target_of(x.device), problem) if plan is None else plan
    if plan.path == "slots":
        up, down = cast(DecodeTile, plan.gemm1), cast(DecodeTile, plan.gemm2)
        act = decode_gate_up(x, w1, topk_ids, act_tile=act_tile, tile=up)
        decode_down(act, w2, topk_weights, topk_ids, out, tile=down)
        return out
    if variant == "in_loop":
        y, routing = _in_loop(x, w1, w2, topk_ids, act_tile, plan)
    elif plan.path == "ring":
        y, routing = _ring(x, w1, w2, topk_ids, act_tile, plan)
    elif plan.path == "ring_bf16":
        y, routing = _ring_bf16(x, w1, w2, topk_ids, act_tile, plan)
    else:
        y, routing = _blocks(x, w1, w2, topk_ids, act_tile, plan)
    return weighted_sum(y, topk_weights, routing.places, out)


def _ring(
    x: torch.Tensor, w1: PackedWeight, w2: PackedWeight, topk_ids: torch.Tensor, act_tile: int, plan: Plan
) -> tuple[torch.Tensor, Routing]:
    """What the experts make of each slot, bf16 [rows, hidden]; SiLU is part of the first GEMM."""
    experts, _, hidden = w1.shape
    routing, codes, scales = route_and_quantize(
        x, topk_ids, experts, plan.block_m, act_tile, padded_k(hidden)
    )
    up, down = cast(RingTile, plan.gemm1), cast(RingTile, plan.gemm2)
    act = ring.grouped_gemm(codes, scales, w1, routing, act_tile, up, gated=True)
    codes, scales = quantize_rows(act, act_tile, padded_k(w2.shape[2]), counts=routing.count)
    return ring.grouped_gemm(codes, scales, w2, routing, act_tile, down, gated=False), routing


def _ring_bf16(
    x: torch.Tensor, w1: PackedWeight, w2: PackedWeight, topk_ids: torch.Tensor, act_tile: int, plan: Plan
) -> tuple[torch.Tensor, Routing]:
    """The same with scales in the operands; quantizing is part of the first GEMM where it holds a tile."""
    experts, _, hidden = w1.shape
    routing, values = route_and_quantized_values(
        x, topk_ids, experts, plan.block_m, act_tile, padded_k(hidden)
    )
    up, down, top_k = cast(RingTile, plan.gemm1), cast(RingTile, plan.gemm2), topk_ids.shape[1]
    quantized = act_tile == ring.OWN_TILE
    act = ring.value_gemm(values, w1, routing, up, gated=True, top_k=top_k, quantized=quantized)
    if not quantized:
        act = quantized_values(act, act_tile, padded_k(w2.shape[2]), counts=routing.count)
    return ring.value_gemm(act, w2, routing, down, gated=False), routing


def _blocks(
    x: torch.Tensor, w1: PackedWeight, w2: PackedWeight, topk_ids: torch.Tensor, act_tile: int, plan: Plan
) -> tuple[torch.Tensor, Routing]:
    """The same by the portable GEMM."""
    experts, _, hidden_size = w1.shape
    routing, codes, scales = route_and_quantize(
        x, topk_ids, experts, plan.block_m, act_tile, padded_k(hidden_size)
    )
    up, down = cast(Tile, plan.gemm1), cast(Tile, plan.gemm2)
    hidden = grouped_gemm(codes, scales, w1, routing, act_tile, up)
    codes, scales = silu_mul_quantize(hidden, act_tile, padded_k(w2.shape[2]), counts=routing.count)
    return grouped_gemm(codes, scales, w2, routing, act_tile, down), routing


def _in_loop(
    x: torch.Tensor, w1: PackedWeight, w2: PackedWeight, topk_ids: torch.Tensor, act_tile: int, plan: Plan
) -> tuple[torch.Tensor, Routing]:
    """The same, quantized in the K-loops of both GEMMs."""
    routing = align_experts(topk_ids, w1.shape[0], plan.block_m)
    up, down = cast(Tile, plan.gemm1), cast(Tile, plan.gemm2)
    hidden = grouped_gemm(x, None, w1, routing, act_tile, up, top_k=topk_ids.shape[1])
    act = silu_mul(hidden, counts=routing.count)
    return grouped_gemm(act, None, w2, routing, act_tile, down), routing


def grouped_gemm(
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    weight: PackedWeight,
    routing: Routing,
    act_tile: int,
    tile: Tile,
    *,
    top_k: int = 0,
) -> torch.Tensor:
    """Each row times its expert's weights, on any GPU.

    Args:
        rows: int8 [rows, K_padded] with `scales`; or bf16 [rows, K], quantized in the K-loop.
        scales: fp32 [K_padded / act_tile, rows], or None.
        weight: packed [experts, N, K].
        routing: which rows there are, and whose.
        act_tile: 32 or 128.
        top_k: `rows` are the bf16 tokens themselves, each for so many slots; 0: one row for each slot.

    Returns:
        bf16 [routing's rows, N]; rows that hold no slot are undefined.
    """
    _, n, k = weight.shape
    target = target_of(rows.device)
    out = rows.new_empty(routing.slots.shape[0], n, dtype=torch.bfloat16)
    launch(
        device_code._gemm,
        (routing.blocks * -(-n // tile.block_n),),
        rows.device,
        rows,
        rows if scales is None else scales,
        weight.packed,
        weight.scales,
        out,
        routing.slots,
        routing.expert,
        routing.count,
        N=n,
        K=k,
        K_PADDED=padded_k(k),
        TOP_K=max(1, top_k),
        XS_STRIDE=0 if scales is None else scales.shape[1],
        GROUP=weight.group,
        ACT_TILE=act_tile,
        HOISTED=scales is not None,
        GATHERED=top_k > 0,
        BLOCK_M=routing.block_m,
        BLOCK_N=tile.block_n,
        PTX=target.inline_ptx,
        FLOAT_DOT=target.backend == "cpu",
        num_warps=tile.warps,
        num_stages=tile.stages,
        # 32 sums of a thread, or quantizing, leave few registers.
        **(roomy(target) if scales is None or routing.block_m * tile.block_n >= 1024 * tile.warps else {}),
    )
    return out


def sound(plan: Plan, problem: Problem, device: torch.device) -> Plan:
    """A plan that the caller made, if `problem` can run by it on `device`.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_type("plan", plan, Plan, ": see kernels.tuning")
    require_choice("plan.path", plan.path, ("blocks",) if problem.variant == "in_loop" else PATHS)
    if plan.path != "slots":
        require_choice("plan.block_m", plan.block_m, RING_BLOCK_MS if plan.path in RINGS else BLOCK_MS)
    for name in ("gemm1", "gemm2"):
        tile, wanted = getattr(plan, name), TILES[plan.path]
        if not isinstance(tile, wanted):
            raise TypeError(
                f"plan.{name} is a {type(tile).__name__}; path {plan.path!r} takes {wanted.__name__}s"
            )
    if plan.path in RINGS and not ring.supported(target_of(device)):
        raise ValueError(f"plan.path is {plan.path!r}, which needs a GPU of architecture sm_90")
    if plan.path in RINGS and not ring.fits(problem.hidden, problem.inter):
        raise ValueError(
            f"plan.path is {plan.path!r} for hidden {problem.hidden}, inter {problem.inter}: both must be "
            f"multiples of 8 above {TILE}"
        )
    return plan


def _checked(
    x: torch.Tensor,
    w1: PackedWeight,
    w2: PackedWeight,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    act_tile: int,
    variant: str,
) -> Problem:
    """Refuse what does not fit, by name; else what the plan is chosen by."""
    require_choice("act_tile", act_tile, ACT_TILES)
    require_choice("variant", variant, VARIANTS)
    for name, weight in (("w1", w1), ("w2", w2)):
        require_type(name, weight, PackedWeight, ": see pack_int4")
    if w1.group != w2.group:
        raise ValueError(f"w1 has group {w1.group}, w2 {w2.group}; they must be the same")
    require_layer(x, w1, w2, topk_weights, topk_ids)
    (tokens, top_k), (experts, hidden, inter) = topk_ids.shape, w2.shape
    return Problem(tokens, hidden, inter, experts, top_k, w1.group, act_tile, variant)
