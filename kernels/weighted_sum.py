"""The sum over a token's experts, from rows in the order of experts."""

from __future__ import annotations

import torch

from kernels import _sum as device_code
from kernels.checks import require_shape, require_tensor
from kernels.quantize import power_of_two
from kernels.target import INTERPRETED, launch, overlap, target_of

COLUMNS = 512
"""Of one program: 8 bytes for each of 128 threads."""
ROWS = 64 if INTERPRETED else 1
"""Tokens of one program. The interpreter pays by program."""


def weighted_sum(
    y: torch.Tensor, topk_weights: torch.Tensor, places: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """out[token] = Σ over choices of topk_weights[token, choice] · y[places[token, choice]], in fp32.

    Args:
        y: bf16 [rows, hidden], contiguous.
        topk_weights: fp32 [tokens, top_k], contiguous.
        places: int32 [tokens, top_k], contiguous: rows of `y`; negative ones contribute nothing.
        out: bf16 [tokens, hidden], contiguous, that gets the result. Default: a new tensor.

    Returns:
        `out`.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_tensor("y", y, torch.bfloat16, 2)
    require_tensor("topk_weights", topk_weights, torch.float32, 2, y.device)
    require_tensor("places", places, torch.int32, 2, y.device)
    require_shape("places", places.shape, topk_weights.shape)
    (tokens, top_k), hidden = places.shape, y.shape[1]
    if out is None:
        out = y.new_empty(tokens, hidden)
    require_tensor("out", out, torch.bfloat16, 2, y.device)
    require_shape("out", out.shape, (tokens, hidden))
    cols = min(COLUMNS, power_of_two(hidden))
    rows = ROWS * (COLUMNS // cols)
    if out.numel():
        launch(
            device_code._weighted_sum,
            (-(-tokens // rows), -(-hidden // cols)),
            y.device,
            y,
            topk_weights,
            places,
            out,
            tokens,
            HIDDEN=hidden,
            TOP_K=top_k,
            BLOCK_ROWS=rows,
            BLOCK_COLS=cols,
            **overlap(target_of(y.device)),
        )
    return out
