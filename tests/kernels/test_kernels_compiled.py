"""Machine code of whole ops for GPUs that are not here: what is launched, how it loads, and no spills."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import torch
import triton

from kernels.matvec_w4 import _fits_hopper, matvec_w4
from kernels.moe_integer import moe_w4a8_integer
from kernels.moe_w4a8 import moe_w4a8
from kernels.quantize import random_weight
from kernels.shapes import GPT_OSS_120B, MIXTRAL_8X7B, QWEN35_35B, Shape
from kernels.suite.gemm_problems import integer_problem
from kernels.suite.problems import moe_problem
from kernels.suite.test_matvec import matvec_problem
from kernels.target import INTERPRETER, Target, overlap, overlaps
from perfsuite.static.offline import Compiled, absent_gpu, compile_op

pytestmark = pytest.mark.filterwarnings("ignore:no tiles are tuned")
TARGETS = ("sm_80", "sm_89", "sm_90", "sm_100")
PORTABLE = tuple(target for target in TARGETS if target != "sm_90")
DECODE = ["_gate_up", "_down"]
SORT = ["_count_experts", "_place_slots"]
RING = ["_grouped", "_quantize_rows", "_grouped", "_weighted_sum"]
BLOCKS = ["_gemm", "_silu_mul_quantize", "_gemm", "_weighted_sum"]
IN_LOOP = ["_gemm", "_silu_mul", "_gemm", "_weighted_sum"]
MOE = [
    (QWEN35_35B, 1, 128, 128, "hoisted"),
    (QWEN35_35B, 64, 128, 128, "hoisted"),
    (QWEN35_35B, 1696, 128, 128, "hoisted"),
    (QWEN35_35B, 1696, 128, 128, "in_loop"),
    (QWEN35_35B, 1696, 32, 32, "hoisted"),
    (QWEN35_35B, 1696, 32, 32, "in_loop"),
    (MIXTRAL_8X7B, 1600, 128, 128, "hoisted"),
    (GPT_OSS_120B, 1, 32, 128, "hoisted"),
    (GPT_OSS_120B, 2048, 32, 128, "hoisted"),
]
"""Shape, tokens, group, activation tile, variant: every path, both widths of K, both scales."""


@cache
def moe(
    target: str, shape: Shape, m: int, group: int = 128, act_tile: int = 128, variant: str = "hoisted"
) -> Compiled:
    with torch.device("meta"):
        arguments = moe_problem(shape, m, group, act_tile=act_tile, variant=variant).inputs(0)
    return compile_op(moe_w4a8, arguments, target)


@cache
def integer(target: str) -> Compiled:
    with torch.device("meta"):
        arguments = integer_problem(MIXTRAL_8X7B, 1600).inputs(0)
    return compile_op(moe_w4a8_integer, arguments, target)


@cache
def matvec(target: str, group: int) -> Compiled:
    with torch.device("meta"):
        arguments = matvec_problem(12352, group, act_tile=group).inputs(0)
    return compile_op(matvec_w4, arguments, target)


def names(result: Compiled) -> list[str]:
    return [kernel.name for kernel in result.launches.kernels]


def spilled(result: Compiled) -> list[tuple[str, int | None, int | None]]:
    kernels = result.launches.kernels
    return [(k.name, k.spills, k.stack_bytes) for k in kernels if k.spills or k.stack_bytes]


def sass(result: Compiled, name: str, folder: Path) -> list[str]:
    """Listings of all kernels of that name."""
    found = []
    for kernel in result.launches.kernels:
        if kernel.name == name:
            file = folder / "kernel.cubin"
            file.write_bytes(result.binaries[kernel.hash])
            command = [triton.knobs.nvidia.nvdisasm.path, "-c", str(file)]
            found.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found, f"{name} is not among {names(result)}"
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", MOE, ids=lambda case: "-".join(map(str, (case[0].name, *case[1:]))))
def test_no_kernel_of_the_whole_op_spills(case: tuple[Shape, int, int, int, str], target: str) -> None:
    assert spilled(moe(target, *case)) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("group", [32, 128])
def test_the_dense_product_spills_nowhere(group: int, target: str) -> None:
    assert names(matvec(target, group)) == ["_matvec"]
    assert spilled(matvec(target, group)) == []


@pytest.mark.parametrize(
    ("target", "millions", "fits"), [("sm_90", 8, True), ("sm_90", 9, False), ("sm_89", 1, False)]
)
def test_hoppers_dense_product_is_for_weights_whose_words_32_bits_count(
    target: str, millions: int, fits: bool
) -> None:
    with absent_gpu(target), torch.device("meta"):
        assert _fits_hopper(random_weight(1, millions * 1_000_000, 2048, 128)) is fits


@pytest.mark.parametrize("target", TARGETS)
def test_the_integer_mode_spills_nowhere(target: str) -> None:
    assert spilled(integer(target)) == []


@pytest.mark.parametrize("target", TARGETS)
def test_decode_sorts_nothing(target: str) -> None:
    assert names(moe(target, QWEN35_35B, 1)) == DECODE


def test_prefill_sorts_in_two_launches_and_few_tokens_in_one() -> None:
    assert names(moe("sm_90", QWEN35_35B, 1696)) == SORT + RING
    assert names(moe("sm_90", QWEN35_35B, 64)) == SORT[1:] + RING
    assert names(moe("sm_90", QWEN35_35B, 1696, variant="in_loop")) == SORT + IN_LOOP


@pytest.mark.parametrize(("arch", "early"), [("89", False), ("90", True), ("100", True)])
def test_one_function_says_which_launches_begin_early(arch: str, early: bool) -> None:
    target = Target("cuda", arch)
    assert overlaps(target) is early
    assert overlap(target) == ({"OVERLAP": True, "launch_pdl": True} if early else {"OVERLAP": False})
    assert overlap(target, wanted=False) == {"OVERLAP": False}
    assert not overlaps(Target("hip", "gfx942")) and not overlaps(INTERPRETER)


@pytest.mark.parametrize(("target", "waits"), [("sm_89", False), ("sm_90", True)])
@pytest.mark.parametrize("name", [*DECODE, "_matvec"])
def test_what_may_begin_early_waits_and_lets_the_next_begin(
    target: str, waits: bool, name: str, tmp_path: Path
) -> None:
    result = matvec(target, 128) if name == "_matvec" else moe(target, QWEN35_35B, 1)
    (code,) = sass(result, name, tmp_path)
    assert ("ACQBULK" in code) == ("PREEXIT" in code) == waits


@pytest.mark.parametrize("target", PORTABLE)
def test_other_gpus_have_the_portable_product(target: str) -> None:
    assert names(moe(target, QWEN35_35B, 1696)) == SORT + BLOCKS
    assert names(moe(target, QWEN35_35B, 64)) == SORT[1:] + BLOCKS


def test_hoppers_product_has_wide_dots_and_copies(tmp_path: Path) -> None:
    for code in sass(moe("sm_90", QWEN35_35B, 1696), "_grouped", tmp_path):
        assert "IGMMA.64x" in code, "the dots are not WGMMA"
        assert "IMMA." not in code.replace("IGMMA", ""), "some dots are mma.sync"
        assert "UTMALDG" in code and "UTMASTG" in code, "something is not copied by TMA"
        assert not re.search(r"LDG\.E\.[US]8", code), "something is loaded byte by byte"


@pytest.mark.parametrize(("target", "dot"), [("sm_80", "IMMA."), ("sm_90", "IGMMA.64x")])
def test_the_portable_product_loads_weights_sixteen_bytes_at_a_time(
    target: str, dot: str, tmp_path: Path
) -> None:
    # On Hopper only the baseline takes it.
    variant = "in_loop" if target == "sm_90" else "hoisted"
    for code in sass(moe(target, QWEN35_35B, 1696, variant=variant), "_gemm", tmp_path):
        assert dot in code
        assert re.search(r"LDGSTS\.E\.(BYPASS\.)?128", code), "weights are not loaded 16 bytes at a time"
        assert not re.search(r"LDG(STS)?\.E\.[US]8", code), "something is loaded byte by byte"


@pytest.mark.parametrize("name", [*DECODE, "_matvec"])
def test_a_few_tokens_load_sixteen_bytes_and_multiply_four(name: str, tmp_path: Path) -> None:
    result = matvec("sm_90", 128) if name == "_matvec" else moe("sm_90", QWEN35_35B, 1)
    (code,) = sass(result, name, tmp_path)
    assert "IDP.4A.S8.S8" in code, "the products are not of four bytes"
    # EF: read once, let others stay in the cache.
    assert re.search(r"LDG\.E\.(EF\.)?128", code), "weights are not loaded 16 bytes at a time"
    assert not re.search(r"LDG\.E\.[US]8", code), "something is loaded byte by byte"
