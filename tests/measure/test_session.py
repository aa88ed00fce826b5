"""`run_suite` on real trees, with real processes, Triton's interpreter and its compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import toy_suite as toy

from perfsuite.cases import NoCases
from perfsuite.errors import UsageError
from perfsuite.measure.process import TrialPlan, trial_environ
from perfsuite.measure.session import run_suite
from perfsuite.measure.settings import Settings, Silent, Tree
from perfsuite.model import Result, Status, Timer


def run(root: Path, settings: Settings) -> dict[str, Result]:
    results: dict[str, Result] = {}
    run_suite(Tree(root, "bench"), settings, lambda r: results.__setitem__(r.case, r), Silent())
    return results


def test_each_case_ends_by_itself(tmp_path: Path, settings: Settings) -> None:
    parts = (toy.WRONG, toy.RAISES, toy.FAILS_LATER, toy.LOSES_CONTEXT, toy.DIES, toy.PLAIN, toy.EMPTY)
    results = run(toy.write_tree(tmp_path / "tree", *parts), settings)
    assert {case: result.status for case, result in results.items()} == {
        "toy/right[n=1]": Status.OK,
        "toy/right[n=2]": Status.OK,
        "toy/wrong": Status.INCORRECT,
        "toy/raises": Status.FAILED,
        "toy/fails_later": Status.FAILED,
        "toy/loses_context": Status.FAILED,
        "toy/dies": Status.FAILED,
        "toy/plain": Status.OK,
        "toy/empty": Status.FAILED,
    }
    right = results["toy/right[n=2]"]
    assert right.params == {"n": 2}
    assert right.timer is Timer.REFERENCE
    assert right.error_rms == 0.0
    assert right.launches.comparable
    assert right.launches.kernels[0].registers
    assert right.launches.kernels[0].target == "sm_90"
    assert results["toy/wrong"].blocks == ()
    assert "the op is broken" in results["toy/raises"].message
    assert "after the measurement" in results["toy/fails_later"].message
    assert results["toy/fails_later"].blocks == ()
    assert "the GPU context is lost" in results["toy/loses_context"].message
    assert "SIGSEGV" in results["toy/dies"].message
    assert results["toy/plain"].timer is Timer.WALL
    assert len(results["toy/plain"].samples_ns) == 6
    assert "call its benchmark fixture" in results["toy/empty"].message


def test_a_hanging_case_costs_only_itself(tmp_path: Path, settings: Settings) -> None:
    root = toy.write_tree(tmp_path / "tree", toy.HANGS, toy.PLAIN)
    results = run(root, replace(settings, case_timeout_s=3.0, pattern="hangs or plain"))
    assert results["toy/hangs"].status is Status.FAILED
    assert "--case-timeout" in results["toy/hangs"].message
    assert results["toy/plain"].status is Status.OK


def test_a_file_that_cannot_be_imported_is_a_failed_result(tmp_path: Path, settings: Settings) -> None:
    root = toy.write_tree(tmp_path / "tree")
    (root / "bench" / "test_broken.py").write_text("import nothing_of_that_name\n")
    results = run(root, replace(settings, pattern="n=1"))
    assert results["broken/(collection)"].status is Status.FAILED
    assert "nothing_of_that_name" in results["broken/(collection)"].message
    assert results["toy/right[n=1]"].status is Status.OK


def test_resuming_measures_only_what_is_missing(tmp_path: Path, settings: Settings) -> None:
    root = toy.write_tree(tmp_path / "tree")
    version = run(root, replace(settings, pattern="n=1"))["toy/right[n=1]"].version
    results = run(root, replace(settings, done={"toy/right[n=1]": version}))
    assert list(results) == ["toy/right[n=2]"]
    changed = run(root, replace(settings, done={"toy/right[n=1]": "of another definition"}))
    assert list(changed) == ["toy/right[n=1]", "toy/right[n=2]"]


def test_a_process_that_dies_at_the_end_costs_only_its_case(tmp_path: Path, settings: Settings) -> None:
    root = toy.write_tree(tmp_path / "tree", toy.ENDS_BADLY, toy.ONE_TENSOR)
    results = run(root, replace(settings, pattern="ends or one_tensor"))
    assert results["toy/ends_badly"].status is Status.FAILED
    assert "the op is broken" in results["toy/ends_badly"].message
    assert results["toy/one_tensor"].status is Status.OK
    assert results["toy/one_tensor"].launches.kernels


def test_two_tests_of_one_id_do_not_go_unnoticed(tmp_path: Path, settings: Settings) -> None:
    root = toy.write_tree(tmp_path / "tree", toy.TWICE)
    (root / "pytest.ini").write_text("[pytest]\npython_functions = test_* bench_*\n")
    results = run(root, replace(settings, pattern="plain"))
    assert results["toy/(collection)"].status is Status.FAILED
    assert "two tests have the case id toy/plain" in results["toy/(collection)"].message


def test_a_pattern_that_chooses_nothing(tmp_path: Path, settings: Settings) -> None:
    root = toy.write_tree(tmp_path / "tree")
    with pytest.raises(NoCases) as caught:
        run(root, replace(settings, pattern="rihgt"))
    assert "toy/right[n=1]" in caught.value.next_step


def test_a_suite_that_is_not_there(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(UsageError, match="no suite at bench"):
        run(tmp_path, settings)


def test_a_case_that_does_not_compile_is_failed(tmp_path: Path, settings: Settings) -> None:
    ops = toy.OPS.replace("tl.program_id(0) * BLOCK + ", "tl.static_assert(BLOCK < 9) or ")
    ops = ops.replace("tl.static_assert(BLOCK < 9) or tl.arange", "tl.arange")
    ops = ops.replace("    tl.store(", "    tl.static_assert(BLOCK < 9, 'tile too large')\n    tl.store(")
    results = run(toy.write_tree(tmp_path / "tree", ops=ops), replace(settings, pattern="n=1"))
    result = results["toy/right[n=1]"]
    assert result.status is Status.FAILED
    assert "tile too large" in result.message


def test_the_tree_is_measured_with_the_installed_harness(tmp_path: Path, settings: Settings) -> None:
    root = toy.write_tree(tmp_path / "tree")
    (root / "perfsuite").mkdir()
    (root / "perfsuite" / "__init__.py").write_text(
        "raise SystemExit('the tree must not bring its own harness')"
    )
    assert run(root, replace(settings, pattern="n=1"))["toy/right[n=1]"].status is Status.OK


def test_code_from_outside_the_tree_is_refused(tmp_path: Path, settings: Settings) -> None:
    root = toy.write_tree(tmp_path / "tree")
    (root / "scipy").mkdir()
    (root / "scipy" / "__init__.py").write_text("")
    # The harness's own import came first: the tree's package of that name would not be what is measured.
    (root / "bench" / "test_toy.py").write_text(
        "import sys\nsys.path.remove(sys.path[0])\nimport scipy\n" + toy.SUITE
    )
    (root / "conftest.py").write_text(f"import sys\nsys.path = [p for p in sys.path if p != {str(root)!r}]\n")
    with pytest.raises(UsageError, match="from outside the tree"):
        run(root, settings)


def test_no_secret_reaches_a_trial() -> None:
    environ = {
        "PATH": "/bin",
        "GITHUB_TOKEN": "t",
        "TRITON_SECRET": "s",
        "AWS_KEY": "k",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    plan = TrialPlan(Path("/r"), "bench", "gpu", Path("/c"), Path("/l"), 1.0, environ)
    assert trial_environ(plan) == {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "1",
        "TRITON_CACHE_DIR": "/c",
        "TRITON_INTERPRET": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    assert trial_environ(replace(plan, mode="interpret"))["TRITON_INTERPRET"] == "1"


KILLED = """
import os, sys
from pathlib import Path
from perfsuite.measure.session import run_suite
from perfsuite.measure.settings import Settings, Silent, Tree
from perfsuite.model import Environment
root = Path(sys.argv[1])
settings = Settings(Environment("here", cpu="any"), root / "state", os.environ)
class Loud(Silent):
    def case(self, case, stage):
        print(case, flush=True)
run_suite(Tree(root, "bench"), settings, print, Loud())
"""


def test_killing_the_conductor_kills_its_trials(tmp_path: Path) -> None:
    root = toy.write_tree(tmp_path / "tree", toy.HANGS)
    command = [sys.executable, "-c", KILLED, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as conductor:
        assert conductor.stdout is not None
        while "hangs" not in conductor.stdout.readline():
            pass
        assert trials_of(root)
        conductor.kill()
    deadline = time.monotonic() + 10
    while trials_of(root) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert trials_of(root) == []


def trials_of(root: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "perfsuite.plugin" in words and str(root) in words:
                found.append(entry.name)
    return found
