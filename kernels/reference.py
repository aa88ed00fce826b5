"""The plain twin of every op: torch on any device, fp32 on dequantized weights, expert by expert.

Twins take the arguments of their op. They are the truth of the correctness gates, not baselines of speed.
"""

from __future__ import annotations

import torch

from kernels.quantize import PackedWeight, unpack_int4


def quantize_rows(
    x: torch.Tensor, act_tile: int, padded: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Twin of `kernels.quantize.quantize_rows`."""
    rows, k = x.shape
    padded = k if padded is None else padded
    tiles = -(-padded // act_tile)
    value = torch.nn.functional.pad(x.float(), (0, tiles * act_tile - k)).view(rows, tiles, act_tile)
    largest = value.abs().amax(-1)
    scales = largest * torch.tensor(1 / 127)
    # Of two tensors: torch turns a scalar's division into a product with the reciprocal.
    inverse = torch.full_like(largest, 127) / largest.clamp(min=1e-36)
    codes = (value * inverse.unsqueeze(-1) + 0.5).floor().to(torch.int8)
    return codes.view(rows, tiles * act_tile)[:, :padded].contiguous(), scales.T.contiguous()


def dequantize_rows(codes: torch.Tensor, scales: torch.Tensor, act_tile: int) -> torch.Tensor:
    """fp32 rows of what `quantize_rows` returns."""
    return codes.float() * scales.T.repeat_interleave(act_tile, dim=1)[:, : codes.shape[1]]


def silu_mul(hidden: torch.Tensor) -> torch.Tensor:
    """Twin of `kernels.quantize.silu_mul`, in fp32."""
    gate, up = hidden.float().chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up


def silu_mul_quantize(
    hidden: torch.Tensor, act_tile: int, padded: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Twin of `kernels.quantize.silu_mul_quantize`."""
    return quantize_rows(silu_mul(hidden), act_tile, padded)


def align_experts(
    topk_ids: torch.Tensor, experts: int, block_m: int
) -> tuple[torch.Tensor, list[tuple[int, int, int]]]:
    """Twin of `kernels.routing.align_experts`: slots in order; (expert, start, count) of each block."""
    ids = topk_ids.flatten()
    order = torch.argsort(ids, stable=True)
    order = order[(ids[order] >= 0) & (ids[order] < experts)]
    blocks, start = [], 0
    for expert, held in enumerate(torch.bincount(ids[order], minlength=experts).tolist()):
        for done in range(0, held, block_m):
            blocks.append((expert, start + done, min(block_m, held - done)))
        start += held
    return order, blocks


def moe_w4a8(
    x: torch.Tensor,
    w1: PackedWeight,
    w2: PackedWeight,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    **_: object,
) -> torch.Tensor:
    """Twin of `kernels.moe_w4a8.moe_w4a8` without any quantization of activations: fp32 [tokens, hidden].

    Options of the op (activation tile, variant, tiles) change nothing here.
    """
    out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for expert in torch.unique(topk_ids).tolist():
        if not 0 <= expert < w1.shape[0]:
            continue
        token, choice = torch.where(topk_ids == expert)
        one = slice(expert, expert + 1)
        hidden = x[token].float() @ unpack_int4(w1, one)[0].T
        y = silu_mul(hidden) @ unpack_int4(w2, one)[0].T
        out.index_add_(0, token, y * topk_weights[token, choice].unsqueeze(-1))
    return out
