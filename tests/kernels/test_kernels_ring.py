"""Host side of Hopper's grouped GEMM: what has room, where it runs, and what it is given."""

from __future__ import annotations

import pytest
import torch

from kernels.moe_w4a8 import moe_w4a8
from kernels.quantize import ACT_TILES, GROUPS, random_weight
from kernels.ring import SHARED_BYTES, RingTile, fits, most_stages, supported
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
@pytest.mark.parametrize("act_tile", ACT_TILES)
@pytest.mark.parametrize("gated", [False, True], ids=["down", "gated"])
def test_the_longest_ring_has_room(block_m: int, group: int, act_tile: int, gated: bool) -> None:
    stages = most_stages(block_m, group, act_tile, gated=gated)
    # Packed weights, rows of codes, scales of both; a result of four warp groups waits to be copied.
    weights, rows = 256 * 64, block_m * 128
    scales = 128 // group * 256 * 2 + 128 // act_tile * block_m * 4
    result = block_m * (128 if gated else 256) * 2
    assert LEAST_STAGES <= stages <= 8
    assert stages * (weights + rows + scales) + result <= SHARED_BYTES


def compiled(
    inter: int,
    stages: int = 8,
    warp_groups: int = 4,
    block_m: int = 64,
    group: int = 32,
    act_tile: int = 128,
) -> list[Kernel]:
    """What a call launches, with a plan that asks for the ring."""
    tile = RingTile(stages, warp_groups)
    with torch.device("meta"):
        arguments = {
            "x": torch.empty(64, 256, dtype=torch.bfloat16),
            "w1": random_weight(4, 2 * inter, 256, group),
            "w2": random_weight(4, 256, inter, group),
            "topk_weights": torch.empty(64, 2),
            "topk_ids": torch.empty(64, 2, dtype=torch.int64),
            "act_tile": act_tile,
            "plan": Plan("ring", block_m, tile, tile),
        }
    return list(compile_op(moe_w4a8, arguments, "sm_90").launches.kernels)


@pytest.mark.parametrize("block_m", [16, 64])
@pytest.mark.parametrize("act_tile", ACT_TILES)
def test_group_64_compiles_without_spills(act_tile: int, block_m: int) -> None:
    """No model of the suite has it, so that no other test compiles it: few rows of a block, and most."""
    kernels = compiled(384, block_m=block_m, group=64, act_tile=act_tile)
    assert [kernel.name for kernel in kernels] == RING
    assert [(k.name, k.spills, k.stack_bytes) for k in kernels if k.spills or k.stack_bytes] == []


def test_every_model_fits_and_what_does_not_is_refused_by_name() -> None:
    assert all(fits(shape.hidden, shape.inter) for shape in SHAPES.values())
    assert not fits(2048, 128) and not fits(2048, 516)
    with pytest.raises(HostFailure, match=r"plan\.path is 'ring' for hidden 256, inter 128"):
        compiled(inter=128, stages=8)
    with pytest.raises(ValueError, match="warp_groups is 3"):
        RingTile(8, 3)
    with pytest.raises(ValueError, match="stages is 1"):
        RingTile(1)
    with pytest.raises(HostFailure, match=r"plan\.block_m is 128"):
        compiled(inter=256, stages=8, block_m=128)


@pytest.mark.filterwarnings("ignore:no tiles are tuned")
def test_a_problem_that_does_not_fit_is_planned_without_it() -> None:
    problem = Problem(1696, 2048, 96, 256, 8, 32, 32, "hoisted")
    assert plan_for(Target("cuda", "90"), problem).path == "blocks"


def test_a_plan_may_ask_for_more_stages_than_have_room() -> None:
    assert [kernel.name for kernel in compiled(inter=256, stages=99)] == RING
