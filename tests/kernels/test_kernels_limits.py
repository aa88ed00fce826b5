"""What the ops refuse or get around before the device would: sizes, tiles, ids, nothing to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import kernels
from kernels import _matvec_w4, gemms, ring
from kernels.baselines import moe_grouped_bf16
from kernels.decode import DecodeTile
from kernels.integer import MOST_K, IntegerWeight, random_integer_weight
from kernels.matvec_w4 import matvec_w4
from kernels.moe_integer import moe_w4a8_integer
from kernels.moe_w4a8 import moe_w4a8
from kernels.quantize import PackedWeight, pack_int4, quantize_rows, random_weight
from kernels.ring import RingTile
from kernels.routing import align_experts
from kernels.shapes import QWEN35_35B
from kernels.stack import moe_stack
from kernels.target import Target
from kernels.tuning import Plan, Problem, Tile, plan_for
from perfsuite.static.offline import absent_gpu

H200 = Target("cuda", "90", "NVIDIA H200")
BF16 = torch.bfloat16


def layer(tokens: int) -> dict[str, Any]:
    return {
        "x": torch.zeros(tokens, 128, dtype=BF16),
        "w1": random_weight(4, 128, 128, 64),
        "w2": random_weight(4, 128, 64, 64),
        "topk_weights": torch.ones(tokens, 2),
        "topk_ids": torch.zeros(tokens, 2, dtype=torch.int64),
    }


def integer_layer(tokens: int) -> dict[str, Any]:
    weights = {"w1": random_integer_weight(4, 128, 128), "w2": random_integer_weight(4, 128, 64)}
    return layer(tokens) | weights


def bf16_layer(tokens: int) -> dict[str, Any]:
    weights = {"w1": torch.zeros(4, 128, 128, dtype=BF16), "w2": torch.zeros(4, 128, 64, dtype=BF16)}
    return layer(tokens) | weights


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: Tile(64, 4, "3"), ValueError, "stages is '3'; it must be a whole number from 1 on"),  # type: ignore[arg-type]
    (lambda: Tile(64, 4, 2.5), ValueError, "stages is 2.5"),  # type: ignore[arg-type]
    (lambda: RingTile(1), ValueError, "stages is 1; it must be a whole number from 2 on"),
    (lambda: DecodeTile("8", 1, 1), ValueError, "rows is '8'; it must be a power of two"),  # type: ignore[arg-type]
    (lambda: DecodeTile(True, 1, 1, 1), ValueError, "rows is True"),
    (lambda: DecodeTile(8, 1, 64), ValueError, "warps is 64; a program has at most 32"),
    (lambda: DecodeTile(8, 1, 1, registers=-5), ValueError, "registers is -5"),
    (lambda: quantize_rows(torch.zeros(2, 128, dtype=BF16), 32, 256.0), ValueError, r"padded is 256\.0"),  # type: ignore[arg-type]
    (lambda: align_experts(torch.zeros(2, 2).long(), True, 16), ValueError, "experts is True"),
    (lambda: pack_int4(torch.zeros(0, 4, 128), 32), ValueError, r"weight has shape \(0, 4, 128\)"),
    (lambda: replace(random_weight(1, 8, 128, 32), shape=(8, 128)), ValueError, r"shape is \(8, 128\)"),
    (lambda: replace(random_integer_weight(1, 8, 128), shape=[1, 8, 128]), ValueError, r"shape is \[1, 8"),
    (lambda: moe_w4a8(**layer(2), act_tile=torch.tensor([32, 128])), ValueError, "act_tile is tensor"),  # type: ignore[arg-type]
    (lambda: moe_w4a8(**layer(0), plan="fast"), TypeError, "plan is a str; it must be a Plan"),  # type: ignore[arg-type]
    (lambda: moe_w4a8(**integer_layer(2)), TypeError, "w1 is an IntegerWeight; it must be a PackedWeight"),
    (lambda: moe_w4a8_integer(**integer_layer(0), block_m=7), ValueError, "block_m is 7"),
    (lambda: moe_stack(layer(2)["x"], [], [], act_tile=64), ValueError, "act_tile is 64"),
    (lambda: moe_stack(layer(2)["x"], iter(()), []), TypeError, "weights is a tuple_iterator"),  # type: ignore[arg-type]
    (lambda: matvec_w4(layer(0)["x"], random_weight(1, 8, 128, 32), tile="x"), TypeError, "tile is a str"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("call", "error", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_refused_by_name(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("wrong", [-1, 4])
def test_every_layer_refuses_ids_out_of_range_for_debugging(wrong: int) -> None:
    arguments = layer(3)
    ids = arguments["topk_ids"]
    ids[1, 0] = wrong
    routing = [(arguments["topk_weights"], ids)]
    layers = [(arguments["w1"], arguments["w2"])]
    calls = (
        lambda: moe_w4a8(**arguments, debug=True),
        lambda: moe_w4a8_integer(**integer_layer(3) | {"topk_ids": ids}, debug=True),
        lambda: moe_grouped_bf16(**bf16_layer(3) | {"topk_ids": ids}, debug=True),
        lambda: device_free_stack(arguments["x"], layers, routing),
    )
    for call in calls:
        with pytest.raises(ValueError, match=rf"topk_ids\[1, 0\] is {wrong}; experts are 0 to 3"):
            call()


def device_free_stack(x: torch.Tensor, layers: Any, routing: Any) -> torch.Tensor:
    """`moe_stack` but for its norm, which needs a device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kernels.stack.add_rms_norm", lambda x, y=None: (x, x))
        return moe_stack(x, layers, routing, debug=True)


