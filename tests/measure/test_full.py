"""Cases marked `full`: measured with that profile, or where the pattern names only such."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import toy_suite as toy

from perfsuite.cases import NoCases, match_cases
from perfsuite.measure.matching import match_suites
from perfsuite.measure.process import Collected, CollectedCase
from perfsuite.measure.session import run_suite
from perfsuite.measure.settings import Settings, Silent, Tree
from perfsuite.model import Result, Status

IDS = ["moe/decode[m=1]", "moe/decode[m=2]", "moe/models[mixtral]", "moe/stack"]
RESERVED = {"moe/decode[m=2]", "moe/models[mixtral]"}
FULL_SUITE = """
@pytest.mark.parametrize("n", [8, pytest.param(9, marks=pytest.mark.full)], ids="n={}".format)
def test_axis(gpu_benchmark, n):
    gpu_benchmark(add, **COMMON)

@pytest.mark.full
def test_long(gpu_benchmark):
    gpu_benchmark(add, **COMMON)
"""


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("", [0, 3]),
        (" or ", [0, 3]),
        ("decode", [0]),
        ("m=2", [1]),
        ("mixtral", [2]),
        ("mixtral or decode", [0, 2]),
        ("moe/decode*", [0]),
        ("moe/decode[m=2]", [1]),
    ],
)
def test_a_reserved_case_is_chosen_by_a_part_that_chooses_nothing_else(
    pattern: str, chosen: list[int]
) -> None:
    assert match_cases(pattern, IDS, RESERVED) == [IDS[index] for index in chosen]


def test_a_suite_of_full_cases_alone_names_the_profile() -> None:
    error = NoCases("", IDS)
    assert "all 4 cases" in error.what
    assert "--profile full" in error.next_step


def suite(*full: str) -> Collected:
    return Collected(tuple(CollectedCase(name, "f", "v", {}, "f", False, name in full) for name in IDS))


def test_a_comparison_goes_by_the_marks_of_head() -> None:
    base, head = suite(), suite(IDS[1], IDS[2])
    assert [case.id for case in match_suites(base, head, "", "pr").common] == [IDS[0], IDS[3]]
    assert [case.id for case in match_suites(head, base, "", "pr").common] == IDS
    assert [case.id for case in match_suites(base, head, "", "full").common] == IDS
    gone = Collected(head.cases[:1])
    assert [case.id for case in match_suites(head, gone, "", "pr").removed] == [IDS[3]]


def test_marked_tests_wait_to_be_named(tmp_path: Path, settings: Settings) -> None:
    tree = Tree(toy.write_tree(tmp_path / "tree", FULL_SUITE), "bench")
    results: dict[str, Result] = {}
    chosen = replace(settings, pattern="axis or long")
    run_suite(tree, chosen, lambda result: results.__setitem__(result.case, result), Silent())
    assert {case: result.status for case, result in results.items()} == {
        "toy/axis[n=8]": Status.OK,
        "toy/long": Status.OK,
    }
