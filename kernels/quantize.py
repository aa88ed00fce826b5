"""INT4 weights and INT8 activations: packing, and the ops that quantize rows.

Source: pytorch/executorch pull request 19209 (the hoisted activation quantization); the layout is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels import _quantize as device_code
from kernels.checks import require_choice, require_shape, require_tensor
from kernels.target import INTERPRETED, launch

GROUPS = (32, 64, 128)
"""Weights along K that share one scale."""
ACT_TILES = (32, 128)
"""Activations along K that share one scale: 32 is llama.cpp's block, 128 is faster."""
BLOCK_ELEMENTS = 1 << 16 if INTERPRETED else 1024
"""Of one program of the row kernels: 8 values for each of 128 threads. The interpreter pays by program."""


@dataclass(frozen=True)
class PackedWeight:
    """INT4 weights of all experts, packed for a kernel that computes outᵀ = W · xᵀ.

    K is cut into tiles of max(64, group). Byte j of a row's tile holds the weights at j (low nibble) and
    half a tile later (high nibble), in two's complement: two dots on two halves, nothing to interleave.
    Tiles are outermost, so that a block of rows of one tile is contiguous.

    Attributes:
        packed: uint8 [experts, K_padded / tile, N, tile / 2].
        scales: bf16 [experts, K_padded / group, N]; weight = nibble · scale.
        group: weights along K that share a scale.
        shape: (experts, N, K) of the weights; K_padded is K rounded up to a tile.
    """

    packed: torch.Tensor
    scales: torch.Tensor
    group: int
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        require_choice("group", self.group, GROUPS)
        experts, rows, k = self.shape
        if k % self.group:
            raise ValueError(f"K is {k}; it must be a multiple of the group, {self.group}")
        require_tensor("packed", self.packed, torch.uint8, 4)
        require_tensor("scales", self.scales, torch.bfloat16, 3, self.packed.device)
        tile, padded = weight_tile(self.group), padded_k(k, self.group)
        require_shape("packed", self.packed.shape, (experts, padded // tile, rows, tile // 2))
        require_shape("scales", self.scales.shape, (experts, padded // self.group, rows))

    @property
    def bytes(self) -> int:
        """Bytes of one expert, scales included."""
        tensors = (self.packed, self.scales)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) // self.shape[0]


def weight_tile(group: int) -> int:
    """Weights along K in one packed tile: a half has to fill an INT8 dot, which takes 32."""
    return max(64, group)


def padded_k(k: int, group: int) -> int:
    """K rounded up to a whole packed tile."""
    tile = weight_tile(group)
    return -(-k // tile) * tile


def pack_int4(weight: torch.Tensor, group: int) -> PackedWeight:
    """Quantize and pack weights, symmetric, one bf16 scale per group.

    Args:
        weight: floating point [experts, N, K].
        group: 32, 64 or 128; divides K.

    Raises:
        TypeError: `weight` is no floating-point tensor.
        ValueError: wrong rank, group, or K that is no multiple of it.
    """
    if not isinstance(weight, torch.Tensor) or not weight.is_floating_point():
        raise TypeError(f"weight is {getattr(weight, 'dtype', type(weight))}; it must be floating point")
    if weight.dim() != 3:
        raise ValueError(f"weight has shape {tuple(weight.shape)}; it must be [experts, N, K]")
    require_choice("group", group, GROUPS)
    experts, rows, k = weight.shape
    if k % group:
        raise ValueError(f"K is {k}; it must be a multiple of the group, {group}")
    groups = weight.float().view(experts, rows, k // group, group)
    # Rounded to bf16 first: the codes then answer to the scale that is stored.
    scales = (groups.abs().amax(-1) / 7).bfloat16()
    divisor = torch.where(scales == 0, 1, scales.float()).unsqueeze(-1)
    codes = (groups / divisor).round().clamp(-8, 7).to(torch.int8).view(experts, rows, k)
    padding = padded_k(k, group) - k
    codes = torch.nn.functional.pad(codes, (0, padding))
    scales = torch.nn.functional.pad(scales, (0, padding // group))
    return PackedWeight(
        pack_codes(codes, group), scales.transpose(1, 2).contiguous(), group, (experts, rows, k)
    )


def pack_codes(codes: torch.Tensor, group: int) -> torch.Tensor:
    """int8 codes in [-8, 7], [experts, N, K_padded], as uint8 [experts, K_padded / tile, N, tile / 2]."""
    tile = weight_tile(group)
    experts, rows, k = codes.shape
    low, high = codes.view(torch.uint8).view(experts, rows, k // tile, 2, tile // 2).unbind(3)
    return ((low & 0xF) | (high << 4)).transpose(1, 2).contiguous()


def unpack_int4(weight: PackedWeight, experts: torch.Tensor | slice = slice(None)) -> torch.Tensor:
    """Dequantized weights, fp32 [experts, N, K], of all experts or of the chosen ones. Plain torch."""
    _, rows, k = weight.shape
    packed, scales = weight.packed[experts], weight.scales[experts].float().transpose(1, 2)
    both = torch.stack((packed & 0xF, packed >> 4), dim=3)
    codes = both.transpose(1, 2).reshape(packed.shape[0], rows, -1)
    signed = ((codes.float() + 8) % 16 - 8).view(packed.shape[0], rows, -1, weight.group)
    return (signed * scales.unsqueeze(-1)).view(packed.shape[0], rows, -1)[..., :k].contiguous()


def random_weight(experts: int, rows: int, k: int, group: int) -> PackedWeight:
    """Random codes and scales on torch's default device, drawn from its generator; the values vary like 1/√K.

    Drawn packed: quantizing 256 experts of a real model would take longer than measuring them.
    """
    tile, padded = weight_tile(group), padded_k(k, group)
    packed = torch.randint(0, 256, (experts, padded // tile, rows, tile // 2), dtype=torch.uint8)
    # 4.6 is the deviation of a uniform nibble.
    scales = (torch.rand(experts, padded // group, rows) + 0.5) / (4.6 * k**0.5)
    return PackedWeight(packed, scales.bfloat16(), group, (experts, rows, k))


def quantize_rows(
    x: torch.Tensor,
    act_tile: int,
    padded: int | None = None,
    *,
    places: torch.Tensor | None = None,
    spare: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """INT8 rows with one fp32 scale per row per tile of `act_tile` columns: x ≈ code · scale.

    Args:
        x: bf16 [rows, K], contiguous.
        act_tile: 32 or 128.
        padded: width of the codes, at least K; the padding is zero. Default: K.
        places: int32 [rows, copies]: the columns of `scales` that get a row's scales (negative: none), for a
            GEMM that reads rows more than once, in another order. Default: row i in column i.
        spare: columns of `scales` beyond the last; their content is undefined.

    Returns:
        codes int8 [rows, padded]; scales fp32 [ceil(padded / act_tile), rows · copies + spare], tile-major,
        since a block of a GEMM reads one tile's scales of many rows. NaN stays NaN, in the scale.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_tensor("x", x, torch.bfloat16, 2)
    rows, k = x.shape
    copies = 0
    if places is not None:
        require_tensor("places", places, torch.int32, 2, x.device)
        copies = places.shape[1]
        require_shape("places", places.shape, (rows, copies))
    codes, scales, grid, sizes = _outputs(x, k, act_tile, padded, rows * max(1, copies) + spare)
    arguments = (x, codes, scales, x if places is None else places, rows)
    launch(device_code._quantize_rows, grid, x.device, *arguments, K=k, COPIES=copies, **sizes)
    return codes, scales


def silu_mul_quantize(
    hidden: torch.Tensor, act_tile: int, padded: int | None = None, *, spare: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """silu(gate) · up, computed in fp32, as INT8 rows with scales.

    Args:
        hidden: bf16 [rows, 2 · inter], contiguous; gate, then up.
        act_tile: 32 or 128.
        padded: width of the codes, at least inter; the padding is zero. Default: inter.
        spare: rows of the codes and columns of the scales beyond the last; their content is undefined.

    Returns:
        As `quantize_rows`, of [rows, inter].

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    inter = _inter_of(hidden)
    rows = hidden.shape[0]
    codes, scales, grid, sizes = _outputs(hidden, inter, act_tile, padded, rows + spare, spare)
    launch(
        device_code._silu_mul_quantize, grid, hidden.device, hidden, codes, scales, rows, INTER=inter, **sizes
    )
    return codes, scales


def silu_mul(hidden: torch.Tensor, *, spare: int = 0) -> torch.Tensor:
    """silu(gate) · up: bf16 [rows, 2 · inter] to bf16 [rows + spare, inter], computed in fp32.

    Arguments and errors as of `silu_mul_quantize`.
    """
    inter = _inter_of(hidden)
    rows = hidden.shape[0]
    out = hidden.new_empty(rows + spare, inter)
    cols = min(1024, _power_of_two(inter))
    block_rows = max(1, BLOCK_ELEMENTS // cols)
    grid = (-(-rows // block_rows), -(-inter // cols))
    sizes = {"INTER": inter, "BLOCK_ROWS": block_rows, "BLOCK_COLS": cols}
    launch(device_code._silu_mul, grid, hidden.device, hidden, out, rows, **sizes)
    return out


def _inter_of(hidden: torch.Tensor) -> int:
    require_tensor("hidden", hidden, torch.bfloat16, 2)
    if hidden.shape[1] % 2:
        raise ValueError(f"hidden has {hidden.shape[1]} columns; gate and up need an even number")
    return hidden.shape[1] // 2


def _outputs(
    x: torch.Tensor, k: int, act_tile: int, padded: int | None, columns: int, spare: int = 0
) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int], dict[str, int]]:
    """Codes, scales, grid and sizes of a kernel over rows of width `k`."""
    require_choice("act_tile", act_tile, ACT_TILES)
    padded = k if padded is None else padded
    if padded < k:
        raise ValueError(f"padded is {padded}; it must be at least the width, {k}")
    tiles = -(-padded // act_tile)
    codes = x.new_empty(x.shape[0] + spare, padded, dtype=torch.int8)
    scales = x.new_empty(tiles, columns, dtype=torch.float32)
    block_tiles = min(BLOCK_ELEMENTS // act_tile, _power_of_two(tiles))
    block_rows = max(1, BLOCK_ELEMENTS // (block_tiles * act_tile))
    grid = (-(-x.shape[0] // block_rows), -(-tiles // block_tiles))
    sizes = {"K_PADDED": padded, "TILES": tiles, "SCALES_STRIDE": columns}
    return (
        codes,
        scales,
        grid,
        sizes | {"TILE": act_tile, "BLOCK_ROWS": block_rows, "BLOCK_TILES": block_tiles},
    )


def _power_of_two(number: int) -> int:
    """The least power of two that is at least `number`."""
    return 1 << max(0, number - 1).bit_length()
