"""Dense layers of a prefill of Qwen3.5-35B-A3B: weights dequantized, then a bf16 product."""

from __future__ import annotations

from typing import Any

import pytest

from kernels.dequant_gemm import dequant_gemm, dequantize
from kernels.shapes import QWEN35_35B
from kernels.suite.problems import dense_problem, dequantize_problem

pytestmark = pytest.mark.full
K = QWEN35_35B.hidden
GROUP = 128
widths = pytest.mark.parametrize("n", [2048, 12352], ids="n={}".format)
"""The output projection of attention, and the input projection of the linear attention."""


@widths
def test_dequantize(gpu_benchmark: Any, n: int) -> None:
    problem = dequantize_problem(n, K, GROUP)
    gpu_benchmark(dequantize, **problem.arguments())


@widths
@pytest.mark.parametrize("m", [512, 1696], ids="m={}".format)
def test_dense_prefill(gpu_benchmark: Any, n: int, m: int) -> None:
    problem = dense_problem(m, n, K, GROUP)
    gpu_benchmark(dequant_gemm, **problem.arguments())
