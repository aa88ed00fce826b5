"""Host side of Hopper's grouped GEMM: what has room, where it runs, and what it is given."""

from __future__ import annotations

import pytest
import torch

from kernels.integer import random_integer_weight
from kernels.moe_integer import default_block_m, moe_w4a8_integer
from kernels.moe_w4a8 import moe_w4a8
from kernels.quantize import ACT_TILES, GROUPS, random_weight
from kernels.ring import SHARED_BYTES, RingTile, fits, most_stages, supported
from kernels.routing import BLOCK_MS
from kernels.shapes import SHAPES
from kernels.target import INTERPRETER, Target
from kernels.tuning import RING_BLOCK_MS, Plan, Problem, plan_for
from perfsuite.model import Kernel
from perfsuite.static.offline import HostFailure, compile_op

RING = ["_place_slots", "_grouped", "_quantize_rows", "_grouped", "_weighted_sum"]
LEAST_STAGES = 4
"""Copies in flight that hide the memory's latency."""


def test_only_hopper_has_it() -> None:
    assert supported(Target("cuda", "90", "NVIDIA H200"))
    others = (INTERPRETER, Target("cuda", "89"), Target("cuda", "100"), Target("hip", "gfx942"))
    assert not any(map(supported, others))


@pytest.mark.parametrize("block_m", RING_BLOCK_MS)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("act_tile", [*ACT_TILES, None])
@pytest.mark.parametrize("gated", [False, True], ids=["down", "gated"])
def test_the_longest_ring_has_room(block_m: int, group: int, act_tile: int | None, gated: bool) -> None:
    stages = most_stages(block_m, group, act_tile, gated=gated)
    # Packed weights, rows of codes or values, scales of both; a result waits to be copied.
    weights, rows = 256 * 64, block_m * 128 * (1 if act_tile else 2)
    scales = 128 // group * 256 * 2 + (128 // act_tile * block_m * 4 if act_tile else 0)
    result = block_m * (128 if gated else 256) * 2
    assert LEAST_STAGES <= stages <= 8
    assert stages * (weights + rows + scales) + result <= SHARED_BYTES


def compiled(
    inter: int, tile: RingTile, block_m: int = 64, path: str = "ring", group: int = 32, act_tile: int = 128
) -> list[Kernel]:
    """What a call launches, with a plan that asks for the ring."""
    with torch.device("meta"):
        arguments = {
            "x": torch.empty(64, 256, dtype=torch.bfloat16),
            "w1": random_weight(4, 2 * inter, 256, group),
            "w2": random_weight(4, 256, inter, group),
            "topk_weights": torch.empty(64, 2),
            "topk_ids": torch.empty(64, 2, dtype=torch.int64),
            "act_tile": act_tile,
            "plan": Plan(path, block_m, tile, tile),
        }
    return list(compile_op(moe_w4a8, arguments, "sm_90").launches.kernels)


def test_every_model_fits_and_what_does_not_is_refused_by_name() -> None:
    assert all(fits(shape.hidden, shape.inter) for shape in SHAPES.values())
    assert not fits(2048, 128) and not fits(2048, 516)
    with pytest.raises(HostFailure, match=r"plan\.path is 'ring' for hidden 256, inter 128"):
        compiled(128, RingTile(8))
    with pytest.raises(ValueError, match="warp_groups is 3"):
        RingTile(8, 3)
    with pytest.raises(ValueError, match="stages is 1"):
        RingTile(1)
    with pytest.raises(HostFailure, match=r"plan\.block_m is 128"):
        compiled(256, RingTile(8), block_m=128)


@pytest.mark.filterwarnings("ignore:no tiles are tuned")
def test_a_problem_that_does_not_fit_is_planned_without_it() -> None:
    problem = Problem(1696, 2048, 96, 256, 8, 32, 32, "hoisted")
    assert plan_for(Target("cuda", "90"), problem).path == "blocks"


def test_a_plan_may_ask_for_more_stages_than_have_room() -> None:
    assert [kernel.name for kernel in compiled(256, RingTile(99))] == RING


def test_values_are_quantized_in_the_first_product_where_it_holds_a_tile() -> None:
    names = [kernel.name for kernel in compiled(256, RingTile(8), path="ring_bf16", act_tile=32)]
    assert names == ["_place_slots", "_grouped", "_grouped", "_weighted_sum"]
    names = [kernel.name for kernel in compiled(256, RingTile(8), path="ring_bf16", act_tile=128)]
    assert names == RING


CUTS = [("ring", 16, 4), ("ring", 32, 4), ("ring", 64, 4), ("ring", 32, 2), ("ring", 64, 2)]
CUTS += [("ring_bf16", block_m, 4) for block_m in RING_BLOCK_MS]


@pytest.mark.parametrize(("path", "block_m", "warp_groups"), CUTS)
@pytest.mark.parametrize(("group", "act_tile"), [(128, 128), (32, 32), (64, 128), (128, 32)])
def test_no_cut_of_the_ring_spills(
    path: str, block_m: int, warp_groups: int, group: int, act_tile: int
) -> None:
    """And all have room. Groups of 64 are in no model of the suite: no other test compiles them."""
    tile = RingTile(8, warp_groups)
    kernels = compiled(384, tile, block_m, path, group, act_tile)
    assert [(k.name, k.stack_bytes) for k in kernels if k.stack_bytes] == []
    assert max(kernel.shared_bytes or 0 for kernel in kernels) <= SHARED_BYTES


@pytest.mark.parametrize("block_m", BLOCK_MS)
def test_no_block_of_the_integer_mode_spills(block_m: int) -> None:
    with torch.device("meta"):
        arguments = {
            "x": torch.empty(64, 256, dtype=torch.bfloat16),
            "w1": random_integer_weight(4, 768, 256),
            "w2": random_integer_weight(4, 256, 384),
            "topk_weights": torch.empty(64, 2),
            "topk_ids": torch.empty(64, 2, dtype=torch.int64),
            "block_m": block_m,
        }
    kernels = list(compile_op(moe_w4a8_integer, arguments, "sm_90").launches.kernels)
    assert [kernel.name for kernel in kernels] == RING
    assert [(k.name, k.stack_bytes) for k in kernels if k.stack_bytes] == []
    assert max(kernel.shared_bytes or 0 for kernel in kernels) <= SHARED_BYTES


def test_blocks_of_the_integer_mode_are_as_large_as_pays() -> None:
    assert [default_block_m(slots, by_ring=True) for slots in (8, 53, 64, 400)] == [16, 64, 128, 128]
    assert [default_block_m(slots, by_ring=False) for slots in (8, 53, 64, 400)] == [16, 64, 64, 64]
