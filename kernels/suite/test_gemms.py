"""The two grouped GEMMs alone, each expert with 64 tokens: what the whole op is made of."""

from __future__ import annotations

from typing import Any

import pytest

from kernels.shapes import QWEN35_35B, Shape
from kernels.suite.gemm_problems import down, gate_up, gemm_problem

pytestmark = pytest.mark.full
shapes = pytest.mark.parametrize("shape", [QWEN35_35B], ids=lambda shape: shape.name)
tokens = pytest.mark.parametrize("m", [2048], ids="m={}".format)
groups = pytest.mark.parametrize(("group", "tile"), [(128, 128), (32, 32)], ids=["g=128", "g=32"])


@shapes
@tokens
@groups
def test_gate_up(gpu_benchmark: Any, shape: Shape, m: int, group: int, tile: int) -> None:
    gpu_benchmark(gate_up, **gemm_problem(shape, m, group, tile, second=False).arguments())


@shapes
@tokens
@groups
def test_down(gpu_benchmark: Any, shape: Shape, m: int, group: int, tile: int) -> None:
    gpu_benchmark(down, **gemm_problem(shape, m, group, tile, second=True).arguments())
