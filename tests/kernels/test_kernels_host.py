"""The host side: packing, refusals, meta tensors, problems, tables. Nothing is launched."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import kernels
from kernels import inputs, reference
from kernels.decode import DecodeTile, decode_down, decode_gate_up
from kernels.dequant_gemm import dequantize
from kernels.gemms import gate_up
from kernels.integer import MOST_MULTIPLIER, pack_integer, random_integer_weight, unpack_integer
from kernels.matvec_w4 import matvec_w4
from kernels.moe_integer import moe_w4a8_integer
from kernels.moe_w4a8 import moe_w4a8
from kernels.quantize import (
    GROUPS,
    TILE,
    PackedWeight,
    pack_codes,
    pack_int4,
    padded_k,
    quantize_rows,
    random_weight,
    unpack_int4,
)
from kernels.ring import RingTile
from kernels.routing import align_experts, most_blocks, route_and_quantize
from kernels.shapes import QWEN35_35B, SHAPES
from kernels.suite import problems
from kernels.tuning import SAFE_TILE, Plan


@pytest.mark.parametrize("group", GROUPS)
def test_packing_keeps_every_code(group: int) -> None:
    codes = torch.randint(-8, 8, (2, 6, 256), dtype=torch.int8)
    ones = torch.ones(2, 256 // group, 6, dtype=torch.bfloat16)
    weight = PackedWeight(pack_codes(codes), ones, group, (2, 6, 256))
    assert torch.equal(unpack_int4(weight), codes.float())
    assert torch.equal(unpack_int4(weight, torch.tensor([1])), codes[1:].float())


@pytest.mark.parametrize(("k", "group"), [(96, 32), (32, 32), (128, 64), (256, 128)])
def test_packing_is_within_half_a_step(k: int, group: int) -> None:
    weight = torch.randn(3, 5, k)
    packed = pack_int4(weight, group)
    steps = packed.scales.float().transpose(1, 2)[..., : k // group].repeat_interleave(group, -1)
    # bf16 scales may be a little too small for the largest weight of a group.
    assert ((unpack_int4(packed) - weight).abs() <= steps * 0.53).all()


def test_low_nibbles_hold_the_first_half_of_a_tile() -> None:
    codes = torch.zeros(1, 2, 2 * TILE, dtype=torch.int8)
    codes[0, 1, TILE + 3], codes[0, 1, TILE + 64 + 3] = -1, 5
    packed = pack_codes(codes)
    assert packed.shape == (1, 2, 2, TILE // 2)
    assert packed[0, 1, 1, 3] == 0x5F
    assert packed.count_nonzero() == 1


@pytest.mark.parametrize(("k", "padded"), [(32, 128), (128, 128), (160, 256), (2880, 2944)])
def test_padding_to_a_tile_weighs_nothing(k: int, padded: int) -> None:
    assert padded_k(k) == padded
    for weight in (random_weight(2, 3, k, 32), pack_int4(torch.randn(2, 3, k), 32)):
        assert weight.scales.shape == (2, padded // 32, 3)
        assert not weight.scales[:, k // 32 :].any()
        assert weight.scales[:, : k // 32].all()


def layer(m: int = 4) -> dict[str, Any]:
    ids = torch.zeros(m, 2, dtype=torch.int64)
    return {
        "x": torch.zeros(m, 64, dtype=torch.bfloat16),
        "w1": random_weight(4, 64, 64, 32),
        "w2": random_weight(4, 64, 32, 32),
        "topk_weights": torch.ones(m, 2),
        "topk_ids": ids,
    }


def packed(experts: int, rows: int, k: int, group: int = 32, device: str = "cpu") -> PackedWeight:
    with torch.device(device):
        codes = torch.zeros(experts, padded_k(k) // TILE, rows, TILE // 2, dtype=torch.uint8)
        scales = torch.zeros(experts, padded_k(k) // group, rows, dtype=torch.bfloat16)
    return PackedWeight(codes, scales, group, (experts, rows, k))


CHOICELESS = {"topk_weights": torch.ones(4, 0), "topk_ids": torch.zeros(4, 0, dtype=torch.int64)}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": torch.zeros(4, 64)}, TypeError, "x is torch.float32"),
        ({"x": torch.zeros(4, 64, 1, dtype=torch.bfloat16)}, ValueError, "x has shape"),
        ({"x": torch.zeros(64, 4, dtype=torch.bfloat16).T}, ValueError, "x is not contiguous"),
        ({"x": torch.zeros(4, 96, dtype=torch.bfloat16)}, ValueError, r"x has shape \(4, 96\)"),
        ({"w1": torch.zeros(4, 64, 64)}, TypeError, "w1 is a Tensor"),
        ({"w2": random_weight(4, 64, 64, 64)}, ValueError, "w1 has group 32, w2 64"),
        ({"topk_ids": torch.zeros(4, 2, dtype=torch.int32)}, TypeError, "topk_ids is torch.int32"),
        ({"topk_ids": torch.zeros(3, 2, dtype=torch.int64)}, ValueError, "topk_ids has shape"),
        (
            {"topk_ids": torch.zeros(4, 2, dtype=torch.int64, device="meta")},
            ValueError,
            "topk_ids is on meta",
        ),
        ({"topk_weights": torch.ones(4, 3)}, ValueError, "topk_weights has shape"),
        ({"topk_weights": torch.ones(4, 2).half()}, TypeError, "topk_weights is torch.float16"),
        ({"topk_weights": torch.ones(4, 2, device="meta")}, ValueError, "topk_weights is on meta"),
        ({"topk_ids": [[0, 1]] * 4}, TypeError, "topk_ids is a list"),
        (CHOICELESS, ValueError, "topk_ids has no columns"),
        ({"w1": packed(4, 64, 64, device="meta")}, ValueError, "w1 is on meta, x on cpu"),
        ({"w2": packed(4, 64, 32, device="meta")}, ValueError, "w2 is on meta, x on cpu"),
        (
            {"w1": packed(0, 64, 64), "w2": packed(0, 64, 32)},
            ValueError,
            r"w1\.shape has shape \(0, 64, 64\)",
        ),
        ({"w1": packed(4, 0, 64), "w2": packed(4, 64, 0)}, ValueError, "every size must be at least 1"),
        ({"act_tile": 64}, ValueError, "act_tile is 64"),
        ({"act_tile": 32.0}, ValueError, r"act_tile is 32\.0"),
        ({"variant": "fast"}, ValueError, "variant is 'fast'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments_are_refused_by_name(
    change: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        moe_w4a8(**{**layer(), **change})


X, IDS, DECODE_TILE = torch.zeros(4, 64).bfloat16(), torch.zeros(4, 2, dtype=torch.int64), DecodeTile(8, 4, 4)
W1, BLOCKS = random_weight(4, 64, 64, 32), Plan("blocks", 16, SAFE_TILE, SAFE_TILE)


def gate_up_of(**change: Any) -> object:
    """The first grouped GEMM, on rows that nothing has filled."""
    with torch.device("meta"):
        rows = align_experts(torch.empty(4, 2, dtype=torch.int64), 4, 16)
        count = rows.slots.shape[0]
        operands = (torch.empty(count, 128, dtype=torch.int8), torch.empty(4, count))
        made = {"w1": packed(4, 64, 64, device="meta"), "routing": rows, "plan": BLOCKS} | change
    return gate_up(*operands, act_tile=32, **made)


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: decode_gate_up(X.float(), W1, IDS, act_tile=32, tile=DECODE_TILE),
        TypeError,
        "x is torch.float32",
    ),
    (lambda: decode_gate_up(X, X, IDS, act_tile=32, tile=DECODE_TILE), TypeError, "w1 is a Tensor"),  # type: ignore[arg-type]
    (lambda: decode_gate_up(X, W1, IDS, act_tile=32, tile=SAFE_TILE), TypeError, "tile is a Tile"),  # type: ignore[arg-type]
    (
        lambda: decode_gate_up(X, packed(0, 64, 64), IDS, act_tile=32, tile=DECODE_TILE),
        ValueError,
        r"w1\.shape has shape \(0,",
    ),
    (
        lambda: decode_down(X, W1, torch.ones(4, 2), IDS, X, tile=DECODE_TILE),
        ValueError,
        r"act has shape \(4, 64\)",
    ),
    (lambda: matvec_w4(X, X), TypeError, "weight is a Tensor"),  # type: ignore[arg-type]
    (lambda: matvec_w4(X, packed(1, 0, 64)), ValueError, r"weight\.shape has shape \(1, 0, 64\)"),
    (lambda: matvec_w4(X, packed(1, 8, 64), tile=SAFE_TILE), TypeError, "tile is a Tile"),  # type: ignore[arg-type]
    (lambda: dequantize(packed(1, 0, 64)), ValueError, r"weight\.shape has shape \(1, 0, 64\)"),
    (lambda: gate_up_of(w1=X), TypeError, "w1 is a Tensor"),
    (lambda: gate_up_of(w1=W1), ValueError, "routing.slots is on meta"),
    (lambda: gate_up_of(w1=packed(4, 63, 64, device="meta")), ValueError, "w1 has 63 rows"),
    (lambda: gate_up_of(routing=None), TypeError, "routing is a NoneType; it must be a Routing"),
    (lambda: gate_up_of(plan=None), TypeError, "plan is a NoneType; it must be a Plan"),
    (lambda: gate_up_of(plan=Plan("ring", 16, RingTile(8), RingTile(8))), ValueError, "architecture sm_90"),
    (lambda: gate_up_of(plan=replace(BLOCKS, block_m=32)), ValueError, "plan.block_m is 32"),
    (lambda: pack_integer(torch.zeros(2, 4, 0)), ValueError, r"weight has shape \(2, 4, 0\)"),
]


@pytest.mark.parametrize(
    ("call", "error", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_parts_refuse_by_name_too(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_more_choices_than_experts_are_legal() -> None:
    with torch.device("meta"):
        w1, w2 = random_weight(2, 512, 256, 128), random_weight(2, 256, 256, 128)
        ids, x = torch.empty(3, 5, dtype=torch.int64), torch.empty(3, 256, dtype=torch.bfloat16)
        assert moe_w4a8(x, w1, w2, torch.empty(3, 5), ids).shape == (3, 256)


@pytest.mark.parametrize("wrong", [-1, 4, 2**40])
def test_debug_refuses_ids_out_of_range_by_name(wrong: int) -> None:
    arguments = layer()
    arguments["topk_ids"][2, 1] = arguments["topk_ids"][3, 0] = wrong
    words = rf"topk_ids\[2, 1\] is {wrong}; experts are 0 to 3 \(2 ids are out of range\)"
    with pytest.raises(ValueError, match=words):
        moe_w4a8(**arguments, debug=True)


@pytest.mark.parametrize(
    ("variant", "plan", "words"),
    [
        ("hoisted", Plan("heaps", 16, SAFE_TILE, SAFE_TILE), "plan.path is 'heaps'"),
        ("hoisted", Plan("blocks", 24, SAFE_TILE, SAFE_TILE), "plan.block_m is 24"),
        (
            "in_loop",
            Plan("ring", 16, RingTile(8), RingTile(8)),
            "plan.path is 'ring'; it must be one of 'blocks'",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused(variant: str, plan: Plan, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        moe_w4a8(**layer(), variant=variant, plan=plan)


def test_a_group_must_fit() -> None:
    with pytest.raises(ValueError, match="group is 48"):
        pack_int4(torch.zeros(1, 2, 96), 48)
    with pytest.raises(ValueError, match="K is 96"):
        pack_int4(torch.zeros(1, 2, 96), 64)
    with pytest.raises(TypeError, match=r"weight is torch\.int8"):
        pack_int4(torch.zeros(1, 2, 96, dtype=torch.int8), 32)
    with pytest.raises(ValueError, match="scales has shape"):
        weight = random_weight(1, 2, 64, 32)
        PackedWeight(weight.packed, weight.scales[:, :1].contiguous(), 32, (1, 2, 64))


def test_the_cpu_needs_the_interpreter() -> None:
    with pytest.raises(ValueError, match="TRITON_INTERPRET=1"):
        moe_w4a8(**layer())


def integer_layer() -> dict[str, Any]:
    weights = {"w1": random_integer_weight(4, 128, 128), "w2": random_integer_weight(4, 128, 64)}
    return layer() | {"x": torch.zeros(4, 128, dtype=torch.bfloat16)} | weights


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"w1": random_weight(4, 128, 128, 128)}, TypeError, "w1 is a PackedWeight"),
        ({"x": torch.zeros(4, 64, dtype=torch.bfloat16)}, ValueError, r"x has shape \(4, 64\)"),
        ({"topk_weights": torch.ones(4, 3)}, ValueError, "topk_weights has shape"),
        (
            {"topk_ids": torch.zeros(4, 2, dtype=torch.int64, device="meta")},
            ValueError,
            "topk_ids is on meta",
        ),
        (CHOICELESS, ValueError, "topk_ids has no columns"),
        ({"block_m": 24}, ValueError, "block_m is 24"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_integer_mode_refuses_by_name(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        moe_w4a8_integer(**{**integer_layer(), **change})


def test_integer_packing_is_near_the_weights_and_needs_whole_groups() -> None:
    weight = torch.randn(2, 6, 256)
    packed = pack_integer(weight)
    steps = packed.row_scales[..., None] * packed.multipliers.float().transpose(1, 2)
    error = (unpack_integer(packed) - weight).abs()
    # bf16 has no part in it: half a step, but for the rounding of fp32.
    assert (error <= steps.repeat_interleave(TILE, -1) * 0.5001).all()
    assert packed.multipliers.max() == MOST_MULTIPLIER
    with pytest.raises(ValueError, match="K in 128s"):
        pack_integer(torch.randn(2, 6, 160))
    with pytest.raises(TypeError, match=r"weight is torch\.int8"):
        pack_integer(torch.zeros(1, 2, 128, dtype=torch.int8))


@pytest.mark.parametrize("m", [1, 100])
@pytest.mark.parametrize("variant", ["hoisted", "in_loop"])
def test_meta_tensors_pass_through_the_host_side(m: int, variant: str) -> None:
    problem = problems.moe_problem(QWEN35_35B, m, 128, act_tile=128, variant=variant)
    with torch.device("meta"):
        out = moe_w4a8(**problem.inputs(0))
    assert (out.shape, out.dtype, out.device.type) == ((m, 2048), torch.bfloat16, "meta")


def test_meta_tensors_pass_through_the_small_ops() -> None:
    with torch.device("meta"):
        codes, scales = quantize_rows(torch.empty(3, 256, dtype=torch.bfloat16), 128)
        routing = align_experts(torch.empty(100, 8, dtype=torch.int64), 256, 16)
    assert (tuple(codes.shape), tuple(scales.shape)) == ((3, 256), (2, 3))
    assert routing.expert.numel() == most_blocks(800, 256, 16) == 290


def test_weights_are_shared_and_freed() -> None:
    problem = problems.moe_problem(problems.shrunk(QWEN35_35B), 2, 32, act_tile=32)
    first, again, other = problem.inputs(0), problem.inputs(4), problem.inputs(1)
    assert first["w1"] is again["w1"]
    assert first["w1"] is not other["w1"]
    assert not torch.equal(first["x"], again["x"])
    assert len(inputs._weights) == 4
    del first, again, other
    gc.collect()
    assert len(inputs._weights) == 0


def test_a_seed_makes_the_same_inputs_again() -> None:
    problem = problems.moe_problem(problems.shrunk(QWEN35_35B), 3, 32, act_tile=32)
    first = problem.inputs(5)
    kept = {name: value.clone() for name, value in first.items() if isinstance(value, torch.Tensor)}
    packed = first["w1"].packed.clone()
    del first
    gc.collect()
    again = problem.inputs(5)
    assert all(torch.equal(again[name], value) for name, value in kept.items())
    assert torch.equal(again["w1"].packed, packed)
    assert (again["w1"].packed != 0).any()


def test_bytes_and_operations() -> None:
    problem = problems.moe_problem(QWEN35_35B, 1, 128, act_tile=128)
    # 8 experts of 3 MiB of INT4 weights halved, and their scales.
    assert problem.bytes == pytest.approx(8 * 3 * 2**20 / 2, rel=0.04)
    assert problem.operations == 2 * 8 * 3 * 2**20


def test_shapes_allow_their_groups() -> None:
    assert len(SHAPES) == 5
    for shape in SHAPES.values():
        assert all(shape.hidden % group == 0 and shape.inter % group == 0 for group in shape.groups)


def test_the_package_names_its_ops() -> None:
    assert kernels.align_experts is align_experts
    assert kernels.route_and_quantize is route_and_quantize
    assert {getattr(kernels, name).__name__ for name in kernels.__all__} == set(kernels.__all__)
    with pytest.raises(AttributeError, match="its ops are"):
        _ = kernels.nothing


def test_the_twin_of_the_whole_op_is_the_formula() -> None:
    torch.manual_seed(0)
    arguments = layer(m=1) | {
        "topk_ids": torch.tensor([[2, 1]]),
        "topk_weights": torch.tensor([[0.25, 0.75]]),
    }
    arguments["x"] = torch.randn(1, 64).bfloat16()
    want = torch.zeros(64)
    for weight, expert in ((0.25, 2), (0.75, 1)):
        gate, up = (unpack_int4(arguments["w1"])[expert] @ arguments["x"][0].float()).chunk(2)
        want += weight * (unpack_int4(arguments["w2"])[expert] @ (torch.nn.functional.silu(gate) * up))
    torch.testing.assert_close(reference.moe_w4a8(**arguments)[0], want)