def test_sums_of_the_integer_mode_fit_32_bits() -> None:
    assert 127 * 8 * 15 * MOST_K < 2**31 <= 127 * 8 * 15 * (MOST_K + 1)
    tiles = MOST_K // 128 + 1
    with torch.device("meta"):
        packed = torch.empty(1, tiles, 1, 64, dtype=torch.uint8)
        scales = torch.empty(1, tiles, 1, dtype=torch.int16), torch.empty(1, 1)
    with pytest.raises(ValueError, match=f"sums of more than {MOST_K} products overflow"):
        IntegerWeight(packed, *scales, (1, 1, tiles * 128))


def test_tokens_are_gathered_as_long_as_32_bits_count_their_elements() -> None:
    shape = QWEN35_35B
    few = Problem(2**20, shape.hidden, shape.inter, shape.experts, shape.top_k, 32, 32, "hoisted")
    plan = plan_for(H200, few)
    assert plan.path == "ring_bf16"
    assert plan_for(H200, replace(few, m=2**20 + 1)) == replace(plan, path="ring")
    with absent_gpu("sm_90"), torch.device("meta"):
        values = torch.empty(2**20 + 1, shape.hidden, dtype=BF16)
        routing = align_experts(torch.empty(2**20 + 1, 1, dtype=torch.int64), 4, 64)
        weight = random_weight(4, 256, shape.hidden, 32)
        with pytest.raises(ValueError, match="elements can be gathered"):
            ring.value_gemm(values, weight, routing, RingTile(8), gated=True, top_k=1)


def test_a_dense_weight_may_have_more_words_than_32_bits_count() -> None:
    rows = 9_000_000
    with absent_gpu("sm_80"), torch.device("meta"):
        x, y = torch.empty(1, 2048, dtype=BF16), torch.empty(1, rows, dtype=BF16)
        weight = random_weight(1, rows, 2048, 128)
        sizes = {"N": rows, "K": 2048, "K_PADDED": 2048, "GROUP": 128, "ACT_TILE": 128, "PTX": True}
        cut = {"ROWS": 8, "LANES": 8, "TILES": 16, "OVERLAP": False}
        tensors = (x, weight.packed.view(torch.int32), weight.scales, y)
        code = _matvec_w4._matvec.warmup(*tensors, 1, grid=(1,), **sizes, **cut).asm["ttir"]
    strides = re.findall(rf"dense<{16 * rows}> : tensor<16xi(\d+)>", code)
    assert strides
    assert set(strides) == {"64"}


def test_gemms_of_no_rows_have_no_rows() -> None:
    for plan in (
        Plan("blocks", 16, Tile(64, 4, 3), Tile(64, 4, 3)),
        Plan("ring", 16, RingTile(8), RingTile(8)),
    ):
        with absent_gpu("sm_90"), torch.device("meta"):
            rows, scales = torch.empty(0, 256, dtype=torch.int8), torch.empty(2, 0)
            routing = replace(align_experts(torch.empty(1, 1, dtype=torch.int64), 4, 16))
            routing = replace(routing, slots=routing.slots[:0])
            w1, w2 = random_weight(4, 512, 256, 128), random_weight(4, 512, 256, 128)
            assert gemms.gate_up(rows, scales, w1, routing, 128, plan=plan).shape == (0, 256)
            assert gemms.down(rows, scales, w2, routing, 128, plan=plan).shape == (0, 512)


def test_who_looks_for_the_op_is_told_where_it_is() -> None:
    with pytest.raises(AttributeError, match=r"from kernels\.moe_w4a8 import moe_w4a8"):
        kernels.__getattr__("moe")


def test_weights_that_cannot_be_copied_are_refused_by_name() -> None:
    flat = torch.empty(8 + 4 * 2 * 256 * 64, dtype=torch.uint8)
    made = random_weight(4, 256, 256, 128)
    weight = PackedWeight(flat[8:].view(4, 2, 256, 64), made.scales, 128, made.shape)
    if weight.packed.data_ptr() % ring.ALIGNMENT == 0:
        weight = PackedWeight(flat[:-8].view(4, 2, 256, 64), made.scales, 128, made.shape)
    codes, scales = torch.empty(64, 256, dtype=torch.int8), torch.empty(2, 64)
    with pytest.raises(ValueError, match=r"weight\.packed begin at no multiple of 16 bytes"):
        ring._descriptors(codes, scales, weight.packed, weight.scales, torch.empty(64, 256), 16, False)
