"""INT4 weights whose groups have integer multipliers, and INT8 tokens with one scale each.

The K-loop of a GEMM over them stays in INT32: nothing is scaled but the sums, once. Source of the idea: the
two-level scales of QServe (arXiv 2405.04532) and LiquidGEMM (arXiv 2509.01229); the layout is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels.checks import require_shape, require_tensor, require_weight_shape
from kernels.quantize import TILE, pack_codes, padded_k

MOST_MULTIPLIER = 15
"""8 · 15 fits a byte."""
MOST_K = (2**31 - 1) // (127 * 8 * MOST_MULTIPLIER)
"""So many products of such a byte and a code fit INT32."""


@dataclass(frozen=True)
class IntegerWeight:
    """INT4 weights of all experts: weight = nibble · multiplier of its group of 128 · scale of its row.

    Attributes:
        packed: uint8 [experts, K_padded / 128, N, 64], as of `PackedWeight`.
        multipliers: int16 [experts, K_padded / 128, N], 1 to 15. Not checked, which would ask the GPU: with
            larger ones products of bytes overflow.
        row_scales: fp32 [experts, N].
        shape: (experts, N, K) of the weights, K at most `MOST_K`; K_padded is K rounded up to 128.
    """

    packed: torch.Tensor
    multipliers: torch.Tensor
    row_scales: torch.Tensor
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        require_weight_shape(self.shape)
        experts, rows, k = self.shape
        if k > MOST_K:
            raise ValueError(f"K is {k}; sums of more than {MOST_K} products overflow 32 bits")
        tiles = padded_k(k) // TILE
        require_tensor("packed", self.packed, torch.uint8, 4)
        require_tensor("multipliers", self.multipliers, torch.int16, 3, self.packed.device)
        require_tensor("row_scales", self.row_scales, torch.float32, 2, self.packed.device)
        require_shape("packed", self.packed.shape, (experts, tiles, rows, TILE // 2))
        require_shape("multipliers", self.multipliers.shape, (experts, tiles, rows))
        require_shape("row_scales", self.row_scales.shape, (experts, rows))

    @property
    def bytes(self) -> int:
        """Bytes of one expert, multipliers and scales included."""
        tensors = (self.packed, self.multipliers, self.row_scales)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) // self.shape[0]


def pack_integer(weight: torch.Tensor) -> IntegerWeight:
    """Quantize and pack weights: first the rows' scales, then the groups' multipliers, then the nibbles.

    Args:
        weight: floating point [experts, N, K]; K a multiple of 128.

    Raises:
        TypeError: `weight` is no floating-point tensor.
        ValueError: wrong rank, or K that is no multiple of 128.
    """
    if not isinstance(weight, torch.Tensor) or not weight.is_floating_point():
        raise TypeError(f"weight is {getattr(weight, 'dtype', type(weight))}; it must be floating point")
    if weight.dim() != 3 or weight.shape[2] % TILE or 0 in weight.shape:
        raise ValueError(f"weight has shape {tuple(weight.shape)}; it must be [experts, N, K], K in 128s")
    experts, rows, k = weight.shape
    groups = weight.float().view(experts, rows, k // TILE, TILE)
    largest = groups.abs().amax(-1)
    row_scales = largest.amax(-1) / (7 * MOST_MULTIPLIER)
    divisor = torch.where(row_scales == 0, 1, row_scales)
    # Rounded up: a nibble then reaches its group's largest weight.
    multipliers = (largest / (7 * divisor.unsqueeze(-1))).ceil().clamp(1, MOST_MULTIPLIER)
    codes = (groups / (divisor[..., None, None] * multipliers.unsqueeze(-1))).round().clamp(-8, 7)
    packed = pack_codes(codes.to(torch.int8).view(experts, rows, k))
    return IntegerWeight(
        packed, multipliers.short().transpose(1, 2).contiguous(), row_scales, (experts, rows, k)
    )


def unpack_integer(weight: IntegerWeight, experts: torch.Tensor | slice = slice(None)) -> torch.Tensor:
    """Dequantized weights, fp32 [experts, N, K], of all experts or of the chosen ones. Plain torch."""
    _, rows, k = weight.shape
    packed = weight.packed[experts]
    both = torch.stack((packed & 0xF, packed >> 4), dim=3)
    codes = ((both.transpose(1, 2).reshape(packed.shape[0], rows, -1, TILE).float() + 8) % 16) - 8
    codes = codes * weight.multipliers[experts].float().transpose(1, 2).unsqueeze(-1)
    return (codes.reshape(packed.shape[0], rows, -1) * weight.row_scales[experts].unsqueeze(-1))[..., :k]


def random_integer_weight(experts: int, rows: int, k: int) -> IntegerWeight:
    """Random codes and scales on torch's default device, drawn from its generator; values vary like 1/√K."""
    tiles = padded_k(k) // TILE
    packed = torch.randint(0, 256, (experts, tiles, rows, TILE // 2), dtype=torch.uint8)
    multipliers = torch.randint(5, MOST_MULTIPLIER + 1, (experts, tiles, rows), dtype=torch.int16)
    # 4.6 is the deviation of a uniform nibble, 10 the mean multiplier.
    row_scales = (torch.rand(experts, rows) + 0.5) / (46 * k**0.5)
    return IntegerWeight(packed, multipliers, row_scales, (experts, rows, k))
