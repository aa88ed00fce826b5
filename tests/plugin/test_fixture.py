"""`gpu_benchmark` under plain pytest: real pytest-benchmark JSON, without the conductor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUITE = """
import pytest, torch

def inputs(seed):
    torch.manual_seed(seed)
    return torch.randn(1000), torch.randn(1000)

def test_right(gpu_benchmark):
    gpu_benchmark(torch.add, inputs=inputs, reference=torch.add, tolerance=1e-6, bytes=12_000)

def test_wrong(gpu_benchmark):
    gpu_benchmark(torch.add, inputs=inputs, reference=torch.sub, tolerance=1e-6)

def test_twice(gpu_benchmark):
    for _ in range(2):
        gpu_benchmark(torch.add, inputs=inputs, reference=torch.add, tolerance=1e-6)

def test_plain(benchmark):
    benchmark(sum, [1, 2, 3])
"""


def pytest_run(folder: Path, *options: str, interpret: bool) -> subprocess.CompletedProcess[str]:
    (folder / "test_ops.py").write_text(SUITE)
    environ = {**os.environ, "TRITON_INTERPRET": "1" if interpret else "0", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", *options, "test_ops.py"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("suite")
    done = pytest_run(folder, "--benchmark-json=out.json", "--perfsuite-rounds=7", interpret=True)
    benchmarks = json.loads((folder / "out.json").read_text())["benchmarks"]
    return done.stdout, {b["name"]: b for b in benchmarks}


def test_json_holds_our_samples_in_seconds(interpreted: tuple[str, dict[str, Any]]) -> None:
    right = interpreted[1]["test_right"]
    assert right["stats"]["rounds"] == 14
    assert 0 < right["stats"]["median"] < 0.01
    assert right["extra_info"]["error_rms"] == 0.0
    assert right["extra_info"]["timer"] == "wall-clock-of-reference"
    assert right["options"]["timer"] == "perfsuite device clock"


def test_a_red_gate_fails_without_a_time(interpreted: tuple[str, dict[str, Any]]) -> None:
    output, benchmarks = interpreted
    assert "FAILED test_ops.py::test_wrong" in output
    assert "incorrect: RMS relative error" in output
    assert "test_wrong" not in benchmarks


def test_one_test_is_one_case(interpreted: tuple[str, dict[str, Any]]) -> None:
    assert "called twice in one test" in interpreted[0]


def test_plain_benchmarks_pass_through(interpreted: tuple[str, dict[str, Any]]) -> None:
    plain = interpreted[1]["test_plain"]
    assert "perf_counter" in plain["options"]["timer"]
    assert plain["stats"]["rounds"] >= 5


def test_without_gpu_and_interpreter_it_says_what_to_run(tmp_path: Path) -> None:
    output = pytest_run(tmp_path, "-k", "right", interpret=False).stdout
    assert "1 skipped" in output
    assert "perfsuite run" in output
