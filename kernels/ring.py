"""The grouped W4A8 GEMM of Hopper (sm_90): host side of `_ring`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from kernels.checks import require_choice, require_count
from kernels.integer import IntegerWeight
from kernels.quantize import TILE, PackedWeight, padded_k
from kernels.routing import Routing
from kernels.target import Target, launch, multiprocessors, overlap, target_of

ARCH = "90"
"""Warp-group matrix instructions with a register operand are Hopper's alone."""
ROWS = 256
"""Weight rows of a tile: 64 for each of four warp groups."""
MOST_ROWS = 64
"""Rows of a block that are copied and stored at a time."""
OWN_TILE = 32
"""Columns of a gated result that one warp group holds: it quantizes them if they are an activation tile."""
ALIGNMENT = 16
"""Of what TMA copies, in bytes."""
MOST_GATHERED = 2**31
"""Elements of tokens that are gathered."""
SHARED_BYTES = 227 * 1024
"""What a program of this architecture may hold."""


@dataclass(frozen=True, slots=True)
class RingTile:
    """How the GEMM is cut.

    Attributes:
        stages: K-tiles (128 weights) that the ring holds at most; fewer where there is no room.
        warp_groups: 4 of 64 weight rows each, or 2 of 128, which share more and hide less. Always 2 for
            blocks of 64 rows with groups or activation tiles below 128: four would not have the registers.
            Always 4 for values and in the integer mode.
    """

    stages: int
    warp_groups: int = 4

    def __post_init__(self) -> None:
        require_choice("warp_groups", self.warp_groups, (2, 4))
        require_count("stages", self.stages, 2)


def supported(target: Target) -> bool:
    """Whether `grouped_gemm` compiles for `target`."""
    return target.backend == "cuda" and target.arch == ARCH


def fits(hidden: int, inter: int) -> bool:
    """Whether the copies are aligned and the K-loops longer than a step: so they are in every real model."""
    return hidden % 8 == 0 and inter % 8 == 0 and min(hidden, inter) > TILE


def gathers(tokens: int, hidden: int) -> bool:
    """Whether so many tokens can be gathered, as `value_gemm` does: their elements are counted in 32 bits."""
    return tokens * padded_k(hidden) <= MOST_GATHERED


