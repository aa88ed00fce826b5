"""Dense layers of a prefill: INT4 weights become bf16 once, then torch's bf16 matrix product.

Source: the dense prefill path that pytorch/executorch pull request 19209 measures beside its MoE.
"""

from __future__ import annotations

import torch

from kernels import _dequant_gemm as device_code
from kernels.checks import require_shape, require_sizes, require_tensor, require_type
from kernels.quantize import TILE, PackedWeight
from kernels.target import INTERPRETED, launch

BLOCK_N = 1024 if INTERPRETED else 64
"""Rows of a program: 4 KiB of nibbles, 16 KiB of bf16. The interpreter pays by program."""
WARPS = 4


def dequantize(weight: PackedWeight) -> torch.Tensor:
    """The weights of one expert as bf16 [N, K], each rounded once.

    Args:
        weight: packed [1, N, K].

    Raises:
        TypeError: no packed weight.
        ValueError: more than one expert.
    """
    require_type("weight", weight, PackedWeight, ": see pack_int4")
    require_sizes("weight.shape", weight.shape)
    _, rows, k = weight.shape
    require_shape("weight", weight.shape, (1, rows, k))
    out = weight.scales.new_empty(rows, k)
    launch(
        device_code._dequantize,
        (-(-rows // BLOCK_N), -(-k // TILE)),
        out.device,
        weight.packed,
        weight.scales,
        out,
        N=rows,
        K=k,
        GROUP=weight.group,
        BLOCK_N=BLOCK_N,
        num_warps=WARPS,
    )
    return out


def dequant_gemm(x: torch.Tensor, weight: PackedWeight) -> torch.Tensor:
    """x · Wᵀ with W dequantized first: for so many rows of x that the product takes longer than W.

    Args:
        x: bf16 [M, K], contiguous.
        weight: packed [1, N, K].

    Returns:
        bf16 [M, N]; its relative RMS error is that of bf16 operands, about 0.25 %.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    dense = dequantize(weight)
    require_tensor("x", x, torch.bfloat16, 2, dense.device)
    require_shape("x", x.shape, (x.shape[0], weight.shape[2]))
    return x @ dense.T
