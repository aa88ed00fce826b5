"""Machine code of the tuned tiles, compiled for an H200 that is not here: no spills, WGMMA, wide loads."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch
import triton

from kernels.moe_w4a8 import moe_w4a8
from kernels.shapes import QWEN35_35B
from kernels.suite.problems import moe_problem
from kernels.tuning import FOLDER, load_table
from perfsuite.static.offline import Compiled, compile_op

ROWS = [problem for problem, _ in load_table(FOLDER / "NVIDIA_H200.json").rows]
CASES = [(row.m, row.group, row.variant) for row in ROWS]


def compiled(m: int, group: int, variant: str) -> Compiled:
    problem = moe_problem(QWEN35_35B, m, group, act_tile=group, variant=variant)
    with torch.device("meta"):
        arguments = problem.inputs(0)
    return compile_op(moe_w4a8, arguments, "sm_90")


def sass(binary: bytes, folder: Path) -> str:
    file = folder / "kernel.cubin"
    file.write_bytes(binary)
    command = [triton.knobs.nvidia.nvdisasm.path, "-c", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("m", "group", "variant"), CASES)
def test_the_machine_code_is_what_was_meant(m: int, group: int, variant: str, tmp_path: Path) -> None:
    result = compiled(m, group, variant)
    gemms = [kernel for kernel in result.launches.kernels if kernel.name.startswith("_gemm")]
    assert [kernel.name for kernel in gemms] == ["_gemm1", "_gemm2"]
    for kernel in result.launches.kernels:
        assert (kernel.name, kernel.spills, kernel.stack_bytes) == (kernel.name, 0, 0)
    for kernel in gemms:
        code = sass(result.binaries[kernel.hash], tmp_path)
        assert "IGMMA" in code, "the dots are not WGMMA"
        assert "IMMA." not in code.replace("IGMMA", ""), "some dots are mma.sync"
        assert re.search(r"LDGSTS\.E\.(BYPASS\.)?128", code), "weights are not loaded 16 bytes at a time"
        assert not re.search(r"LDG(STS)?\.E\.[US]8", code), "something is loaded byte by byte"


def test_decode_sorts_nothing_and_prefill_sorts_in_two_launches() -> None:
    decode = [kernel.name for kernel in compiled(1, 128, "hoisted").launches.kernels]
    assert decode == ["_gemm1", "_silu_mul_quantize", "_gemm2", "_weighted_sum"]
    prefill = [kernel.name for kernel in compiled(1696, 128, "hoisted").launches.kernels]
    assert prefill == ["_count_experts", "_place_slots", "_quantize_rows", *decode]
