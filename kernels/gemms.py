"""The two grouped GEMMs as ops of their own, on rows that routing and quantization have made."""

from __future__ import annotations

from typing import cast

import torch

from kernels import ring
from kernels.checks import require_choice, require_shape, require_sizes, require_tensor, require_type
from kernels.moe_w4a8 import grouped_gemm, sound
from kernels.quantize import ACT_TILES, PackedWeight, padded_k, silu_mul
from kernels.ring import RingTile
from kernels.routing import Routing
from kernels.tuning import RINGS, Plan, Problem, Tile


def gate_up(
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    w1: PackedWeight,
    routing: Routing,
    act_tile: int,
    *,
    plan: Plan,
) -> torch.Tensor:
    """silu(gate) · up, [gate, up] = w1[expert] · row, for each row that holds a slot.

    Args:
        rows: codes, int8 [rows, hidden_padded], as `route_and_quantize` returns them; for path "ring_bf16"
            values, bf16, as `quantized_values` returns them.
        scales: of codes, fp32 [hidden_padded / act_tile, rows]; None for values.
        w1: packed [experts, 2 · inter, hidden]; gate rows, then up rows.
        routing: whose rows they are. One product at a time: programs share out its tiles by `routing.next`.
        act_tile: 32 or 128.
        plan: of any path but "slots".

    Returns:
        bf16 [rows, inter]; rows that hold no slot are undefined.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    _check(rows, scales, ("w1", w1), routing, act_tile, plan)
    if not rows.numel():
        return rows.new_empty(0, w1.shape[1] // 2, dtype=torch.bfloat16)
    if plan.path != "blocks":
        return _by_ring(rows, scales, w1, routing, act_tile, cast(RingTile, plan.gemm1), gated=True)
    both = grouped_gemm(rows, scales, w1, routing, act_tile, cast(Tile, plan.gemm1))
    return silu_mul(both, counts=routing.count)


def down(
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    w2: PackedWeight,
    routing: Routing,
    act_tile: int,
    *,
    plan: Plan,
) -> torch.Tensor:
    """w2[expert] · row for each row that holds a slot: bf16 [rows, hidden]. Otherwise as `gate_up`."""
    _check(rows, scales, ("w2", w2), routing, act_tile, plan)
    if not rows.numel():
        return rows.new_empty(0, w2.shape[1], dtype=torch.bfloat16)
    if plan.path != "blocks":
        return _by_ring(rows, scales, w2, routing, act_tile, cast(RingTile, plan.gemm2), gated=False)
    return grouped_gemm(rows, scales, w2, routing, act_tile, cast(Tile, plan.gemm2))


def _by_ring(
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    weight: PackedWeight,
    routing: Routing,
    act_tile: int,
    tile: RingTile,
    *,
    gated: bool,
) -> torch.Tensor:
    if scales is None:
        return ring.value_gemm(rows, weight, routing, tile, gated=gated)
    return ring.grouped_gemm(rows, scales, weight, routing, act_tile, tile, gated=gated)


def _check(
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    named: tuple[str, PackedWeight],
    routing: Routing,
    act_tile: int,
    plan: Plan,
) -> None:
    name, weight = named
    require_choice("act_tile", act_tile, ACT_TILES)
    require_type(name, weight, PackedWeight, ": see pack_int4")
    require_sizes(f"{name}.shape", weight.shape)
    require_type("routing", routing, Routing, ": see align_experts")
    device = weight.packed.device
    require_tensor("routing.slots", routing.slots, torch.int32, 1, device)
    experts, n, k = weight.shape
    if name == "w1" and n % 2:
        raise ValueError(f"w1 has {n} rows; gate and up need an even number")
    hidden, inter = (k, n // 2) if name == "w1" else (n, k)
    sound(
        plan,
        Problem(routing.slots.shape[0], hidden, inter, experts, 1, weight.group, act_tile, "hoisted"),
        device,
    )
    require_choice("plan.path", plan.path, ("blocks", *RINGS))
    require_choice("plan.block_m", plan.block_m, (routing.block_m,))
    held, width = routing.slots.shape[0], padded_k(weight.shape[2])
    values = plan.path == "ring_bf16"
    require_tensor("rows", rows, torch.bfloat16 if values else torch.int8, 2, device)
    require_shape("rows", rows.shape, (held, width))
    if values and scales is None:
        return
    if values or scales is None:
        raise ValueError(f"codes need scales and values have none; plan.path is {plan.path!r}")
    require_tensor("scales", scales, torch.float32, 2, device)
    require_shape("scales", scales.shape, (width // act_tile, held))
