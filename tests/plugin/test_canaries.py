"""The canaries: collected beside any suite, kept apart from its cases, right, and pinned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfsuite.measure.process import RemotePlayer, Trial, TrialPlan
from perfsuite.model import CANARY_FAMILY
from perfsuite.plugin.canaries import pinned

IDS = [f"{CANARY_FAMILY}[{kind}]" for kind in ("compute", "memory", "launch")]
ROOT = Path(__file__).parents[2]

SUITE = """
import pytest, torch

def bench_right(gpu_benchmark):
    gpu_benchmark(torch.neg, inputs=lambda seed: torch.randn(8), reference=torch.neg, tolerance=0.0)
"""
PLAIN = """
def bench_plain(benchmark):
    benchmark(len, "")
"""
CONFTEST = """
import pytest

def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "dropped" not in item.name]
"""
INI = "[pytest]\npython_functions = bench_*\npython_files = bench_*.py\naddopts = -n 4 --cov\n"


def tree(folder: Path, suite: str) -> Path:
    (folder / "bench").mkdir(parents=True)
    (folder / "bench" / "bench_ops.py").write_text(suite)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(INI)
    return folder


def trial(root: Path, suite: str, mode: str, state: Path) -> Trial:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Trial(TrialPlan(root, suite, mode, state / "cache", state / "log", 60.0, environ))


@pytest.fixture(scope="module")
def interpreting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("canaries")
    started = trial(tree(folder / "tree", SUITE), "bench", "interpret", folder)
    yield started
    started.close()


def test_a_tree_with_its_own_rules_has_canaries_apart_from_its_cases(interpreting: Trial) -> None:
    collected = interpreting.collected()
    assert [case.id for case in collected.cases] == ["ops/right"]
    assert [case.id for case in collected.canaries] == IDS
    assert {case.family for case in collected.canaries} == {CANARY_FAMILY}
    assert {case.version for case in collected.canaries} == {pinned()}
    assert [case.params for case in collected.canaries] == [
        {"kind": k} for k in ("compute", "memory", "launch")
    ]
    assert not collected.errors
    for case in (*collected.canaries, *collected.cases):
        assert isinstance(interpreting.start(case.id), dict)
        assert RemotePlayer(interpreting).gate().passed, case.id
        assert interpreting.finish().outcome == "passed"


def test_they_compile_for_an_absent_gpu(tmp_path: Path) -> None:
    compiling = trial(tree(tmp_path / "tree", SUITE), "bench", "compile", tmp_path)
    try:
        for case in compiling.collected().canaries:
            compiling.start(case.id)
            code = RemotePlayer(compiling).compile()
            assert code.launches.comparable
            assert code.compile_s is not None
            assert code.compile_s > 0
            assert not code.launches.kernels[0].spills
            compiling.finish()
    finally:
        compiling.close()


def test_a_repository_that_is_perfsuite_itself_gets_the_harness_s(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree", SUITE)
    (root / "perfsuite").mkdir()
    (root / "perfsuite" / "__init__.py").write_text("raise AssertionError('the tree is not the harness')\n")
    started = trial(root, "bench", "interpret", tmp_path)
    try:
        assert [case.id for case in started.collected().canaries] == IDS
    finally:
        started.close()


def test_a_suite_of_plain_benchmarks_needs_none(tmp_path: Path) -> None:
    started = trial(tree(tmp_path / "tree", PLAIN), "bench", "interpret", tmp_path)
    try:
        collected = started.collected()
        assert [case.id for case in collected.cases] == ["ops/plain"]
        assert collected.canaries == ()
    finally:
        started.close()
