"""Quantization of activation rows, before each of the two GEMMs, at the sizes of Qwen3.5-35B-A3B."""

from __future__ import annotations

from typing import Any

import pytest

from kernels.quantize import quantize_rows, silu_mul_quantize
from kernels.shapes import QWEN35_35B, Shape
from kernels.suite.problems import rows_problem

shapes = pytest.mark.parametrize("shape", [QWEN35_35B], ids=lambda shape: shape.name)
full = pytest.mark.full
tokens = pytest.mark.parametrize(
    "m", [64, 1696, pytest.param(512, marks=full), pytest.param(4096, marks=full)], ids="m={}".format
)
tiles = pytest.mark.parametrize("tile", [32, 128], ids="tile={}".format)


@shapes
@tokens
@tiles
def test_rows(gpu_benchmark: Any, shape: Shape, m: int, tile: int) -> None:
    problem = rows_problem(m, shape.hidden, tile, gated=False)
    gpu_benchmark(quantize_rows, **problem.arguments())


@shapes
@tokens
@tiles
def test_silu_mul(gpu_benchmark: Any, shape: Shape, m: int, tile: int) -> None:
    problem = rows_problem(m * shape.top_k, shape.inter, tile, gated=True)
    gpu_benchmark(silu_mul_quantize, **problem.arguments())