def most_stages(block_m: int, group: int, act_tile: int | None, *, gated: bool) -> int:
    """The longest ring that has room, at most 8. `act_tile`: of codes; None: rows are values."""
    rows = block_m * TILE * (2 if act_tile is None else 1)
    row_scales = 0 if act_tile is None else TILE // act_tile * max(block_m, 32) * 4
    stage = ROWS * TILE // 2 + rows + TILE // group * ROWS * 2 + row_scales + 16
    out = 4 * block_m * (32 if gated else 64) * 2
    return min(8, (SHARED_BYTES - out - 1024) // stage)


def grouped_gemm(
    codes: torch.Tensor,
    scales: torch.Tensor,
    weight: PackedWeight,
    routing: Routing,
    act_tile: int,
    tile: RingTile,
    *,
    gated: bool,
) -> torch.Tensor:
    """Each row times its expert's weights, by INT8 tensor cores.

    Args:
        codes: int8 [rows, K_padded], contiguous; rows as `routing` has them.
        scales: fp32 [K_padded / act_tile, rows].
        weight: packed [experts, N, K].
        gated: the rows of `weight` are gate, then up, and the result is silu(gate) · up. N / 2 must be a
            multiple of 8.

    Returns:
        bf16 [rows, N], or [rows, N / 2] if gated. Rows that hold no slot are undefined.
    """
    stages = min(tile.stages, most_stages(routing.block_m, weight.group, act_tile, gated=gated))
    crowded = routing.block_m == 64 and min(weight.group, act_tile) < TILE
    sizes = {
        "W_SCALES": TILE // weight.group,
        "X_SCALES": TILE // act_tile,
        "STAGES": stages,
        "WARP_GROUPS": 2 if crowded else tile.warp_groups,
    }
    return _launch(codes, scales, weight.packed, weight.scales, None, routing, gated, sizes)


def value_gemm(
    values: torch.Tensor,
    weight: PackedWeight,
    routing: Routing,
    tile: RingTile,
    *,
    gated: bool,
    top_k: int = 0,
    quantized: bool = False,
) -> torch.Tensor:
    """Each row times its expert's weights, by bf16 tensor cores: half their rate, and nothing to scale.

    Args:
        values: bf16 [rows, K_padded], contiguous, as `quantized_values` makes them.
        quantized: return such values of the result, with an activation tile of 32: for the next GEMM. Only
            with `gated`.
        weight, routing, gated: as of `grouped_gemm`.
        top_k: slots of a token: `values` are of tokens, and gathered. 0: in the order of the routing.

    Returns:
        bf16 [rows, N], or [rows, N / 2] if gated; quantized: K_padded of the next GEMM wide.

    Raises:
        ValueError: more tokens than can be gathered.
    """
    if top_k and not gathers(*values.shape):
        raise ValueError(
            f"values has shape {tuple(values.shape)}; at most {MOST_GATHERED} elements can be gathered: "
            "take path 'ring'"
        )
    stages = min(tile.stages, most_stages(routing.block_m, weight.group, None, gated=gated))
    sizes = {"W_SCALES": TILE // weight.group, "X_SCALES": 0, "STAGES": stages, "WARP_GROUPS": 4}
    scales = values.new_empty(4, dtype=torch.float32)
    tensors = (values, scales, weight.packed, weight.scales, None)
    return _launch(*tensors, routing, gated, sizes, top_k=top_k, quantized=quantized)


def integer_gemm(
    codes: torch.Tensor,
    scales: torch.Tensor,
    weight: IntegerWeight,
    routing: Routing,
    tile: RingTile,
    *,
    gated: bool,
) -> torch.Tensor:
    """`grouped_gemm` with integer multipliers of groups: the K-loop in INT32. `scales`: fp32 [1, rows].

    Of blocks of 128 rows those that hold no more than 64 cost no more than blocks of 64.
    """
    stages = min(tile.stages, most_stages(routing.block_m, TILE, TILE, gated=gated))
    sizes = {"W_SCALES": 1, "X_SCALES": 0, "STAGES": stages, "WARP_GROUPS": 4}
    tensors = (weight.packed, weight.multipliers, weight.row_scales)
    return _launch(codes, scales, *tensors, routing, gated, sizes)


def _launch(
    codes: torch.Tensor,
    scales: torch.Tensor,
    packed: torch.Tensor,
    group_scales: torch.Tensor,
    row_scales: torch.Tensor | None,
    routing: Routing,
    gated: bool,
    sizes: Mapping[str, int],
    *,
    top_k: int = 0,
    quantized: bool = False,
) -> torch.Tensor:
    n, k_tiles = packed.shape[2], packed.shape[1]
    rows, width = routing.slots.shape[0], n // 2 if gated else n
    out = codes.new_empty(rows, padded_k(width) if quantized else width, dtype=torch.bfloat16)
    launch(
        _device_code()._grouped,
        (multiprocessors(codes.device),),
        codes.device,
        *_descriptors(codes, scales, packed, group_scales, out, routing.block_m, gated),
        routing.expert,
        routing.first,
        routing.of_expert,
        routing.live,
        routing.next,
        routing.count,
        scales if row_scales is None else row_scales,
        scales,
        codes,
        routing.slots,
        rows,
        N=n,
        N_TILES=-(-width // (ROWS // 2 if gated else ROWS)),
        K_TILES=k_tiles,
        BLOCK_M=routing.block_m,
        GATED=gated,
        TOP_K=top_k,
        QUANTIZED=quantized,
        num_warps=4,
        **sizes,
        **overlap(target_of(codes.device)),
    )
    return out


def _device_code() -> Any:
    # Gluon is imported where it is used: the interpreter and other GPUs do without.
    from kernels import _ring

    return _ring


def _descriptors(
    codes: torch.Tensor,
    scales: torch.Tensor,
    packed: torch.Tensor,
    group_scales: torch.Tensor,
    out: torch.Tensor,
    block_m: int,
    gated: bool,
) -> tuple[Any, ...]:
    """How each operand is copied: weights, their scales, rows, their scales, and the result."""
    from triton.experimental.gluon.language import NVMMASharedLayout
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

    for name, tensor in (("weight.packed", packed), ("weight's scales", group_scales)):
        if tensor.data_ptr() % ALIGNMENT:
            raise ValueError(f"{name} begin at no multiple of {ALIGNMENT} bytes: call .clone() on the tensor")
    n = packed.shape[2]
    tiles, groups = packed.shape[0] * packed.shape[1], group_scales.shape[0] * group_scales.shape[1]
    if gated:
        # Gate and up in turns of 8 rows: chunk, which of both, row, byte.
        sizes, strides = [tiles, n // 16, 2, 8, 64], [n * 64, 8 * 64, n // 2 * 64, 64, 1]
        w = TensorDescriptor(packed, sizes, strides, [1, 16, 2, 8, 64], NVMMASharedLayout(64, 8, 5))
        sizes, strides = [groups, n // 16, 2, 8], [n, 8, n // 2, 1]
        ws = TensorDescriptor(group_scales, sizes, strides, [1, 16, 2, 8], NVMMASharedLayout(0, 16, 4))
    else:
        w = TensorDescriptor(packed, [tiles * n, 64], [64, 1], [ROWS, 64], NVMMASharedLayout(64, 8, 2))
        ws = TensorDescriptor(group_scales, [groups * n], [1], [ROWS], NVMMASharedLayout(0, 16, 1))
    bits, some = 8 * codes.element_size(), min(block_m, MOST_ROWS)
    x = TensorDescriptor.from_tensor(codes, [some, TILE], NVMMASharedLayout(128, bits, 2))
    # Where a copy lands is a multiple of 128 bytes.
    xs = TensorDescriptor.from_tensor(scales.view(-1), [max(block_m, 32)], NVMMASharedLayout(0, 32, 1))
    cols = 32 if gated else 64
    result = TensorDescriptor.from_tensor(out, [some, cols], NVMMASharedLayout(2 * cols, 16, 2))
    return w, ws, x, xs, result
