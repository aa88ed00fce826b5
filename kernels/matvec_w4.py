"""A dense INT4 matrix times one row of INT8 activations, or a few: decode outside the experts."""

from __future__ import annotations

import torch

from kernels import _matvec_w4 as device_code
from kernels.checks import require_choice, require_shape, require_tensor
from kernels.decode import DecodeTile, meta, words
from kernels.quantize import ACT_TILES, PackedWeight
from kernels.target import launch

MANY_ROWS = 8192
"""From so many rows on, programs of 32 rows: two for each of about 130 multiprocessors."""


def matvec_w4(
    x: torch.Tensor,
    weight: PackedWeight,
    *,
    act_tile: int = 128,
    tile: DecodeTile | None = None,
    blocks: int | None = None,
) -> torch.Tensor:
    """weight · x for each row of x, quantized to INT8 inside; exact integers within a tile, fp32 sums.

    One launch. Where the GPU can (compute capability 9 and up) it starts while the launch before still runs,
    and loads weights: they must not be that launch's output.

    Args:
        x: bf16 [tokens, K], contiguous. Every token reads the weights again, from the cache at best.
        weight: packed [1, N, K].
        act_tile: columns of x that share a scale: 32 or 128.
        tile: how to cut the work; its tiles cover K. Default: by shape.
        blocks: blocks of `tile.rows` rows that a program goes through. Default: by shape.

    Returns:
        bf16 [tokens, N]. Relative RMS error against fp32 on the dequantized weights: about 0.6 % with
        activation tiles of 32, 0.9 % with 128.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_choice("act_tile", act_tile, ACT_TILES)
    require_tensor("x", x, torch.bfloat16, 2, weight.packed.device)
    experts, rows, k = weight.shape
    if experts != 1:
        raise ValueError(f"weight has {experts} experts; a dense weight has 1")
    require_shape("x", x.shape, (x.shape[0], k))
    y = x.new_empty(x.shape[0], rows)
    if not y.numel():
        return y
    k_tiles = weight.packed.shape[1]
    chosen, default_blocks = default_tile(rows, k_tiles)
    tile = chosen if tile is None else tile
    blocks = default_blocks if blocks is None else blocks
    if tile.tiles < k_tiles:
        raise ValueError(f"tile.tiles is {tile.tiles}; it must cover the {k_tiles} tiles of K")
    programs = -(-rows // (tile.rows * blocks))
    arguments = (x, words(weight), weight.scales, y, x.shape[0])
    sizes = {"N": rows, "K": k, "BLOCKS": blocks}
    grid = (programs * x.shape[0],)
    launch(device_code._matvec, grid, x.device, *arguments, **sizes, **meta(x, weight, act_tile, tile))
    return y


def default_tile(rows: int, k_tiles: int) -> tuple[DecodeTile, int]:
    """Tile and blocks for N = `rows`: programs enough for all multiprocessors, then all loads at once."""
    tiles = 1 << (k_tiles - 1).bit_length()
    return DecodeTile(8 if rows < MANY_ROWS else 32, tiles, min(16, max(4, tiles // 4))), 1
