"""Dense INT4 products of one token: what Qwen3.5-35B-A3B multiplies outside its experts, K = 2048."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from kernels import reference
from kernels.matvec_w4 import matvec_w4
from kernels.quantize import random_weight
from kernels.suite.problems import BenchmarkProblem

pytestmark = pytest.mark.full
K = 2048
ROWS = (1, 256, 1024, 2048, 12352, 248320)
"""Shared-expert gate, router, gate_up, o_proj, the input projection of linear attention, lm_head."""
SMALL_ROWS, SMALL_K = 70, 384
"""What Triton's interpreter gets at most: rows that fill no block, and tiles that are no power of two."""
TOLERANCE = {32: 0.008, 128: 0.01}
"""RMS relative error that passes, by activation tile. Expected: 0.58 % and 0.7 %."""


def matvec_problem(rows: int, group: int, act_tile: int) -> BenchmarkProblem:
    """One token times `rows` × K."""

    def inputs(rows: int, k: int) -> Callable[[int], Mapping[str, Any]]:
        def make(seed: int) -> Mapping[str, Any]:
            torch.manual_seed(seed)
            weight = random_weight(1, rows, k, group)
            x = torch.randn(1, k)
            if rows == 1:
                # A single product may be near zero by chance, and its relative error anything: turned
                # towards the row, x makes it about √K.
                x += reference.dequantize(weight) * k**0.5
            return {"x": x.bfloat16(), "weight": weight, "act_tile": act_tile}

        return make

    moved = rows * K // 2 + rows * (K // group) * 2 + 2 * K + 2 * rows
    small = inputs(min(rows, SMALL_ROWS), SMALL_K)
    return BenchmarkProblem(
        inputs(rows, K), small, reference.matvec_w4, TOLERANCE[act_tile], bytes=moved, operations=2 * rows * K
    )


@pytest.mark.parametrize("rows", ROWS, ids="N={}".format)
@pytest.mark.parametrize("group", [32, 128], ids="g={}".format)
def test_matvec(gpu_benchmark: Any, rows: int, group: int) -> None:
    """The activation tile is as wide as the group."""
    gpu_benchmark(matvec_w4, **matvec_problem(rows, group, act_tile=group).arguments())
