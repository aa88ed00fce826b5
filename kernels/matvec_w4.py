"""A dense INT4 matrix times one row of INT8 activations, or a few: decode outside the experts."""

from __future__ import annotations

from typing import Any

import torch

from kernels import _matvec_w4 as portable
from kernels import ring
from kernels.checks import require_choice, require_shape, require_sizes, require_tensor, require_type
from kernels.decode import DecodeTile, meta, words
from kernels.quantize import ACT_TILES, TILE, PackedWeight, power_of_two
from kernels.target import launch, overlap, target_of

MANY_ROWS = 4096
"""From so many rows on programs of 16 or 32 rows are faster than of 8 or 4 (measured on an H200)."""
FEW_WARPS = 4
REGISTERS = 64
"""Of a thread, so that programs of two launches fit on a multiprocessor at once."""
HOPPER_ROWS = 32
"""Rows of a program of `_matvec_hopper`: with K of 2048 its threads hold 64 words each, of 128 registers."""
HOPPER_REGISTERS = 128
MANY_BYTES = 4 << 31
"""So many have more words of four than 32 bits count."""


def matvec_w4(
    x: torch.Tensor,
    weight: PackedWeight,
    *,
    act_tile: int = 128,
    tile: DecodeTile | None = None,
) -> torch.Tensor:
    """weight · x for each row of x, quantized to INT8 inside; exact integers within a tile, fp32 sums.

    One launch. Where the GPU can (compute capability 9 and up) it starts while launches before still run, and
    loads weights: they must be older than the last launch that is none of this function. After packing
    weights on the GPU, synchronize once.

    Args:
        x: bf16 [tokens, K], contiguous. Every token reads the weights again, from the cache at best.
        weight: packed [1, N, K].
        act_tile: columns of x that share a scale: 32 or 128.
        tile: how to cut the work; its tiles cover K. Default: by shape.

    Returns:
        bf16 [tokens, N]. Relative RMS error against fp32 on the dequantized weights: 0.56 % with activation
        tiles of 32, 0.68 % with 128, at K = 2048.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_choice("act_tile", act_tile, ACT_TILES)
    require_type("weight", weight, PackedWeight, ": see pack_int4")
    require_sizes("weight.shape", weight.shape)
    require_tensor("x", x, torch.bfloat16, 2, weight.packed.device)
    experts, rows, k = weight.shape
    if experts != 1:
        raise ValueError(f"weight has {experts} experts; a dense weight has 1")
    require_shape("x", x.shape, (x.shape[0], k))
    if tile is not None:
        require_type("tile", tile, DecodeTile)
    y = x.new_empty(x.shape[0], rows)
    if not y.numel():
        return y
    k_tiles = weight.packed.shape[1]
    hopper = _fits_hopper(weight)
    tile = default_tile(rows, k_tiles, weight.group, hopper=hopper) if tile is None else tile
    arguments = (x, words(weight), weight.scales, y, x.shape[0])
    if tile.tiles < k_tiles:
        raise ValueError(f"tile.tiles is {tile.tiles}; it must cover the {k_tiles} tiles of K")
    grid = (-(-rows // tile.rows) * x.shape[0],)
    kernel, options = portable._matvec, {"ACT_TILE": act_tile, **meta(x, weight, tile)}
    if hopper and tile.lanes == 8 and tile.tiles >= tile.warps:
        kernel, options = _hopper(), _hopper_meta(x, weight, act_tile, tile)
    launch(kernel, grid, x.device, *arguments, N=rows, K=k, **options)
    return y


def _fits_hopper(weight: PackedWeight) -> bool:
    """Whether `_matvec_hopper` can: on its GPU, and it counts the weight's words in 32 bits."""
    place = weight.packed.device
    return place.type != "cpu" and weight.packed.numel() < MANY_BYTES and ring.supported(target_of(place))


def _hopper() -> Any:
    # Gluon is imported where it is used: the interpreter and other GPUs do without.
    from kernels import _matvec_hopper

    return _matvec_hopper._matvec


def _hopper_meta(x: torch.Tensor, weight: PackedWeight, act_tile: int, tile: DecodeTile) -> dict[str, object]:
    return {
        "K_PADDED": weight.packed.shape[1] * TILE,
        "GROUP": weight.group,
        "ACT_TILE": act_tile,
        "ROWS": tile.rows,
        "TILES": tile.tiles,
        "WARPS": tile.warps,
        "num_warps": tile.warps,
        **overlap(target_of(x.device)),
        **({"maxnreg": tile.registers} if tile.registers else {}),
    }


def default_tile(rows: int, k_tiles: int, group: int, *, hopper: bool = False) -> DecodeTile:
    """Few rows: programs enough for all multiprocessors. Many: all loads of a program at once.

    On Hopper what counts is how soon the programs of the next launch have their loads under way: the largest
    that leave room for those.
    """
    tiles = power_of_two(k_tiles)
    if hopper and tiles >= FEW_WARPS:
        warps = min(16, max(FEW_WARPS, tiles // 4))
        return DecodeTile(min(HOPPER_ROWS, 128 * warps // tiles), tiles, warps, 8, HOPPER_REGISTERS)
    warps = min(16, max(FEW_WARPS, tiles // 4))
    # Rows whose weights are 32 words of each thread: a long K leaves room for fewer.
    room = 64 * warps // tiles
    if rows < MANY_ROWS:
        return _tile(min(8, room), tiles, warps)
    if group < TILE:
        # More scales: a limit of registers would spill.
        return _tile(min(32, 2 * room if warps == FEW_WARPS else room), tiles, warps)
    return _tile(min(16, room), tiles, warps, REGISTERS if room >= 8 else None)


def _tile(rows: int, tiles: int, warps: int, registers: int | None = None) -> DecodeTile:
    return DecodeTile(rows, tiles, warps, min(8, rows), registers)
