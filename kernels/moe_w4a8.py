"""A mixture-of-experts layer with INT4 weights and INT8 activations.

Source: pytorch/executorch pull request 19209, "Hoist W4A8 activation quantization out of GEMM K-loop".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels import _moe_w4a8 as device_code
from kernels.checks import require_choice, require_shape, require_tensor
from kernels.quantize import (
    ACT_TILES,
    BLOCK_ELEMENTS,
    PackedWeight,
    padded_k,
    quantize_rows,
    silu_mul,
    silu_mul_quantize,
)
from kernels.routing import BLOCK_MS, Routing, align_experts
from kernels.target import Target, launch, target_of
from kernels.tuning import Plan, Problem, Tile, plan_for

VARIANTS = ("hoisted", "in_loop")
Rows = tuple[torch.Tensor, torch.Tensor | None]
"""INT8 rows and their scales, or bf16 rows and None."""
SUM_COLS = 1024
"""Columns of one program of the weighted sum."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What all launches of one call share."""

    target: Target
    plan: Plan
    topk_ids: torch.Tensor
    act_tile: int
    variant: str
    experts: int
    routing: Routing | None

    @property
    def blocks(self) -> int:
        return self.topk_ids.numel() if self.routing is None else self.routing.expert.numel()

    @property
    def table(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Slots, and expert, start and count of each block; not sorted, the ids are all there is to know."""
        if self.routing is None:
            return self.topk_ids, self.topk_ids, self.topk_ids, self.topk_ids
        return self.routing.slots, self.routing.expert, self.routing.start, self.routing.count


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
) -> torch.Tensor:
    """Σ over a token's experts of weight · w2 · (silu(gate) · up), where [gate, up] = w1 · x.

    Activations are quantized to INT8 with one scale per row per `act_tile` columns, before both GEMMs; the
    products are exact integers within a tile, sums over tiles and experts are fp32. Few tokens (decode) are
    not sorted: each slot is a block. Nothing synchronizes with the host: a call captures into a CUDA graph.

    Args:
        x: bf16 [tokens, hidden], contiguous.
        w1: packed [experts, 2 · inter, hidden]; gate rows, then up rows.
        w2: packed [experts, hidden, inter], of the same group.
        topk_weights: fp32 [tokens, top_k], contiguous.
        topk_ids: int64 [tokens, top_k], contiguous; ids outside [0, experts) contribute nothing.
        act_tile: 128, or 32 as in llama.cpp (more accurate, slower).
        variant: "hoisted" quantizes rows once, in launches of their own (where every block holds one slot:
            in the first GEMM); "in_loop" quantizes each tile in the GEMMs' K-loops, the baseline.
        plan: how to cut the work; default: from the table of this GPU.

    Returns:
        bf16 [tokens, hidden]. With activation tiles of 32 the relative RMS error against fp32 on the
        dequantized weights is about 1.2 %, with 128 about 1.6 %.

    Raises:
        TypeError: a tensor's dtype.
        ValueError: shapes, devices, groups or options that do not fit, by name.
    """
    problem = _checked(x, w1, w2, topk_weights, topk_ids, act_tile, variant)
    out = torch.empty_like(x)
    if not problem.m:
        return out
    target = target_of(x.device)
    plan = plan_for(target, problem) if plan is None else plan
    require_choice("plan.block_m", plan.block_m, BLOCK_MS)
    routing = align_experts(topk_ids, problem.experts, plan.block_m) if plan.sorted else None
    job = _Job(target, plan, topk_ids, act_tile, variant, problem.experts, routing)
    hidden = _grouped_gemm(job, "gemm1", _tokens(job, x, w1), w1)
    y = _grouped_gemm(job, "gemm2", _activated(job, hidden, w2), w2)
    _weighted_sum(job, y, topk_weights, out)
    return out


def _tokens(job: _Job, x: torch.Tensor, weight: PackedWeight) -> Rows:
    """The first GEMM's rows: tokens quantized once, with their scales once for each slot, in their order."""
    # A row that only one block reads is quantized there; hoisting it would cost a launch.
    if job.variant == "in_loop" or job.routing is None:
        return x, None
    width = padded_k(weight.shape[2], weight.group)
    return quantize_rows(x, job.act_tile, width, places=job.routing.places, spare=job.plan.block_m)


def _activated(job: _Job, hidden: torch.Tensor, weight: PackedWeight) -> Rows:
    """The second GEMM's rows, with a block to spare."""
    if job.variant == "in_loop":
        return silu_mul(hidden, spare=job.plan.block_m), None
    width = padded_k(weight.shape[2], weight.group)
    return silu_mul_quantize(hidden, job.act_tile, width, spare=job.plan.block_m)


def _grouped_gemm(job: _Job, name: str, rows: Rows, weight: PackedWeight) -> torch.Tensor:
    """bf16 [slots, N]: each slot's row times its expert's weights."""
    x, scales = rows
    _, n, k = weight.shape
    out = x.new_empty(job.topk_ids.numel(), n, dtype=torch.bfloat16)
    tile: Tile = getattr(job.plan, name)
    launch(
        getattr(device_code, f"_{name}"),
        (job.blocks * -(-n // tile.block_n),),
        x.device,
        x,
        x if scales is None else scales,
        weight.packed,
        weight.scales,
        out,
        *job.table,
        EXPERTS=job.experts,
        N=n,
        K=k,
        K_PADDED=padded_k(k, weight.group),
        TOP_K=job.topk_ids.shape[1],
        XS_STRIDE=0 if scales is None else scales.shape[1],
        GROUP=weight.group,
        ACT_TILE=job.act_tile,
        HOISTED=scales is not None,
        SORTED=job.routing is not None,
        BLOCK_M=job.plan.block_m,
        BLOCK_N=tile.block_n,
        PTX=job.target.inline_ptx,
        FLOAT_DOT=job.target.backend == "cpu",
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return out


def _weighted_sum(job: _Job, y: torch.Tensor, topk_weights: torch.Tensor, out: torch.Tensor) -> None:
    tokens, hidden = out.shape
    rows = max(1, BLOCK_ELEMENTS // SUM_COLS)
    launch(
        device_code._weighted_sum,
        (-(-tokens // rows), -(-hidden // SUM_COLS)),
        out.device,
        y,
        topk_weights,
        job.topk_ids,
        out,
        tokens,
        HIDDEN=hidden,
        TOP_K=job.topk_ids.shape[1],
        EXPERTS=job.experts,
        BLOCK_ROWS=rows,
        BLOCK_COLS=SUM_COLS,
    )


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
    require_tensor("x", x, torch.bfloat16, 2)
    for name, weight in (("w1", w1), ("w2", w2)):
        if not isinstance(weight, PackedWeight):
            raise TypeError(f"{name} is a {type(weight).__name__}; it must be a PackedWeight: see pack_int4")
        if weight.packed.device != x.device:
            raise ValueError(f"{name} is on {weight.packed.device}, x on {x.device}")
    if w1.group != w2.group:
        raise ValueError(f"w1 has group {w1.group}, w2 {w2.group}; they must be the same")
    tokens, hidden = x.shape
    experts, inter = w1.shape[0], w2.shape[2]
    require_shape("w1.shape", w1.shape, (experts, 2 * inter, hidden))
    require_shape("w2.shape", w2.shape, (experts, hidden, inter))
    require_tensor("topk_ids", topk_ids, torch.int64, 2, x.device)
    require_tensor("topk_weights", topk_weights, torch.float32, 2, x.device)
    top_k = topk_ids.shape[1]
    require_shape("topk_ids", topk_ids.shape, (tokens, top_k))
    require_shape("topk_weights", topk_weights.shape, (tokens, top_k))
    if not top_k:
        raise ValueError("topk_ids has no columns: every token needs an expert")
    return Problem(tokens, hidden, inter, experts, top_k, w1.group, act_tile, variant)
