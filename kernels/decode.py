"""The two launches of a mixture of experts for a few tokens: nothing is sorted, every slot reads its expert.

A token's row meets few others at an expert, so there is nothing for a matrix unit to share: the products
are sums of four bytes (`dp4a`), and the weights go straight from memory to registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from kernels import _decode as device_code
from kernels.checks import (
    require_choice,
    require_count,
    require_power_of_two,
    require_shape,
    require_sizes,
    require_tensor,
    require_type,
)
from kernels.quantize import ACT_TILES, PackedWeight
from kernels.target import launch, overlap, target_of

MOST_WARPS = 32


@dataclass(frozen=True, slots=True)
class DecodeTile:
    """How one product is cut.

    Attributes:
        rows: weight rows of a program (of gate and as many of up), a power of two.
        tiles: tiles of 128 weights along K that a program holds at a time, a power of two.
        warps: warps of a program.
        lanes: rows that the threads of a warp hold side by side, at most 8 and at most `rows`; the other
            rows are in registers, the rest of the warp holds tiles.
        registers: most registers of a thread (CUDA only); None: the compiler's choice.
    """

    rows: int
    tiles: int
    warps: int
    lanes: int = 8
    registers: int | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "tiles", "warps"):
            require_power_of_two(name, getattr(self, name))
        require_choice("lanes", self.lanes, [lanes for lanes in (1, 2, 4, 8) if lanes <= self.rows])
        if self.warps > MOST_WARPS:
            raise ValueError(f"warps is {self.warps}; a program has at most {MOST_WARPS}")
        if self.registers is not None:
            require_count("registers", self.registers)


def decode_gate_up(
    x: torch.Tensor, w1: PackedWeight, topk_ids: torch.Tensor, *, act_tile: int, tile: DecodeTile
) -> torch.Tensor:
    """silu(gate) · up of every slot, [gate, up] = w1[expert] · x, with x quantized to INT8 inside.

    Args:
        x: bf16 [tokens, hidden], contiguous.
        w1: packed [experts, 2 · inter, hidden]; gate rows, then up rows.
        topk_ids: int64 [tokens, top_k], contiguous.
        act_tile: columns of x that share a scale: 32 or 128.
        tile: how to cut the work.

    Returns:
        bf16 [tokens · top_k, inter]; rows of slots whose id is outside [0, experts) are undefined.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_choice("act_tile", act_tile, ACT_TILES)
    tokens, top_k = _checked({"x": x, "w1": w1}, topk_ids, tile)
    experts, rows, hidden = w1.shape
    require_shape("x", x.shape, (tokens, hidden))
    if rows % 2:
        raise ValueError(f"w1 has {rows} rows; gate and up need an even number")
    inter = rows // 2
    act = x.new_empty(tokens * top_k, inter)
    if act.numel():
        sizes = {"EXPERTS": experts, "INTER": inter, "K": hidden, "TOP_K": top_k, "ACT_TILE": act_tile}
        arguments = (x, words(w1), w1.scales, topk_ids, act)
        grid = (tokens * top_k * -(-inter // tile.rows),)
        launch(device_code._gate_up, grid, x.device, *arguments, **sizes, **meta(x, w1, tile))
    return act


def decode_down(
    act: torch.Tensor,
    w2: PackedWeight,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    out: torch.Tensor,
    *,
    tile: DecodeTile,
) -> None:
    """out[token] = Σ over its slots of weight · w2[expert] · act[slot], summed in registers.

    `act` has to come from `decode_gate_up`, launched just before: weights, ids and router weights are read
    while that still runs (it has itself waited for whatever made them).

    Args:
        act: bf16 [tokens · top_k, inter], contiguous; quantized to INT8 inside, with a scale for each 16
            columns whatever `act_tile` the first product has: most of the error is made here, and a single
            token has no others to be averaged with.
        w2: packed [experts, hidden, inter].
        topk_weights: fp32 [tokens, top_k], contiguous.
        topk_ids: int64 [tokens, top_k], contiguous; ids outside [0, experts) contribute nothing.
        out: bf16 [tokens, hidden], contiguous: the result.
        tile: how to cut the work.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    tokens, top_k = _checked({"act": act, "w2": w2}, topk_ids, tile)
    experts, hidden, inter = w2.shape
    require_shape("act", act.shape, (tokens * top_k, inter))
    require_tensor("topk_weights", topk_weights, torch.float32, 2, act.device)
    require_shape("topk_weights", topk_weights.shape, topk_ids.shape)
    require_tensor("out", out, torch.bfloat16, 2, act.device)
    require_shape("out", out.shape, (tokens, hidden))
    if out.numel():
        sizes = {"EXPERTS": experts, "N": hidden, "K": inter, "TOP_K": top_k}
        arguments = (act, words(w2), w2.scales, topk_weights, topk_ids, out)
        grid = (tokens * -(-hidden // tile.rows),)
        launch(device_code._down, grid, act.device, *arguments, **sizes, **meta(act, w2, tile))


def words(weight: PackedWeight) -> torch.Tensor:
    """Packed weights as int32 words."""
    return weight.packed.view(torch.int32)


def meta(x: torch.Tensor, weight: PackedWeight, tile: DecodeTile) -> dict[str, object]:
    """What all kernels of few rows are compiled for beyond the shape."""
    target = target_of(x.device)
    return {
        "K_PADDED": weight.packed.shape[1] * 128,
        "GROUP": weight.group,
        "ROWS": tile.rows,
        "LANES": tile.lanes,
        "TILES": tile.tiles,
        "PTX": target.inline_ptx,
        "num_warps": tile.warps,
        **overlap(target),
        **({"maxnreg": tile.registers} if tile.registers and target.backend == "cuda" else {}),
    }


def _checked(operands: Mapping[str, Any], topk_ids: torch.Tensor, tile: DecodeTile) -> tuple[int, int]:
    """(tokens, top_k). `operands`: rows and packed weights, by their names."""
    (name, rows), (weight_name, weight) = operands.items()
    require_type("tile", tile, DecodeTile)
    require_type(weight_name, weight, PackedWeight, ": see pack_int4")
    require_sizes(f"{weight_name}.shape", weight.shape)
    require_tensor(name, rows, torch.bfloat16, 2, weight.packed.device)
    require_tensor("topk_ids", topk_ids, torch.int64, 2, rows.device)
    return topk_ids.shape[0], topk_ids.shape[1]
