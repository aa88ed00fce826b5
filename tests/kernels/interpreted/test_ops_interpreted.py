"""Every op against its plain-torch twin, in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from stand_in import poisoned, rms_error

from kernels import reference
from kernels.decode import DecodeTile
from kernels.moe_w4a8 import moe_w4a8
from kernels.quantize import PackedWeight, pack_int4, random_weight, unpack_int4
from kernels.tuning import Plan, Tile, with_block_m


def tokens(m: int, hidden: int, experts: int, top_k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = torch.randn(m, hidden).bfloat16()
    weights, ids = torch.randn(m, experts).softmax(-1).topk(top_k)
    return x, weights, ids


def quantized_twin(
    x: torch.Tensor,
    w1: PackedWeight,
    w2: PackedWeight,
    weights: torch.Tensor,
    ids: torch.Tensor,
    act_tile: int,
    variant: str,
) -> torch.Tensor:
    """The whole op with the activations quantized as the kernels quantize them, slot by slot."""

    def rounded(rows: torch.Tensor, tile: int = act_tile) -> torch.Tensor:
        return reference.dequantize_rows(*reference.quantize_rows(rows, tile), tile)

    experts = ids.flatten()
    rows = rounded(x).repeat_interleave(ids.shape[1], dim=0)
    hidden = torch.einsum("snk,sk->sn", unpack_int4(w1)[experts], rows)
    slots = len(x) == 1 and variant == "hoisted"
    # Of a few tokens SiLU is part of the first product, of others it reads bf16 …
    acts = reference.silu_mul(hidden if slots else hidden.bfloat16())
    # … and only where rows are quantized by themselves does SiLU not write bf16.
    acts = acts.bfloat16() if slots or variant == "in_loop" else acts
    acts = rounded(acts, 16 if slots else act_tile)
    y = torch.einsum("snk,sk->sn", unpack_int4(w2)[experts], acts)
    return (y.view(*ids.shape, -1) * weights.unsqueeze(-1)).sum(1)


@pytest.mark.parametrize("variant", ["hoisted", "in_loop"])
@pytest.mark.parametrize(
    ("group", "act_tile"), [(32, 32), (32, 128), (64, 32), (64, 128), (128, 32), (128, 128)]
)
@pytest.mark.parametrize("m", [1, 21])
def test_moe(m: int, group: int, act_tile: int, variant: str) -> None:
    x, weights, ids = tokens(m, 256, 4, 2)
    w1, w2 = random_weight(4, 256, 256, group), random_weight(4, 256, 128, group)
    with poisoned():
        out = moe_w4a8(x, w1, w2, weights, ids, act_tile=act_tile, variant=variant)
    assert out.dtype == torch.bfloat16
    # With the same quantization only the roundings to bf16 are left.
    assert rms_error(out, quantized_twin(x, w1, w2, weights, ids, act_tile, variant)) < 0.005
    # One token's error varies by a third; across many it is 1.2 % and 1.6 %.
    assert rms_error(out, reference.moe_w4a8(x, w1, w2, weights, ids)) < 0.03


PLANS = (
    Plan("slots", 1, DecodeTile(64, 2, 4), DecodeTile(32, 2, 4)),
    Plan("blocks", 16, Tile(64, 4, 1), Tile(128, 4, 1)),
)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.path)
def test_odd_widths_blocks_and_experts_that_do_not_exist(plan: Plan) -> None:
    """96 is no whole tile of K, 160 no whole block of N, and some tokens have experts elsewhere."""
    x, weights, ids = tokens(7, 160, 4, 2)
    ids[3] = torch.tensor([-1, 9])
    ids[5, 0] = 4
    w1, w2 = random_weight(4, 192, 160, 32), random_weight(4, 160, 96, 32)
    with poisoned():
        out = moe_w4a8(x, w1, w2, weights, ids, act_tile=32, plan=plan)
    assert (out[3] == 0).all()
    assert rms_error(out, reference.moe_w4a8(x, w1, w2, weights, ids)) < 0.02


def test_block_m_changes_no_bit() -> None:
    x, weights, ids = tokens(40, 128, 4, 2)
    w1, w2 = random_weight(4, 128, 128, 32), random_weight(4, 128, 64, 32)
    tile = Tile(128, 4, 1)
    plan = Plan("blocks", 16, tile, tile)
    outs = [moe_w4a8(x, w1, w2, weights, ids, plan=with_block_m(plan, size)) for size in (16, 32, 64)]
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0], outs[2])


def test_no_tokens() -> None:
    x, weights, ids = tokens(0, 64, 4, 2)
    weight = pack_int4(torch.randn(4, 64, 64), 32)
    w2 = pack_int4(torch.randn(4, 64, 32), 32)
    assert moe_w4a8(x, weight, w2, weights, ids).shape == (0, 64)
