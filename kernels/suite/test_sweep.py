"""Blocks of 16, 32 and 64 tokens: they change the time, and no bit of the output."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from kernels.moe_w4a8 import moe_w4a8
from kernels.shapes import QWEN35_35B, Shape
from kernels.suite.problems import BenchmarkProblem, moe_problem, planned
from kernels.tuning import with_block_m

pytestmark = pytest.mark.full
GROUP = ACT_TILE = 128
FIRST, *OTHERS = 16, 32, 64


def moe_in_blocks(*, block_m: int, **made: Any) -> torch.Tensor:
    """`moe_w4a8` with the tuned plan, but for the tokens of a block."""
    return moe_w4a8(**made, plan=with_block_m(planned(made, "hoisted"), block_m))


def block_problem(shape: Shape, m: int, block_m: int) -> BenchmarkProblem:
    """The smallest blocks answer to the truth, the others to the smallest: equal, to the last bit."""
    whole = moe_problem(shape, m, GROUP, act_tile=ACT_TILE)

    def in_blocks(made: Any, size: int) -> dict[str, Any]:
        return {name: value for name, value in made.items() if name != "variant"} | {"block_m": size}

    problem = replace(
        whole,
        inputs=lambda seed: in_blocks(whole.inputs(seed), block_m),
        small=lambda seed: in_blocks(whole.small(seed), block_m),
    )
    if block_m == FIRST:
        return problem
    return replace(problem, reference=lambda **made: moe_in_blocks(**in_blocks(made, FIRST)), tolerance=0.0)


@pytest.mark.parametrize("shape", [QWEN35_35B], ids=lambda shape: shape.name)
@pytest.mark.parametrize("m", [1696], ids="m={}".format)
@pytest.mark.parametrize("block_m", [FIRST, *OTHERS], ids="block_m={}".format)
def test_block_m(gpu_benchmark: Any, shape: Shape, m: int, block_m: int) -> None:
    problem = block_problem(shape, m, block_m)
    gpu_benchmark(moe_in_blocks, hash_output=True, **problem.arguments())
