"""The whole op on Qwen3.5-35B-A3B: decode and prefill, and the hoist against its baseline."""

from __future__ import annotations

from typing import Any

import pytest

from kernels.moe_w4a8 import moe_w4a8
from kernels.shapes import QWEN35_35B, Shape
from kernels.suite.problems import moe_problem

ACT_TILE = {32: 32, 128: 128}
"""Activation tile of a group: llama.cpp's for the small group, the fast one for the large."""

shapes = pytest.mark.parametrize("shape", [QWEN35_35B], ids=lambda shape: shape.name)
groups = pytest.mark.parametrize("group", [32, 128], ids="g={}".format)


@shapes
@pytest.mark.parametrize("m", [1, 8, 64], ids="m={}".format)
@groups
def test_decode(gpu_benchmark: Any, shape: Shape, m: int, group: int) -> None:
    problem = moe_problem(shape, m, group, act_tile=ACT_TILE[group])
    gpu_benchmark(moe_w4a8, **problem.arguments())


@shapes
@pytest.mark.parametrize("m", [512, 1696], ids="m={}".format)
@groups
def test_prefill(gpu_benchmark: Any, shape: Shape, m: int, group: int) -> None:
    problem = moe_problem(shape, m, group, act_tile=ACT_TILE[group])
    gpu_benchmark(moe_w4a8, **problem.arguments())


@shapes
@pytest.mark.parametrize("m", [1696], ids="m={}".format)
@groups
@pytest.mark.parametrize("variant", ["in_loop"])
def test_baseline(gpu_benchmark: Any, shape: Shape, m: int, group: int, variant: str) -> None:
    """What the hoist is measured against: activations quantized in the K-loop."""
    problem = moe_problem(shape, m, group, act_tile=ACT_TILE[group], variant=variant)
    gpu_benchmark(moe_w4a8, **problem.arguments())
