"""The roofline is the data sheet's: the memory's or the arithmetic's, whichever takes longer."""

from __future__ import annotations

import pytest

from kernels.shapes import MIXTRAL_8X7B, QWEN35_35B, Shape
from kernels.suite.problems import moe_problem
from perfsuite.measure.roofline import roofline_ns

H200 = "NVIDIA H200"


def test_the_slower_of_memory_and_arithmetic_counts() -> None:
    assert roofline_ns(H200, 4_800_000, None, "int8") == pytest.approx(1_000)
    assert roofline_ns(H200, None, 1_979_000_000, "int8") == pytest.approx(1_000)
    assert roofline_ns(H200, 4_800_000, 2 * 1_979_000_000, "int8") == pytest.approx(2_000)
    assert roofline_ns(H200, 4_800_000, 10**12, "int1") == pytest.approx(1_000)


@pytest.mark.parametrize("gpu", [None, "", "NVIDIA L40S", "NVIDIA GH200 480GB", "AMD Instinct MI300X"])
def test_of_a_gpu_that_is_not_known_nothing_is_said(gpu: str | None) -> None:
    assert roofline_ns(gpu, 10**9, 10**12, "int8") is None
    assert roofline_ns(H200, 0, 0, "int8") is None


@pytest.mark.parametrize(
    ("shape", "m", "least_us", "bound"),
    [
        # 8 of 256 experts, 3 · 2048 · 512 weights each, half a byte and a 64th of one for the scale.
        (QWEN35_35B, 1, 2.7, "bytes"),
        (QWEN35_35B, 4096, 104.1, "operations"),
        (MIXTRAL_8X7B, 4096, 1458.4, "operations"),
    ],
)
def test_problems_count_what_must_be_moved_or_done(shape: Shape, m: int, least_us: float, bound: str) -> None:
    problem = moe_problem(shape, m, 128, act_tile=128)
    alone = {
        "bytes": roofline_ns(H200, problem.bytes, None, "int8"),
        "operations": roofline_ns(H200, None, problem.operations, "int8"),
    }
    whole = roofline_ns(H200, problem.bytes, problem.operations, "int8")
    assert whole == max(filter(None, alone.values())) == alone[bound]
    assert whole == pytest.approx(least_us * 1_000, rel=0.02)
