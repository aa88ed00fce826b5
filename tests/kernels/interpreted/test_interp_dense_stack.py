"""Dequantizing, the bf16 baseline and the layer stack against their plain-torch twins."""

from __future__ import annotations

import pytest
import torch
from stand_in import poisoned, rms_error

from kernels import reference
from kernels.baselines import moe_grouped_bf16
from kernels.dequant_gemm import dequant_gemm, dequantize
from kernels.inputs import moe_tokens
from kernels.quantize import PackedWeight, pack_codes, random_weight
from kernels.shapes import Shape
from kernels.stack import Generation, add_rms_norm, draw, generate, moe_stack
from kernels.suite.problems import stack_problem

TINY = Shape("tiny", 96, 64, 4, 2, layers=2)


@pytest.mark.parametrize(("n", "k", "group"), [(70, 96, 32), (5, 64, 64), (33, 192, 64), (16, 256, 128)])
def test_dequantized_weights_are_rounded_once(n: int, k: int, group: int) -> None:
    weight = random_weight(1, n, k, group)
    with poisoned():
        dense = dequantize(weight)
    assert dense.dtype == torch.bfloat16
    assert torch.equal(dense, reference.dequantize(weight).bfloat16())


def test_every_code_is_dequantized() -> None:
    codes = torch.arange(-8, 8, dtype=torch.int8).repeat(8).view(1, 1, 128)
    scales = torch.full((1, 1, 1), 0.5, dtype=torch.bfloat16)
    weight = PackedWeight(pack_codes(codes), scales, 128, (1, 1, 128))
    assert torch.equal(dequantize(weight).float(), codes[0] * 0.5)


@pytest.mark.parametrize("m", [1, 40])
def test_dense_prefill(m: int) -> None:
    weight = random_weight(1, 70, 96, 32)
    x = torch.randn(m, 96).bfloat16()
    with poisoned():
        out = dequant_gemm(x, weight)
    assert out.dtype == torch.bfloat16
    assert rms_error(out, reference.dequant_gemm(x, weight)) < 0.006


@pytest.mark.parametrize("m", [1, 40])
def test_the_grouped_baseline(m: int) -> None:
    shape = Shape("", 64, 32, 16, 2)
    w1, w2 = (torch.randn(16, *size).bfloat16() / 8 for size in ((64, 64), (64, 32)))
    arguments = {"w1": w1, "w2": w2, **moe_tokens(shape, m, 3)}
    # One expert gets every token, others none.
    arguments["topk_ids"][:, 0] = 11
    arguments["topk_ids"][:, 1] = 4
    with poisoned():
        out = moe_grouped_bf16(**arguments)
    assert rms_error(out, reference.moe_grouped_bf16(**arguments)) < 0.01


def test_the_baseline_computes_the_layer_of_the_quantized_op() -> None:
    tokens = moe_tokens(TINY, 9, 3)
    w1, w2 = random_weight(4, 128, 96, 32), random_weight(4, 96, 64, 32)
    dense = [reference.unpack_int4(weight).bfloat16() for weight in (w1, w2)]
    assert (
        rms_error(
            moe_grouped_bf16(w1=dense[0], w2=dense[1], **tokens), reference.moe_w4a8(w1=w1, w2=w2, **tokens)
        )
        < 0.01
    )


@pytest.mark.parametrize("hidden", [96, 256])
def test_residual_and_norm(hidden: int) -> None:
    x, y = torch.randn(2, 3, hidden).bfloat16()
    x[1] = y[1] = 0
    with poisoned():
        total, normed = add_rms_norm(x, y)
    assert torch.equal(total, (x.float() + y.float()).bfloat16())
    assert rms_error(normed, reference.add_rms_norm(x, y)[1]) < 0.003
    assert (normed[1] == 0).all()
    with poisoned():
        same, normed = add_rms_norm(x)
    assert same is x
    assert rms_error(normed, reference.add_rms_norm(x)[1]) < 0.003


def test_stack() -> None:
    problem = stack_problem(TINY, 20, 32, act_tile=32)
    arguments = problem.inputs(1)
    assert arguments["weights"][0][0] is not arguments["weights"][1][0]
    assert not torch.equal(arguments["routing"][0][1], arguments["routing"][1][1])
    with poisoned():
        out = moe_stack(**arguments)
    assert rms_error(out, problem.reference(**arguments)) < problem.tolerance
    # The layers count: without them the error would be large.
    assert rms_error(out, reference.add_rms_norm(arguments["x"])[1]) > 0.1


def test_each_step_goes_on_from_the_one_before() -> None:
    inputs = draw(Generation(TINY, 32, 32, layers=2, prompt=5, new=3))
    token = moe_stack(inputs.x, inputs.weights, inputs.prefill, act_tile=32)[-1:]
    for step in inputs.steps:
        token = moe_stack(token, inputs.weights, step, act_tile=32)
    assert torch.equal(generate(inputs, 32), token)
    assert len(inputs.steps) == 3
    assert [chances.shape for chances, _ in inputs.steps[0]] == [(1, 2), (1, 2)]
    assert not torch.equal(inputs.steps[0][0][1], inputs.steps[1][0][1])
