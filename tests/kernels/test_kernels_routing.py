"""Host side of routing, quantization and the weighted sum; and their machine code, for absent GPUs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import triton

from kernels.quantize import quantize_rows, quantized_values, silu_mul, silu_mul_quantize
from kernels.routing import align_experts, most_blocks, route_and_quantize, route_and_quantized_values
from kernels.weighted_sum import weighted_sum
from perfsuite.static.offline import Compiled, compile_op


def everything(x: torch.Tensor, topk_ids: torch.Tensor, topk_weights: torch.Tensor) -> torch.Tensor:
    """All launches of this folder's ops at the sizes of Qwen3.5-35B-A3B."""
    routing, _, _ = route_and_quantize(x, topk_ids, 256, 64, 128, 2048)
    hidden = x.new_empty(routing.slots.shape[0], 1024)
    silu_mul_quantize(hidden, 128, counts=routing.count)
    quantize_rows(silu_mul(hidden, counts=routing.count), 32, counts=routing.count)
    quantized_values(hidden, 128, counts=routing.count)
    for act_tile in (32, 128):
        route_and_quantized_values(x, topk_ids, 256, 64, act_tile, 2048)
    align_experts(topk_ids, 256, 64)
    y = x.new_empty(routing.slots.shape[0], 2048)
    return weighted_sum(y, topk_weights, routing.places)


def compiled(tokens: int, arch: str) -> Compiled:
    with torch.device("meta"):
        x = torch.empty(tokens, 2048, dtype=torch.bfloat16)
        ids, weights = torch.empty(tokens, 8, dtype=torch.int64), torch.empty(tokens, 8)
    return compile_op(everything, {"x": x, "topk_ids": ids, "topk_weights": weights}, arch)


def sass(binary: bytes, folder: Path) -> str:
    file = folder / "kernel.cubin"
    file.write_bytes(binary)
    command = [triton.knobs.nvidia.nvdisasm.path, "-c", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("arch", ["sm_80", "sm_89", "sm_90", "sm_100"])
def test_nothing_spills_on_gpus_that_are_absent(arch: str) -> None:
    for kernel in compiled(1696, arch).launches.kernels:
        assert (kernel.name, kernel.spills, kernel.stack_bytes) == (kernel.name, 0, 0)


def test_rows_move_sixteen_bytes_at_a_time(tmp_path: Path) -> None:
    result = compiled(1696, "sm_90")
    moving = {"_place_slots", "_quantize_rows", "_silu_mul_quantize", "_silu_mul", "_weighted_sum"}
    names = [kernel.name for kernel in result.launches.kernels]
    assert moving < set(names)
    # The first two launches quantize: of the later ones that only place, nothing is asked.
    assert names[:2] == ["_count_experts", "_place_slots"]
    for kernel in result.launches.kernels[1:-3]:
        code = sass(result.binaries[kernel.hash], tmp_path)
        assert "LDG.E.128" in code, kernel.name
        assert "STG.E.128" in code, kernel.name
        assert not re.search(r"(LDG|STG)\.E\.[US](8|16)", code), kernel.name


@pytest.mark.parametrize(("arch", "waits"), [("sm_89", False), ("sm_90", True)])
def test_the_second_launch_waits_where_it_may_start_early(arch: str, waits: bool, tmp_path: Path) -> None:
    result = compiled(1696, arch)
    first, second = result.launches.kernels[:2]
    # PREEXIT lets the next launch start; ACQBULK waits until this one has ended.
    assert ("PREEXIT" in sass(result.binaries[first.hash], tmp_path)) == waits
    code = sass(result.binaries[second.hash], tmp_path)
    assert ("ACQBULK" in code) == waits
    if waits:
        # Before the wait: only what the launch in front does not write (ids and two loads of values).
        assert code[: code.index("ACQBULK")].count("LDG") == 3
        assert "STG" not in code[: code.index("ACQBULK")]


def test_few_slots_are_counted_and_placed_in_one_launch() -> None:
    assert compiled(64, "sm_90").launches.kernels[0].name == "_place_slots"


def test_meta_tensors_know_the_shapes() -> None:
    with torch.device("meta"):
        x, ids = torch.empty(100, 96, dtype=torch.bfloat16), torch.empty(100, 8, dtype=torch.int64)
        routing, codes, scales = route_and_quantize(x, ids, 256, 16, 32, 128)
    assert routing.blocks == most_blocks(800, 256, 16) == 290
    assert routing.slots.shape == (290 * 16,)
    assert routing.places.shape == (100, 8)
    assert (tuple(codes.shape), tuple(scales.shape)) == ((4640, 128), (4, 4640))


X = torch.zeros(3, 64, dtype=torch.bfloat16)
IDS = torch.zeros(3, 2, dtype=torch.int64)
WEIGHTS = torch.zeros(3, 2)

REFUSED: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (align_experts, (IDS.int(), 4, 16), "topk_ids is torch.int32"),
    (align_experts, (IDS, 0, 16), "experts is 0"),
    (align_experts, (IDS, 4.0, 16), r"experts is 4\.0"),
    (align_experts, (IDS, 4, 16.0), r"block_m is 16\.0"),
    (route_and_quantize, (X.to("meta"), IDS, 4, 16, 32), "topk_ids is on cpu, the other arguments on meta"),
    (route_and_quantize, (X[:, :0].contiguous(), IDS, 4, 16, 32), r"a row of x has shape \(0,\)"),
    (align_experts, (IDS, 4, 24), "block_m is 24"),
    (route_and_quantize, (X, IDS[:2], 4, 16, 32), r"topk_ids has shape \(2, 2\)"),
    (route_and_quantize, (X, IDS, 4, 16, 48), "act_tile is 48"),
    (route_and_quantize, (X, IDS, 4, 16, 32, 32), "padded is 32"),
    (route_and_quantize, (X.float(), IDS, 4, 16, 32), "x is torch.float32"),
    (route_and_quantized_values, (X, IDS[:2], 4, 16, 32), r"topk_ids has shape \(2, 2\)"),
    (route_and_quantized_values, (X, IDS, 4, 16, 32, 70), "padded is 70; values need a multiple of 16"),
    (quantized_values, (X, 32, 72), "padded is 72; values need a multiple of 16"),
    (weighted_sum, (X, WEIGHTS, IDS), "places is torch.int64"),
    (weighted_sum, (X, WEIGHTS[:2], IDS.int()), r"places has shape \(3, 2\)"),
    (weighted_sum, (X, WEIGHTS, IDS.int(), X[:2]), r"out has shape \(2, 64\)"),
]


@pytest.mark.parametrize(("op", "arguments", "message"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(
    op: Callable[..., Any], arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        op(*arguments)
