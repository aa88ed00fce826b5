"""The whole op: decode and prefill of Qwen3.5-35B-A3B, the hoist against its baseline, and other models."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kernels.moe_integer import moe_w4a8_integer
from kernels.moe_w4a8 import moe_w4a8
from kernels.shapes import COMPARED, DECODE, MIXTRAL_8X7B, PREFILL, QWEN35_35B, Shape
from kernels.suite.gemm_problems import integer_problem
from kernels.suite.problems import moe_problem, planned

ACT_TILE = {32: 32, 128: 128}
"""Activation tile of a group: llama.cpp's for the small group, the fast one for the large."""
MODEL_ACT_TILE = 128
"""What other implementations are compared at, whatever group a model allows."""

full = pytest.mark.full


def marked(ordinary: tuple[int, ...], every: tuple[int, ...]) -> list[Any]:
    """Values of an axis; those that are not ordinary wait for the profile `full`."""
    return [pytest.param(value, marks=() if value in ordinary else full) for value in every]


shapes = pytest.mark.parametrize("shape", [QWEN35_35B], ids=lambda shape: shape.name)
groups = pytest.mark.parametrize("group", [32, 128], ids="g={}".format)
MODELS = [
    pytest.param(shape, m, max(shape.groups), id=f"{shape.name},m={m},g={max(shape.groups)}")
    for shape, tokens in COMPARED.items()
    for m in tokens
    if shape is not QWEN35_35B
]
"""The other models, at their largest group."""
INTEGER = [
    pytest.param(shape, m, id=f"{shape.name},m={m}")
    for shape, m in ((QWEN35_35B, 1696), (QWEN35_35B, 4096), (MIXTRAL_8X7B, 1600))
]


@shapes
@pytest.mark.parametrize("m", marked((1, 8, 64), DECODE), ids="m={}".format)
@groups
def test_decode(gpu_benchmark: Any, shape: Shape, m: int, group: int) -> None:
    problem = moe_problem(shape, m, group, act_tile=ACT_TILE[group])
    gpu_benchmark(moe_w4a8, **problem.arguments())


@shapes
@pytest.mark.parametrize("m", marked((512, 1696), PREFILL), ids="m={}".format)
@groups
def test_prefill(gpu_benchmark: Any, shape: Shape, m: int, group: int) -> None:
    problem = moe_problem(shape, m, group, act_tile=ACT_TILE[group])
    gpu_benchmark(moe_w4a8, **problem.arguments())


@shapes
@pytest.mark.parametrize("m", marked((1696,), COMPARED[QWEN35_35B]), ids="m={}".format)
@groups
@pytest.mark.parametrize("variant", ["in_loop"])
def test_baseline(gpu_benchmark: Any, shape: Shape, m: int, group: int, variant: str) -> None:
    """What the hoist is measured against: activations quantized in the K-loop."""
    problem = moe_problem(shape, m, group, act_tile=ACT_TILE[group], variant=variant)
    gpu_benchmark(moe_w4a8, **problem.arguments())


def moe_portable(**made: Any) -> torch.Tensor:
    """`moe_w4a8` by the portable GEMM, with the tiles of its in-loop variant."""
    return moe_w4a8(**made, plan=planned(made, "in_loop"))


@full
@shapes
@pytest.mark.parametrize("m", COMPARED[QWEN35_35B], ids="m={}".format)
@groups
def test_portable(gpu_benchmark: Any, shape: Shape, m: int, group: int) -> None:
    """What the hoist alone gains: the same GEMM with the same tiles as `test_baseline`, quantized before."""
    problem = moe_problem(shape, m, group, act_tile=ACT_TILE[group])
    gpu_benchmark(moe_portable, **problem.arguments())


@full
@shapes
@pytest.mark.parametrize("m", [1, 64, 512, 1696], ids="m={}".format)
@pytest.mark.parametrize(("group", "tile"), [(32, 128), (128, 32)], ids=["g=32,tile=128", "g=128,tile=32"])
def test_tiles(gpu_benchmark: Any, shape: Shape, m: int, group: int, tile: int) -> None:
    """The other activation tile of each group: speed and accuracy side by side."""
    problem = moe_problem(shape, m, group, act_tile=tile)
    gpu_benchmark(moe_w4a8, **problem.arguments())


@full
@pytest.mark.parametrize(("shape", "m", "group"), MODELS)
def test_models(gpu_benchmark: Any, shape: Shape, m: int, group: int) -> None:
    problem = moe_problem(shape, m, group, act_tile=MODEL_ACT_TILE)
    gpu_benchmark(moe_w4a8, **problem.arguments())


@full
@pytest.mark.parametrize(("shape", "m", "group"), MODELS)
@pytest.mark.parametrize("variant", ["in_loop"])
def test_models_baseline(gpu_benchmark: Any, shape: Shape, m: int, group: int, variant: str) -> None:
    problem = moe_problem(shape, m, group, act_tile=MODEL_ACT_TILE, variant=variant)
    gpu_benchmark(moe_w4a8, **problem.arguments())


@full
@pytest.mark.parametrize(("shape", "m"), INTEGER)
@pytest.mark.parametrize("group", [128], ids="g={}".format)
def test_integer(gpu_benchmark: Any, shape: Shape, m: int, group: int) -> None:
    """Integer multipliers of groups, one scale a token: numerics, and a gate, of its own."""
    gpu_benchmark(moe_w4a8_integer, **integer_problem(shape, m).arguments())
