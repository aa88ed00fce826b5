"""What the quantized op is measured against: the same layer in bf16 through torch's grouped product."""

from __future__ import annotations

import torch

from kernels.checks import require_choices, require_ids, require_shape, require_sizes, require_tensor


def moe_grouped_bf16(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    topk_weights: torch.Tensor,
    topk_ids: torch.Tensor,
    *,
    debug: bool = False,
) -> torch.Tensor:
    """`kernels.moe_w4a8` with bf16 weights: torch's own operators alone, sorted on the device.

    Nothing synchronizes with the host: a call captures into a CUDA graph. Source of the method: torch's
    `_grouped_mm`, one product over all experts, whose rows are sorted by expert.

    Args:
        x: bf16 [tokens, hidden], contiguous.
        w1: bf16 [experts, 2 · inter, hidden], contiguous; gate rows, then up rows.
        w2: bf16 [experts, hidden, inter], contiguous.
        topk_weights: fp32 [tokens, top_k], contiguous.
        topk_ids: int64 [tokens, top_k], contiguous, each in [0, experts): with others the result is wrong.
        debug: refuse such ids. This reads them on the host: not for a CUDA graph.

    Returns:
        bf16 [tokens, hidden], with a relative RMS error of about 0.5 %.

    Raises:
        TypeError: a tensor's dtype.
        ValueError: shapes or devices that do not fit, by name.
    """
    _check(x, w1, w2, topk_weights, topk_ids)
    if debug:
        require_ids(topk_ids, w1.shape[0])
    (tokens, hidden), top_k, experts = x.shape, topk_ids.shape[1], w1.shape[0]
    ids, slots = topk_ids.flatten().sort()
    ends = torch.searchsorted(ids, torch.arange(experts, device=x.device), right=True, out_int32=True)
    gate, up = _grouped(x[slots // top_k], w1, ends).chunk(2, dim=-1)
    y = _grouped(torch.nn.functional.silu(gate) * up, w2, ends)
    places = torch.empty_like(slots).scatter_(0, slots, torch.arange(slots.numel(), device=x.device))
    rows = y[places].view(tokens, top_k, hidden)
    return torch.bmm(topk_weights.to(y.dtype).unsqueeze(1), rows).squeeze(1)


def _grouped(rows: torch.Tensor, weight: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Rows up to `ends[e]`, from the end of the expert before, times the transposed weights of expert e."""
    product: torch.Tensor = torch._grouped_mm(rows, weight.transpose(1, 2), offs=ends)
    return product


def _check(
    x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, topk_weights: torch.Tensor, topk_ids: torch.Tensor
) -> None:
    """Refuse what does not fit, by name."""
    require_tensor("x", x, torch.bfloat16, 2)
    require_tensor("w1", w1, torch.bfloat16, 3, x.device)
    require_tensor("w2", w2, torch.bfloat16, 3, x.device)
    require_sizes("w1", w1.shape)
    tokens, hidden = x.shape
    experts, inter = w1.shape[0], w2.shape[2]
    require_shape("w1", w1.shape, (experts, 2 * inter, hidden))
    require_shape("w2", w2.shape, (experts, hidden, inter))
    require_choices(topk_weights, topk_ids, tokens, x.device)
