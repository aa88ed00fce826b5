"""The same layers in bf16 through torch's grouped product, beside the quantized op at every compared size."""

from __future__ import annotations

from typing import Any

import pytest

from kernels.baselines import moe_grouped_bf16
from kernels.shapes import COMPARED, Shape
from kernels.suite.problems import grouped_bf16_problem

pytestmark = pytest.mark.full
CASES = [
    pytest.param(shape, m, id=f"{shape.name},m={m}") for shape, tokens in COMPARED.items() for m in tokens
]


@pytest.mark.parametrize(("shape", "m"), CASES)
def test_grouped_bf16(gpu_benchmark: Any, shape: Shape, m: int) -> None:
    problem = grouped_bf16_problem(shape, m)
    gpu_benchmark(moe_grouped_bf16, **problem.arguments())
