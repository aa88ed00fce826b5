"""What the suite holds: which cases are measured always, which with the profile `full`, and at what cost."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from kernels import inputs
from kernels.baselines import moe_grouped_bf16
from kernels.dequant_gemm import dequant_gemm, dequantize
from kernels.quantize import random_weight
from kernels.shapes import COMPARED, DEEPSEEK_V3, QWEN35_35B, SHAPES
from kernels.stack import Generation, describe, layers_that_fit, main, moe_stack, report
from kernels.suite import problems
from kernels.suite.gemm_problems import down, gate_up, gemm_problem
from kernels.suite.test_correctness import CONFIGURATIONS
from perfsuite.plugin.ahead import AheadPlayer
from perfsuite.plugin.cases import Case, case_of
from perfsuite.plugin.spec import Spec
from perfsuite.static.offline import compile_launches

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "kernels" / "suite"
ORDINARY = 29
"""Cases of a pull request: they take 17 s on an H200. What is beyond belongs to the profile `full`."""
EACH_FAMILY = (
    "test_stack or test_block_m or test_dense or test_dequantize or test_tiles or test_matvec or test_gemms "
    "or test_integer or mixtral"
)
H200_BYTES = 141e9


@cache
def cases() -> dict[str, Case]:
    found: list[Case | None] = []

    class Collector:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            found.extend(case_of(item, SUITE) for item in session.items)

    options = ["--collect-only", "-qq", "-p", "no:cacheprovider", f"--rootdir={ROOT}", str(SUITE)]
    assert pytest.main(options, plugins=[Collector()]) == 0
    known = {case.id: case for case in found if case is not None}
    assert len(known) == len(found), "two tests have one id"
    return known


def test_a_pull_request_measures_as_few_cases_as_ever() -> None:
    assert sum(not case.full for case in cases().values()) == ORDINARY


def test_every_compared_size_is_measured_beside_both_baselines() -> None:
    wanted = {(shape.name, m) for shape, tokens in COMPARED.items() for m in tokens}

    def sizes(*families: str) -> set[tuple[Any, Any]]:
        return {
            (case.params["shape"], case.params["m"])
            for case in cases().values()
            if case.family in families and case.params.get("group", 128) in (128, 32)
        }

    assert wanted <= sizes("moe_w4a8/decode", "moe_w4a8/prefill", "moe_w4a8/models")
    assert wanted <= sizes("moe_w4a8/baseline", "moe_w4a8/models_baseline")
    assert wanted <= sizes("baselines/grouped_bf16")


def test_ids_are_those_of_the_history() -> None:
    known = cases()
    assert known["moe_w4a8/decode[qwen3.5-35b-a3b,m=1,g=128]"].params == {
        "shape": "qwen3.5-35b-a3b",
        "m": 1,
        "group": 128,
    }
    assert known["moe_w4a8/models[gpt-oss-120b,m=16,g=32]"].full
    assert known["moe_w4a8/prefill[qwen3.5-35b-a3b,m=4096,g=128]"].full
    assert not known["moe_w4a8/prefill[qwen3.5-35b-a3b,m=1696,g=128]"].full


def test_each_full_family_in_the_interpreter() -> None:
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        # numpy's threads wait for each other where processors are shared.
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "kernels")]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:perfsuite", "-p", "no:cacheprovider"]
    command += ["-p", "stand_in", "kernels/suite", "-m", "full", "-k", EACH_FAMILY]
    # The marker is registered by the plugin; lanes that are not stored compute on poison.
    command += ["-o", "addopts=", "-W", "ignore::pytest.PytestUnknownMarkWarning"]
    command += ["-W", "ignore::RuntimeWarning"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_a_layer_fits_the_memory_of_an_h200_with_its_copies(shape: Any) -> None:
    for layer in (shape.bytes(max(shape.groups)), 2 * shape.weights):
        copies = inputs.weight_copies(layer)
        # Made, copied for the gate's reference, and what a block allocates.
        assert 3 * copies * layer < H200_BYTES
        # No cache holds what the sets of inputs read.
        assert copies * layer > 4e8


def test_copies_are_fewer_where_a_layer_is_large() -> None:
    assert inputs.weight_copies(QWEN35_35B.bytes(128)) == inputs.WEIGHT_COPIES
    assert inputs.weight_copies(DEEPSEEK_V3.bytes(128)) == 1
    assert inputs.weight_copies(2 * DEEPSEEK_V3.weights) == 1


@pytest.mark.parametrize(("act_tile", "most"), [(32, 0.013), (128, 0.017)])
def test_the_gates_of_models_are_what_is_required_and_toys_have_wider_ones(
    act_tile: int, most: float
) -> None:
    for shape in SHAPES.values():
        assert problems.moe_problem(shape, 1, max(shape.groups), act_tile=act_tile).tolerance == most
    narrow = [config.shape for config in CONFIGURATIONS if config.shape.hidden < problems.REAL_WIDTH]
    assert len(narrow) == 6
    for shape in [*narrow, problems.shrunk(QWEN35_35B)]:
        assert most < problems.gate(shape, act_tile) < 1.2 * most
    # Of the original tests two are as wide as a model.
    assert problems.gate(CONFIGURATIONS[6].shape, act_tile) == most


def test_the_baseline_moves_four_times_the_bytes_at_the_same_operations() -> None:
    ours = problems.moe_problem(QWEN35_35B, 64, 128, act_tile=128)
    theirs = problems.grouped_bf16_problem(QWEN35_35B, 64)
    assert theirs.operations == ours.operations
    assert 3.5 < theirs.bytes / ours.bytes < 4
    assert theirs.precision == "bf16"


def test_layers_of_a_stack_have_weights_of_their_own() -> None:
    problem = problems.stack_problem(QWEN35_35B, 1, 128, act_tile=128)
    with torch.device("meta"):
        made = problem.inputs(0)
        again = problem.inputs(1)
    assert len({id(weight) for layer in made["weights"] for weight in layer}) == 2 * 40
    assert again["weights"][3][0] is made["weights"][3][0]
    assert problem.bytes == 40 * problems.moe_problem(QWEN35_35B, 1, 128, act_tile=128).bytes


def test_weights_of_a_stack_turn_no_token_the_same_way() -> None:
    """A mean of their codes would: from the second layer on each would add 150 times as much."""
    codes = {symmetric: random_codes(symmetric) for symmetric in (False, True)}
    assert sorted(codes[False].unique().tolist()) == list(range(-8, 8))
    assert sorted(codes[True].unique().tolist()) == list(range(-7, 8))
    means = {symmetric: float(found.float().mean()) for symmetric, found in codes.items()}
    assert means == pytest.approx({False: -0.5, True: 0}, abs=0.05)


def random_codes(symmetric: bool) -> torch.Tensor:
    torch.manual_seed(0)
    weight = random_weight(2, 256, 512, 128, symmetric=symmetric)
    return torch.cat([(weight.packed << 4).view(torch.int8) >> 4, weight.packed.view(torch.int8) >> 4])


def test_a_stack_passes_with_errors_that_add_up_like_noise() -> None:
    assert problems.stack_gate(QWEN35_35B) == pytest.approx(0.038, abs=1e-3)
    toy = replace(QWEN35_35B, hidden=256, inter=64, layers=2)
    assert problems.stack_gate(toy) == pytest.approx(0.017, abs=1e-3)


@pytest.mark.filterwarnings("ignore:no tiles are tuned")
@pytest.mark.parametrize(("target", "name"), [("sm_80", "_gemm"), ("sm_90", "_grouped")])
@pytest.mark.parametrize("second", [False, True])
def test_a_gemm_alone_is_compiled_with_the_tiles_that_run(target: str, name: str, second: bool) -> None:
    """Those of the target, not of whatever makes its inputs."""
    problem = gemm_problem(QWEN35_35B, 2048, 128, 128, second=second)
    spec = Spec(down if second else gate_up, problem.inputs, problem.reference, tolerance=problem.tolerance)
    launched = AheadPlayer(spec, target).compile().launches.kernels
    silu = ["_silu_mul"] if name == "_gemm" and not second else []
    assert [kernel.name for kernel in launched] == [name, *silu]
    assert not any(kernel.spills for kernel in launched)


@pytest.mark.parametrize("target", ["sm_80", "sm_89", "sm_90", "sm_100"])
def test_dequantizing_spills_nowhere_and_stores_sixteen_bytes(target: str) -> None:
    with torch.device("meta"):
        made = problems.dense_problem(512, 12352, 2048, 128).inputs(0)
    [kernel] = compile_launches(dequant_gemm, made, target).kernels
    assert (kernel.name, kernel.spills, kernel.stack_bytes) == ("_dequantize", 0, 0)
    assert {name for name in kernel.instructions if name.startswith("global_store")} == {"global_store.128"}
    assert kernel.instructions["global_load.128"] == 2


def test_wrong_arguments_are_refused_by_name() -> None:
    with torch.device("meta"):
        weight, two = random_weight(1, 64, 128, 32), random_weight(2, 64, 128, 32)
        x = torch.empty(3, 128, dtype=torch.bfloat16)
        layer = {"w1": torch.empty(4, 64, 128, dtype=torch.bfloat16)}
        layer |= {"w2": torch.empty(4, 128, 32, dtype=torch.bfloat16), "topk_weights": torch.empty(3, 2)}
        ids = torch.empty(3, 2, dtype=torch.int64)
    with pytest.raises(TypeError, match="weight is a Tensor"):
        dequantize(x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight has shape"):
        dequantize(two)
    with pytest.raises(ValueError, match="x has shape"):
        dequant_gemm(x[:, :64].contiguous(), weight)
    with pytest.raises(TypeError, match=r"x is torch\.float32"):
        dequant_gemm(x.float(), weight)
    with pytest.raises(TypeError, match=r"topk_ids is torch\.int32"):
        moe_grouped_bf16(x, **layer, topk_ids=ids.int())
    with pytest.raises(ValueError, match=r"w1 has shape \(0, 64, 128\); every size"):
        moe_grouped_bf16(x, **layer | {"w1": layer["w1"][:0], "w2": layer["w2"][:0]}, topk_ids=ids)
    with pytest.raises(ValueError, match="w1 has shape"):
        moe_grouped_bf16(x[:, :64].contiguous(), **layer, topk_ids=ids)
    with pytest.raises(ValueError, match="weights of 1 layers and routing of 0"):
        moe_stack(x, [(weight, weight)], [])
    assert moe_grouped_bf16(x, **layer, topk_ids=ids).shape == (3, 128)
    assert dequant_gemm(x, weight).shape == (3, 64)


def test_a_stack_has_as_many_layers_as_fit() -> None:
    assert layers_that_fit(QWEN35_35B, 128, 140 << 30) == 40
    assert 15 < layers_that_fit(DEEPSEEK_V3, 128, 140 << 30) < 25


def test_tokens_per_second_have_a_median_and_a_range() -> None:
    times = [{"prefill_ns": 1e7 * number, "decode_ns": 4e8} for number in (1, 2, 4)]
    generation = Generation(DEEPSEEK_V3, 128, 128, layers=20)
    document = report(generation, times) | {"gpu": "NVIDIA H200", "layers_that_fit": 20}
    rates: Any = document["tokens_per_s"]
    assert rates["prefill"] == {"median": 80_000.0, "least": 40_000.0, "most": 160_000.0}
    assert rates["decode"]["median"] == 1280.0
    text = describe(document)
    assert "20 layers of 58: more do not fit" in text
    assert "80000 tok/s  (40000 to 160000 in 3 runs)" in text
    # Fewer were asked for.
    assert "20 layers of 58 · NVIDIA H200" in describe(document | {"layers_that_fit": 22})


def test_tokens_per_second_need_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="3"):
        main(["--shape", "gpt-oss-120b", "--layers", "36"])
    assert "no GPU here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--group 128", "--group: gpt-oss-120b allows 32, not 128"),
        ("--group 0", "--group: '0' is no whole number from 1 on"),
        ("--layers 0", "--layers: '0' is no whole number from 1 on"),
        ("--layers -1", "--layers: '-1' is no whole number from 1 on"),
        ("--layers 1.5", "--layers: '1.5' is no whole number from 1 on"),
        ("--layers 37", "--layers: gpt-oss-120b has 36, not 37"),
        ("--act-tile 64", "--act-tile: invalid choice: 64"),
        ("--out /nowhere/stack.json", "--out: /nowhere/stack.json cannot be written"),
        ("--out /", "--out: / cannot be written"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(
    options: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--shape", "gpt-oss-120b", *options.split()])
    assert f"error: argument {told}" in capsys.readouterr().err
