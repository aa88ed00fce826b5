"""Slots without an expert, whatever else they carry; GEMMs that refuse what is not theirs."""

from __future__ import annotations

import pytest
import torch

from kernels import gemms, reference
from kernels.decode import DecodeTile
from kernels.moe_w4a8 import moe_w4a8
from kernels.quantize import quantize_rows, random_weight
from kernels.ring import RingTile
from kernels.routing import align_experts
from kernels.tuning import Plan, Tile

EXPERTS, HIDDEN, INTER, TOKENS, TOP_K = 4, 256, 128, 3, 2
PLANS = {
    "slots": Plan("slots", 1, DecodeTile(32, 2, 4), DecodeTile(32, 2, 4)),
    "blocks": Plan("blocks", 16, Tile(256, 4, 1), Tile(256, 4, 1)),
}


@pytest.mark.parametrize("path", PLANS)
@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_slot_without_an_expert_contributes_nothing_whatever_its_weight(path: str, weight: float) -> None:
    torch.manual_seed(0)
    w1, w2 = random_weight(EXPERTS, 2 * INTER, HIDDEN, 128), random_weight(EXPERTS, HIDDEN, INTER, 128)
    x = torch.randn(TOKENS, HIDDEN).bfloat16()
    topk_weights = torch.full((TOKENS, TOP_K), 0.5)
    topk_ids = torch.tensor([[0, 1], [2, -1], [EXPERTS, 3]])
    topk_weights[1, 1] = topk_weights[2, 0] = weight
    out = moe_w4a8(x, w1, w2, topk_weights, topk_ids, plan=PLANS[path])
    truth = reference.moe_w4a8(x, w1, w2, topk_weights, topk_ids)
    assert ((out - truth).norm() / truth.norm()).item() < 0.03


@pytest.mark.parametrize("path", PLANS)
def test_an_expert_that_a_token_names_twice_counts_twice(path: str) -> None:
    """More choices than there are experts."""
    torch.manual_seed(1)
    w1, w2 = random_weight(2, 2 * INTER, HIDDEN, 64), random_weight(2, HIDDEN, INTER, 64)
    x, weights = torch.randn(TOKENS, HIDDEN).bfloat16(), torch.rand(TOKENS, 5)
    ids = torch.tensor([[0, 1, 0, 0, 1], [1, 1, 1, 1, 1], [0, 1, 2, -1, 0]])
    out = moe_w4a8(x, w1, w2, weights, ids, act_tile=32, plan=PLANS[path])
    truth = reference.moe_w4a8(x, w1, w2, weights, ids)
    assert ((out - truth).norm() / truth.norm()).item() < 0.02


def test_a_plan_that_does_not_fit_is_refused_by_name() -> None:
    w1, w2 = random_weight(EXPERTS, 2 * INTER, HIDDEN, 128), random_weight(EXPERTS, HIDDEN, INTER, 128)
    x, ids = torch.randn(TOKENS, HIDDEN).bfloat16(), torch.zeros(TOKENS, TOP_K, dtype=torch.int64)
    weights = torch.ones(TOKENS, TOP_K)
    tile, slots = PLANS["blocks"].gemm1, PLANS["slots"].gemm1
    with pytest.raises(TypeError, match="plan is a str"):
        moe_w4a8(x, w1, w2, weights, ids, plan="blocks")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"plan\.gemm2 is a DecodeTile; path 'blocks' takes Tiles"):
        moe_w4a8(x, w1, w2, weights, ids, plan=Plan("blocks", 16, tile, slots))
    with pytest.raises(ValueError, match="needs a GPU of architecture sm_90"):
        moe_w4a8(x, w1, w2, weights, ids, plan=Plan("ring", 16, RingTile(8), RingTile(8)))
    with pytest.raises(ValueError, match="block_n is 48; it must be a power of two"):
        Tile(48, 4, 3)


def test_gemms_refuse_what_does_not_fit_by_name() -> None:
    weight = random_weight(EXPERTS, 2 * INTER, HIDDEN, 128)
    routing = align_experts(torch.arange(8).view(4, 2) % EXPERTS, EXPERTS, 16)
    rows = torch.randn(routing.slots.shape[0], HIDDEN).bfloat16()
    codes, scales = quantize_rows(rows, 128)
    plan = PLANS["blocks"]
    with pytest.raises(ValueError, match="act_tile is 64"):
        gemms.gate_up(codes, scales, weight, routing, 64, plan=plan)
    with pytest.raises(ValueError, match="scales has shape"):
        gemms.down(codes, scales, weight, routing, 32, plan=plan)
    with pytest.raises(TypeError, match=r"rows is torch\.float32"):
        gemms.gate_up(codes.float(), scales, weight, routing, 128, plan=plan)
    with pytest.raises(ValueError, match="rows has shape"):
        gemms.gate_up(codes[:8], scales, weight, routing, 128, plan=plan)
    with pytest.raises(ValueError, match=r"plan\.path is 'slots'"):
        gemms.gate_up(codes, scales, weight, routing, 128, plan=PLANS["slots"])
    with pytest.raises(ValueError, match=r"plan\.block_m is 16"):
        other = align_experts(torch.arange(8).view(4, 2) % EXPERTS, EXPERTS, 32)
        gemms.gate_up(codes, scales, weight, other, 128, plan=plan)
