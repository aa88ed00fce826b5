"""What is planted fits today's kernels: who gets the steps, what else changes, and what does not."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from plant import CHANGES, PLANTED_KERNELS, plant, planted_steps, problems
from showcase import _CHANGES, _NARROW, _NARROW_BLOCKS

from kernels.tuning import load_table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHARE = 0.02
CHOSEN = (
    "moe_w4a8/decode[qwen3.5-35b-a3b,m=1,g=128]",
    "moe_w4a8/prefill[qwen3.5-35b-a3b,m=512,g=128]",
    "correctness/configuration[seed42]",
    "quantize/rows[qwen3.5-35b-a3b,m=64,tile=128]",
    "quantize/silu_mul[qwen3.5-35b-a3b,m=64,tile=128]",
)
"""One of each path, and both quantizations: those that are compiled."""


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The kernels as they are, and planted."""
    folder = tmp_path_factory.mktemp("planted")
    return copied(folder / "plain"), planted(folder / "planted", SHARE)


def copied(tree: Path) -> Path:
    shutil.copytree(ROOT / "kernels", tree / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    return tree


def planted(tree: Path, share: float) -> Path:
    plant(copied(tree), share)
    return tree


def reported(tree: Path, chosen: Sequence[str] = CHOSEN, **environ: str) -> dict[str, Any]:
    """Ordinary case → what `planted_conftest` says of it, by a process that imports that tree's kernels."""
    shutil.copy(HERE / "planted_conftest.py", tree / "kernels" / "suite" / "conftest.py")
    report = tree / "report.json"
    environ |= {
        "PYTHONPATH": f"{tree}{os.pathsep}{ROOT}",
        "PLANTED_REPORT": str(report),
        "PLANTED_CHOSEN": " ".join(chosen),
    }
    options = ("-qq", "-p", "no:perfsuite", "-p", "no:cacheprovider", f"--rootdir={tree}", "-m", "not full")
    done = subprocess.run(
        (sys.executable, "-m", "pytest", *options, "kernels/suite"),
        cwd=tree,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.fixture(scope="module")
def reports(trees: tuple[Path, Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    plain, slow = map(reported, trees)
    return plain, slow


def test_one_launch_of_each_ordinary_case_has_its_steps(
    reports: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    plain, slow = reports
    steps_of = planted_steps(SHARE)
    wanted = {case: steps_of[key] for key, case in problems().items()}
    assert wanted.keys() == slow.keys() == plain.keys()
    assert all(steps > 0 for steps in wanted.values())
    for case, report in slow.items():
        extra = [steps for _, steps in report["launches"] if steps]
        assert extra == [wanted[case]], case
        assert [name for name, _ in report["launches"]] == [name for name, _ in plain[case]["launches"]]
        for name, steps in report["launches"]:
            assert (steps is not None) == (name in PLANTED_KERNELS), (case, name)


def test_the_machine_code_of_the_planted_kernels_alone_changes(
    reports: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    plain, slow = reports
    changed, same = set(), set()
    for case in CHOSEN:
        before, after = plain[case]["codes"], slow[case]["codes"]
        assert before.keys() == after.keys() and before
        for name in before:
            (same if before[name] == after[name] else changed).add(name)
    assert changed == set(PLANTED_KERNELS)
    assert same == {"_gate_up", "_count_experts", "_grouped", "_gemm", "_weighted_sum"}


def test_what_is_planted_changes_no_bit_of_a_result(trees: tuple[Path, Path]) -> None:
    # In the interpreter a prefill takes the path of the toy.
    chosen = tuple(case for case in CHOSEN if "/prefill" not in case)
    before, after = (reported(tree, chosen, TRITON_INTERPRET="1") for tree in trees)
    assert before.keys() == set(chosen)
    assert before == after


def test_nothing_but_the_named_files_changes(tmp_path: Path) -> None:
    tree = planted(tmp_path / "planted", 0.0)
    files = {path.relative_to(tree / "kernels") for path in (tree / "kernels").rglob("*") if path.is_file()}
    changed = {
        str(file)
        for file in files
        if not (ROOT / "kernels" / file).exists()
        or (ROOT / "kernels" / file).read_bytes() != (tree / "kernels" / file).read_bytes()
    }
    assert changed == {*CHANGES, "planted.py", "_planted.py"}


def test_kernels_that_the_steps_do_not_fit_are_refused(tmp_path: Path) -> None:
    tree = planted(tmp_path / "planted", 0.0)
    with pytest.raises(SystemExit, match=r"_decode\.py: .* occurs 0 times, not once"):
        plant(tree, 0.0)


@pytest.mark.parametrize("name", _CHANGES)
def test_what_the_showcase_plants_fits(name: str, tmp_path: Path) -> None:
    kernels = planted(tmp_path / "tree", SHARE) / "kernels"
    before = {path: path.read_bytes() for path in kernels.rglob("*.*")}
    _CHANGES[name](kernels)
    changed = [path for path in before if path.read_bytes() != before[path]]
    assert changed
    for path in changed:
        if path.suffix == ".py":
            ast.parse(path.read_text())


def test_the_small_blocks_are_those_of_one_prefill(tmp_path: Path) -> None:
    kernels = copied(tmp_path) / "kernels"
    _CHANGES["narrow"](kernels)
    (before,), (after,) = (
        [load_table(path).rows for path in folder.glob("*.json")]
        for folder in (ROOT / "kernels" / "tuned", kernels / "tuned")
    )
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert moved
    for problem, plan in moved:
        assert all(getattr(problem, field) == value for field, value in _NARROW.items())
        assert plan.block_m == _NARROW_BLOCKS["block_m"]
