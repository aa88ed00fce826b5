"""The plain twin of every op: torch on any device, fp32 on dequantized weights, expert by expert.

Twins take the arguments of their op. They are the truth of the correctness gates, not baselines of speed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from kernels.integer import IntegerWeight, unpack_integer
from kernels.quantize import VALUE_ORDER, PackedWeight, unpack_int4
from kernels.routing import Routing, most_blocks


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


def quantized_values(x: torch.Tensor, act_tile: int, padded: int | None = None) -> torch.Tensor:
    """Twin of `kernels.quantize.quantized_values`."""
    codes, scales = quantize_rows(x, act_tile, padded)
    values = dequantize_rows(codes, scales, act_tile).bfloat16()
    return values.view(x.shape[0], -1, len(VALUE_ORDER))[..., list(VALUE_ORDER)].flatten(1)


def columns_in_order(values: torch.Tensor) -> torch.Tensor:
    """fp32 rows of what `quantized_values` returns."""
    places = torch.tensor(VALUE_ORDER, device=values.device).argsort()
    return values.float().view(values.shape[0], -1, len(VALUE_ORDER))[..., places].flatten(1)


def silu_mul(hidden: torch.Tensor) -> torch.Tensor:
    """Twin of `kernels.quantize.silu_mul`, in fp32."""
    gate, up = hidden.float().chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up


def silu_mul_quantize(
    hidden: torch.Tensor, act_tile: int, padded: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Twin of `kernels.quantize.silu_mul_quantize`."""
    return quantize_rows(silu_mul(hidden), act_tile, padded)


