"""INT4 weights and INT8 activations: packing, and the ops that quantize rows.

Source: pytorch/executorch pull request 19209 (the hoisted activation quantization); the layout is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels import _quantize as device_code
from kernels.checks import (
    require_choice,
    require_count,
    require_shape,
    require_sizes,
    require_tensor,
    require_weight_shape,
)
from kernels.target import INTERPRETED, launch, overlap, target_of

TILE = 128
"""Weights along K of one packed tile: 64 bytes a row, two halves that fill an INT8 dot whatever the group."""
GROUPS = (32, 64, 128)
"""Weights along K that share one scale."""
ACT_TILES = (32, 128)
"""Activations along K that share one scale: 32 is llama.cpp's block, 128 is faster."""
VALUE_ORDER = tuple(4 * (place // 2 % 4) + 2 * (place % 2) + place // 8 for place in range(16))
"""Which of 16 columns stands where in a row of values: as a thread holds the bytes of weights."""
BLOCK_ELEMENTS = 1 << 16 if INTERPRETED else 2048
"""Of one program of the row kernels: 16 codes for each of 128 threads. The interpreter pays by program."""
PROGRAMS = 8 if INTERPRETED else 1584
"""Of rows in blocks, at most: twelve for each multiprocessor."""


@dataclass(frozen=True)
class PackedWeight:
    """INT4 weights of all experts, packed for a kernel that computes outᵀ = W · xᵀ.

    K is cut into tiles of 128. Byte j of a row's tile holds the weights at j (low nibble) and half a tile
    later (high nibble), in two's complement: two dots on two halves, nothing to interleave. Tiles are
    outermost, so that a block of rows of one tile is contiguous.

    Attributes:
        packed: uint8 [experts, K_padded / 128, N, 64].
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
        require_weight_shape(self.shape)
        experts, rows, k = self.shape
        if k % self.group:
            raise ValueError(f"K is {k}; it must be a multiple of the group, {self.group}")
        require_tensor("packed", self.packed, torch.uint8, 4)
        require_tensor("scales", self.scales, torch.bfloat16, 3, self.packed.device)
        padded = padded_k(k)
        require_shape("packed", self.packed.shape, (experts, padded // TILE, rows, TILE // 2))
        require_shape("scales", self.scales.shape, (experts, padded // self.group, rows))

    @property
    def bytes(self) -> int:
        """Bytes of one expert, scales included."""
        tensors = (self.packed, self.scales)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) // self.shape[0]


def padded_k(k: int) -> int:
    """K rounded up to a whole packed tile."""
    return -(-k // TILE) * TILE


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
    require_sizes("weight", weight.shape)
    require_choice("group", group, GROUPS)
    experts, rows, k = weight.shape
    if k % group:
        raise ValueError(f"K is {k}; it must be a multiple of the group, {group}")
    groups = weight.float().view(experts, rows, k // group, group)
    # Rounded to bf16 first: the codes then answer to the scale that is stored.
    scales = (groups.abs().amax(-1) / 7).bfloat16()
    divisor = torch.where(scales == 0, 1, scales.float()).unsqueeze(-1)
    codes = (groups / divisor).round().clamp(-8, 7).to(torch.int8).view(experts, rows, k)
    padding = padded_k(k) - k
    codes = torch.nn.functional.pad(codes, (0, padding))
    scales = torch.nn.functional.pad(scales, (0, padding // group))
    return PackedWeight(pack_codes(codes), scales.transpose(1, 2).contiguous(), group, (experts, rows, k))


def pack_codes(codes: torch.Tensor) -> torch.Tensor:
    """int8 codes in [-8, 7], [experts, N, K_padded], as uint8 [experts, K_padded / 128, N, 64]."""
    experts, rows, k = codes.shape
    low, high = codes.view(torch.uint8).view(experts, rows, k // TILE, 2, TILE // 2).unbind(3)
    return ((low & 0xF) | (high << 4)).transpose(1, 2).contiguous()


def unpack_int4(weight: PackedWeight, experts: torch.Tensor | slice = slice(None)) -> torch.Tensor:
    """Dequantized weights, fp32 [experts, N, K], of all experts or of the chosen ones. Plain torch."""
    _, rows, k = weight.shape
    packed, scales = weight.packed[experts], weight.scales[experts].float().transpose(1, 2)
    both = torch.stack((packed & 0xF, packed >> 4), dim=3)
    codes = both.transpose(1, 2).reshape(packed.shape[0], rows, -1)
    signed = ((codes.float() + 8) % 16 - 8).view(packed.shape[0], rows, -1, weight.group)
    return (signed * scales.unsqueeze(-1)).view(packed.shape[0], rows, -1)[..., :k].contiguous()


def random_weight(experts: int, rows: int, k: int, group: int, *, symmetric: bool = False) -> PackedWeight:
    """Random codes and scales on torch's default device, drawn from its generator; the values vary like 1/√K.

    Drawn packed: quantizing 256 experts of a real model would take longer than measuring them.

    Args:
        symmetric: no code is -8, as `pack_int4` makes none: their mean is 0. Else it is -0.5, which one layer
            does not mind; but of layers in sequence each then turns every token further the same way.
    """
    padded = padded_k(k)
    packed = torch.randint(0, 256, (experts, padded // TILE, rows, TILE // 2), dtype=torch.uint8)
    if symmetric:
        for nibble, rest in ((0xF, 0xF0), (0xF0, 0xF)):
            # -8 becomes 0.
            packed = torch.where(packed & nibble == 0x88 & nibble, packed & rest, packed)
    # 4.6 is the deviation of a uniform nibble.
    scales = (torch.rand(experts, padded // group, rows) + 0.5) / (4.6 * k**0.5)
    # Padding weighs nothing.
    scales[:, k // group :] = 0
    return PackedWeight(packed, scales.bfloat16(), group, (experts, rows, k))


def quantize_rows(
    x: torch.Tensor,
    act_tile: int,
    padded: int | None = None,
    *,
    counts: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """INT8 rows with one fp32 scale per row per tile of `act_tile` columns: x ≈ code · scale.

    Args:
        x: bf16 [rows, K], contiguous.
        act_tile: 32, 128, or `whole_row` of the codes' width.
        padded: width of the codes, at least K; the padding is zero. Default: K.
        counts: int32 [blocks], as of `Routing`: the rows are blocks of equal size, each holding so many rows;
            the others are neither read nor written. Default: all rows count.

    Returns:
        codes int8 [rows, padded]; scales fp32 [ceil(padded / act_tile), rows], tile-major, since a block of
        a GEMM reads one tile's scales of many rows. NaN stays NaN, in the scale.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_tensor("x", x, torch.bfloat16, 2)
    cut = Cut(x.shape[1], act_tile, padded)
    codes, scales = cut.outputs(x, x.shape[0])
    _quantize(x, cut, codes, scales, counts)
    return codes, scales


def quantized_values(
    x: torch.Tensor, act_tile: int, padded: int | None = None, *, counts: torch.Tensor | None = None
) -> torch.Tensor:
    """What `quantize_rows` keeps of `x`, as values: for bf16 tensor cores, see `kernels.ring.value_gemm`.

    Args:
        x, act_tile, counts: as of `quantize_rows`.
        padded: width of the values, at least K, a multiple of 16; the padding is zero. Default: K.

    Returns:
        bf16 [rows, padded], code · scale; columns in the order of `VALUE_ORDER`.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_tensor("x", x, torch.bfloat16, 2)
    cut = values_cut(x.shape[1], act_tile, padded)
    values = x.new_empty(x.shape[0], cut.width)
    _quantize(x, cut, values, None, counts)
    return values


def _quantize(
    x: torch.Tensor, cut: Cut, codes: torch.Tensor, scales: torch.Tensor | None, counts: torch.Tensor | None
) -> None:
    """Fills `codes` and `scales`; without scales, `codes` with values."""
    rows = x.shape[0]
    (programs, parts), sizes = cut.programs(rows, counts, x.device)
    if counts is not None:
        # They may be dead: a program goes on from one to another. Twice the rows are faster, where they fit.
        more = min(max(1, 2 * BLOCK_ELEMENTS // (cut.block_tiles * cut.act_tile)), sizes["BLOCK_M"])
        sizes |= {"BLOCK_ROWS": max(more, sizes["BLOCK_ROWS"])}
        programs = min(-(-rows // sizes["BLOCK_ROWS"]), PROGRAMS)
    launch(
        device_code._quantize_rows,
        (programs, parts),
        x.device,
        x,
        codes,
        codes if scales is None else scales,
        x if counts is None else counts,
        rows,
        K=cut.k,
        SCALES_STRIDE=rows,
        VALUES=scales is None,
        **sizes,
        **overlap(target_of(x.device)),
    )


def silu_mul_quantize(
    hidden: torch.Tensor, act_tile: int, padded: int | None = None, *, counts: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """silu(gate) · up, computed in fp32, as INT8 rows with scales.

    Args:
        hidden: bf16 [rows, 2 · inter], contiguous; gate, then up.
        act_tile: 32 or 128.
        padded: width of the codes, at least inter; the padding is zero. Default: inter.
        counts: as of `quantize_rows`.

    Returns:
        As `quantize_rows`, of [rows, inter].

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    inter = _inter_of(hidden)
    rows = hidden.shape[0]
    cut = Cut(inter, act_tile, padded)
    codes, scales = cut.outputs(hidden, rows)
    grid, sizes = cut.programs(rows, counts, hidden.device)
    launch(
        device_code._silu_mul_quantize,
        grid,
        hidden.device,
        hidden,
        codes,
        scales,
        hidden if counts is None else counts,
        rows,
        INTER=inter,
        SCALES_STRIDE=rows,
        **sizes,
    )
    return codes, scales


def silu_mul(hidden: torch.Tensor, *, counts: torch.Tensor | None = None) -> torch.Tensor:
    """silu(gate) · up: bf16 [rows, 2 · inter] to bf16 [rows, inter], computed in fp32.

    Arguments and errors as of `silu_mul_quantize`.
    """
    inter = _inter_of(hidden)
    rows = hidden.shape[0]
    out = hidden.new_empty(rows, inter)
    block_m = _block_m(rows, counts, hidden.device)
    cols = min(1024, power_of_two(inter))
    block_rows = max(1, BLOCK_ELEMENTS // cols)
    if block_m:
        block_rows = min(block_rows, block_m)
    launch(
        device_code._silu_mul,
        (-(-rows // block_rows), -(-inter // cols)),
        hidden.device,
        hidden,
        out,
        hidden if counts is None else counts,
        rows,
        INTER=inter,
        BLOCK_M=block_m,
        BLOCK_ROWS=block_rows,
        BLOCK_COLS=cols,
    )
    return out


def _inter_of(hidden: torch.Tensor) -> int:
    require_tensor("hidden", hidden, torch.bfloat16, 2)
    if hidden.shape[1] % 2:
        raise ValueError(f"hidden has {hidden.shape[1]} columns; gate and up need an even number")
    return hidden.shape[1] // 2


def _block_m(rows: int, counts: torch.Tensor | None, device: torch.device) -> int:
    """Rows of a block; 0 without blocks."""
    if counts is None:
        return 0
    require_tensor("counts", counts, torch.int32, 1, device)
    blocks = counts.shape[0]
    block_m = rows // max(1, blocks)
    if block_m * blocks != rows or block_m & (block_m - 1):
        raise ValueError(f"counts are of {blocks} blocks; {rows} rows are no whole number of rows each")
    return block_m


@dataclass(frozen=True, slots=True)
class Cut:
    """How rows of width `k` are cut into tiles and programs.

    Attributes:
        k: width of the values.
        act_tile: columns that share a scale.
        padded: width of the codes; default: `k`.

    Raises:
        ValueError: an `act_tile` that there is not, or a width less than `k`.
    """

    k: int
    act_tile: int
    padded: int | None = None

    def __post_init__(self) -> None:
        require_count("width", self.k, 0)
        if self.padded is not None:
            require_count("padded", self.padded, 0)
        require_choice("act_tile", self.act_tile, (*ACT_TILES, whole_row(self.width)))
        if self.width < self.k:
            raise ValueError(f"padded is {self.padded}; it must be at least the width, {self.k}")

    @property
    def width(self) -> int:
        """Of the codes."""
        return self.k if self.padded is None else self.padded

    @property
    def tiles(self) -> int:
        return -(-self.width // self.act_tile)

    @property
    def block_tiles(self) -> int:
        """Tiles of one program."""
        return min(max(1, BLOCK_ELEMENTS // self.act_tile), power_of_two(self.tiles))

    @property
    def block_rows(self) -> int:
        """Rows of one program."""
        return max(1, BLOCK_ELEMENTS // (self.block_tiles * self.act_tile))

    def outputs(self, x: torch.Tensor, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes and scales, not filled."""
        codes = x.new_empty(rows, self.width, dtype=torch.int8)
        return codes, x.new_empty(self.tiles, rows, dtype=torch.float32)

    def programs(
        self, rows: int, counts: torch.Tensor | None, device: torch.device
    ) -> tuple[tuple[int, int], dict[str, int]]:
        """Grid and sizes of a kernel over rows, `counts` as of `quantize_rows`."""
        block_m = _block_m(rows, counts, device)
        block_rows = min(self.block_rows, block_m) if block_m else self.block_rows
        grid = (-(-rows // block_rows), -(-self.tiles // self.block_tiles))
        return grid, self.sizes | {"BLOCK_M": block_m, "BLOCK_ROWS": block_rows}

    @property
    def sizes(self) -> dict[str, int]:
        return {
            "K_PADDED": self.width,
            "TILES": self.tiles,
            "TILE": self.act_tile,
            "BLOCK_TILES": self.block_tiles,
        }


def values_cut(k: int, act_tile: int, padded: int | None) -> Cut:
    """The cut of values, which stand in order by sixteens."""
    cut = Cut(k, act_tile, padded)
    if cut.width % len(VALUE_ORDER):
        raise ValueError(f"padded is {cut.width}; values need a multiple of {len(VALUE_ORDER)}")
    return cut


def whole_row(width: int) -> int:
    """The activation tile that is a row of this width: one scale for all of it."""
    return power_of_two(max(width, min(ACT_TILES)))


def power_of_two(number: int) -> int:
    """The least power of two that is at least `number`."""
    return 1 << max(0, number - 1).bit_length()
