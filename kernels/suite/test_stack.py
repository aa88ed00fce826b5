"""All MoE layers of Qwen3.5-35B-A3B in sequence, weights of their own each: a prefill, a decode step."""

from __future__ import annotations

from typing import Any

import pytest

from kernels.shapes import QWEN35_35B, Shape
from kernels.stack import moe_stack
from kernels.suite.problems import stack_problem

pytestmark = pytest.mark.full
GROUP = ACT_TILE = 128
shapes = pytest.mark.parametrize("shape", [QWEN35_35B], ids=lambda shape: shape.name)


@shapes
@pytest.mark.parametrize("m", [1, 1600], ids="m={}".format)
def test_stack(gpu_benchmark: Any, shape: Shape, m: int) -> None:
    problem = stack_problem(shape, m, GROUP, act_tile=ACT_TILE)
    gpu_benchmark(moe_stack, **problem.arguments())