def align_experts(topk_ids: torch.Tensor, experts: int, block_m: int) -> Routing:
    """Twin of `kernels.routing.align_experts`: equal experts keep their order, undefined rows hold -1."""
    ids, device = topk_ids.flatten(), topk_ids.device
    blocks = most_blocks(ids.numel(), experts, block_m)
    table = torch.zeros(4, blocks, dtype=torch.int32, device=device)
    table[0] = -1
    slots = torch.full((blocks * block_m,), -1, dtype=torch.int32, device=device)
    places = torch.full((ids.numel(),), -1, dtype=torch.int32, device=device)
    live = 0
    for expert in range(experts):
        held = torch.where(ids == expert)[0]
        rows = live * block_m + torch.arange(held.numel(), device=device)
        slots[rows], places[held] = held.int(), rows.int()
        first, of_expert = live, -(-held.numel() // block_m)
        for done in range(of_expert):
            count = min(block_m, held.numel() - done * block_m)
            table[:, live] = torch.tensor([expert, first, of_expert, count], device=device)
            live += 1
    total = torch.tensor([live], dtype=torch.int32, device=device)
    numbers, firsts, numbers_of, counts = table.unbind()
    places = places.view(topk_ids.shape)
    handed_out = torch.zeros_like(total)
    return Routing(places, slots, numbers, firsts, numbers_of, counts, total, handed_out, block_m)


def weighted_sum(y: torch.Tensor, topk_weights: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Twin of `kernels.weighted_sum.weighted_sum`, in fp32."""
    rows = torch.where((places >= 0).unsqueeze(-1), y[places.clamp(min=0).long()].float(), 0)
    # A slot without an expert contributes nothing, whatever its weight.
    weights = torch.where(places >= 0, topk_weights, 0)
    return (rows * weights.unsqueeze(-1)).sum(1)


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
    experts = range(w1.shape[0])
    return _by_experts(x, topk_weights, topk_ids, lambda e: (_of(w1, e), _of(w2, e)), experts)


def moe_w4a8_integer(
    x: torch.Tensor,
    w1: IntegerWeight,
    w2: IntegerWeight,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
) -> torch.Tensor:
    """Twin of `kernels.moe_integer.moe_w4a8_integer`, activations not quantized: fp32 [tokens, hidden]."""

    def of(expert: int) -> tuple[torch.Tensor, torch.Tensor]:
        one = slice(expert, expert + 1)
        return unpack_integer(w1, one)[0], unpack_integer(w2, one)[0]

    return _by_experts(x, topk_weights, topk_ids, of, range(w1.shape[0]))


def moe_grouped_bf16(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
) -> torch.Tensor:
    """Twin of `kernels.baselines.moe_grouped_bf16`: fp32 [tokens, hidden]."""
    return _by_experts(
        x, topk_weights, topk_ids, lambda e: (w1[e].float(), w2[e].float()), range(w1.shape[0])
    )


def _by_experts(
    x: torch.Tensor,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    weights_of: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    experts: range,
) -> torch.Tensor:
    """Σ over experts that exist of weight · w2 · (silu(gate) · up), in fp32."""
    out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for expert in torch.unique(topk_ids).tolist():
        if expert not in experts:
            continue
        token, choice = torch.where(topk_ids == expert)
        w1, w2 = weights_of(expert)
        y = silu_mul(x[token].float() @ w1.T) @ w2.T
        out.index_add_(0, token, y * topk_weights[token, choice].unsqueeze(-1))
    return out


def _of(weight: PackedWeight, expert: int) -> torch.Tensor:
    return unpack_int4(weight, slice(expert, expert + 1))[0]


def gate_up(
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    w1: PackedWeight,
    routing: Routing,
    act_tile: int,
    **_: object,
) -> torch.Tensor:
    """Twin of `kernels.gemms.gate_up`, in fp32; rows that hold no slot are zero."""
    return silu_mul(_rows_times(rows, scales, w1, routing, act_tile))


def down(
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    w2: PackedWeight,
    routing: Routing,
    act_tile: int,
    **_: object,
) -> torch.Tensor:
    """Twin of `kernels.gemms.down`, in fp32; rows that hold no slot are zero."""
    return _rows_times(rows, scales, w2, routing, act_tile)


def _rows_times(
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    weight: PackedWeight,
    routing: Routing,
    act_tile: int,
) -> torch.Tensor:
    rows = columns_in_order(rows) if scales is None else dequantize_rows(rows, scales, act_tile)
    rows = rows[:, : weight.shape[2]]
    out = rows.new_zeros(rows.shape[0], weight.shape[1])
    for block, count in enumerate(routing.count.tolist()):
        if count:
            held = slice(block * routing.block_m, block * routing.block_m + count)
            out[held] = rows[held] @ _of(weight, int(routing.expert[block])).T
    return out


def dequantize(weight: PackedWeight) -> torch.Tensor:
    """Twin of `kernels.dequant_gemm.dequantize`, in fp32."""
    return unpack_int4(weight)[0]


def dequant_gemm(x: torch.Tensor, weight: PackedWeight) -> torch.Tensor:
    """Twin of `kernels.dequant_gemm.dequant_gemm`: fp32 [M, N]."""
    return x.float() @ dequantize(weight).T


def matvec_w4(x: torch.Tensor, weight: PackedWeight, **_: object) -> torch.Tensor:
    """Twin of `kernels.matvec_w4.matvec_w4` without quantizing x: fp32 [tokens, N]."""
    return x.float() @ dequantize(weight).T


def add_rms_norm(x: torch.Tensor, y: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Twin of `kernels.stack.add_rms_norm`, in fp32."""
    total = x.float() if y is None else x.float() + y.float()
    return total, total * torch.rsqrt(total.square().mean(-1, keepdim=True) + 1e-6)


def moe_stack(
    x: torch.Tensor,
    weights: Sequence[tuple[PackedWeight, PackedWeight]],
    routing: Sequence[tuple[torch.Tensor, torch.Tensor]],
    **_: object,
) -> torch.Tensor:
    """Twin of `kernels.stack.moe_stack`: fp32 all the way, activations are not quantized."""
    x, normed = add_rms_norm(x)
    for (w1, w2), (topk_weights, topk_ids) in zip(weights, routing, strict=True):
        x, normed = add_rms_norm(x, moe_w4a8(normed, w1, w2, topk_weights, topk_ids))
    return normed
