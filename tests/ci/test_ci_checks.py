"""The check run: state and conclusion, its JSON, and annotations where kernels are defined."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from comment_views import (
    AT,
    HEAD,
    HOSTILE,
    LINKS,
    accept,
    accepted,
    comment_only,
    compared,
    h200_report,
    hostile,
    huge,
    regressed,
    report,
    running,
    view,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.body import Stage, View
from ci.checks import MOST_TITLE, check_of, kernels_to_place
from ci.hub import Check, CheckState
from ci.sorting import Trunk, sort_cases
from ci.verdicts import MOST_BYTES, verdict_text
from perfsuite.model import CaseComparison, Verdict

KERNELS = {"_gemm1": ("kernels/_moe.py", 10, 90), "_gemm2": ("kernels/_moe.py", 100, 180)}


def check(shown: View) -> Check:
    return check_of(shown, "job-1", details_url="https://ci.example.com/1", definitions=KERNELS)


def document(found: Check) -> dict[str, Any]:
    lines = found.text.split("\n")
    assert lines[0].endswith("json") and set(lines[0].removesuffix("json")) == {"`"}
    assert lines[-1] == lines[0].removesuffix("json")
    found_json: dict[str, Any] = json.loads("\n".join(lines[1:-1]))
    return found_json


def of(*cases: CaseComparison) -> View:
    return view(of=report(*cases))


@pytest.mark.parametrize(
    ("shown", "state", "conclusion"),
    [
        (view(Stage.QUEUED), CheckState.QUEUED, None),
        (view(Stage.WAITING), CheckState.RUNNING, None),
        (running(), CheckState.RUNNING, None),
        (regressed(), CheckState.DONE, "failure"),
        (comment_only(), CheckState.DONE, "success"),
        (of(compared("x", Verdict.IMPROVED, -0.1)), CheckState.DONE, "success"),
        (of(compared("x", Verdict.INCONCLUSIVE)), CheckState.DONE, "neutral"),
        (of(compared("x", Verdict.NEW)), CheckState.DONE, "neutral"),
        (
            of(compared("x", Verdict.INCONCLUSIVE), compared("y", Verdict.UNCHANGED)),
            CheckState.DONE,
            "success",
        ),
        (of(), CheckState.DONE, "neutral"),
        (view(Stage.FAILED), CheckState.DONE, "failure"),
        (replace(view(Stage.FAILED), machine_trouble=True), CheckState.DONE, "neutral"),
        (view(Stage.CANCELLED), CheckState.DONE, "cancelled"),
        (view(Stage.NOTHING), CheckState.DONE, "neutral"),
        (view(Stage.UNAPPROVED), CheckState.QUEUED, None),
        (view(Stage.DONE), CheckState.DONE, "neutral"),
    ],
)
def test_state_and_conclusion(shown: View, state: CheckState, conclusion: str | None) -> None:
    found = check(shown)
    assert (found.state, found.conclusion) == (state, conclusion)
    assert found.head == shown.head and found.external_id == "job-1" and found.name == "perfsuite"
    assert 0 < len(found.title) <= MOST_TITLE and "\n" not in found.title
    assert found.details_url == "https://ci.example.com/1"
    assert found == check(shown), "the same view gives the same check"


def test_trouble_of_the_machine_is_called_so() -> None:
    failed = view(Stage.FAILED)
    assert check(replace(failed, machine_trouble=True)).title == "Not measured: trouble with the machine."
    assert check(failed).title == "The measurement failed."


def test_what_is_accepted_or_on_main_is_green() -> None:
    case = compared("x", Verdict.REGRESSED, 0.05)
    of_it = report(case)
    for trunk, commands in ((Trunk(launches={"x": ("a",)}), ()), (Trunk(), (accept("x", x=0.06),))):
        found = sort_cases(of_it, {"x": ("a",)}, trunk, commands, AT)
        assert check(replace(view(of=of_it), sorted=found)).conclusion == "success"


def test_an_unfinished_comparison_is_no_success() -> None:
    seen = of(compared("x", Verdict.IMPROVED, -0.1))
    assert seen.report is not None
    unfinished = replace(seen.report, comparison=replace(seen.report.comparison, finished_at=None))
    assert check(replace(seen, report=unfinished)).conclusion == "neutral"


def test_a_former_result_is_not_this_heads() -> None:
    found = check(running())
    assert found.title == "Measuring 12/29." and found.text == "" and found.annotations == ()
    assert kernels_to_place(running()) == set()


def test_the_summary_answers_and_names_the_new_regressions_only() -> None:
    found = check(accepted())
    assert found.title.startswith("6 cases slower, 6 faster, 1 already on main, 4 accepted, 1 noisy")
    assert f"**{found.title}**" in found.summary
    assert found.summary.count("| [<code>") == 6 and "prefill" not in found.summary
    assert f"]({LINKS['dashboard']})" in found.summary


def test_the_text_is_the_verdicts_as_json() -> None:
    found = document(check(accepted()))
    classes = {row["case"]: row["class"] for row in found["comparisons"]}
    assert found["red"] is True and found["schema"] == 1 and found["left_out"] == []
    assert len(classes) == 29
    assert sorted(classes.values()).count("accepted") == 4
    (row,) = (row for row in found["comparisons"] if row["class"] == "already on main")
    assert row["reason"] == "main launches the same machine code by now"
    assert row["low"] == next(c.low for c in h200_report().comparisons if c.case == row["case"])


def test_what_does_not_fit_is_left_out_from_the_least_telling_and_named() -> None:
    found = document(check(huge()))
    assert found["left_out"][0] == "500 unchanged or identical cases"
    assert found["left_out"][-1].endswith(" comparisons")
    kept = [row["verdict"] for row in found["comparisons"]]
    assert kept and set(kept) == {"regressed"}, "the worst come first"
    assert len(check(huge()).text.encode()) > MOST_BYTES - 1000, "it is filled"


def test_annotations_stand_where_the_kernels_are_defined() -> None:
    shown = regressed()
    assert kernels_to_place(shown) >= {"_gemm1", "_gemm2", "_silu_mul"}
    first, second = check(shown).annotations
    assert (first.path, first.line, first.end_line, first.level) == ("kernels/_moe.py", 10, 90, "failure")
    assert second.line == 100
    assert first.title == "_gemm1: 10 cases slower" and second.title == "_gemm2: 12 cases slower"
    assert "correctness/configuration[seed21]  +37.6 % [+37.0 … +38.2]" in first.message


def test_the_kernel_of_a_finding_is_blamed_alone_and_only_for_what_is_new() -> None:
    why = ("_gemm1: registers 1 → 2", "_gemm2: registers 1 → 2", "kernel _gone removed", "launches 6 → 5")
    cases = [compared(f"{family}[m=1]", Verdict.REGRESSED, 0.05, *why) for family in "abc"]
    shown = of(*cases)
    assert kernels_to_place(shown) == {"_gemm1", "_gemm2"}
    assert shown.report is not None
    blamed = replace(shown.report, findings=(replace(shown.report.findings[0], kernel="_gemm1"),))
    only_a = sort_cases(blamed, {}, Trunk(), [accept("c[m=1]", **{"c[m=1]": 0.1})], AT)
    found = replace(shown, report=blamed, sorted=only_a)
    first, second = check(found).annotations
    assert first.title == "_gemm1: 2 cases slower", "a by the finding, b by what changed"
    assert second.title == "_gemm2: 1 case slower" and second.message == "b[m=1]  +5.00 % [+4.80 … +5.20]"


@pytest.mark.parametrize(
    ("why", "kernels"),
    [
        ("machine code of _gemm1 differs, same registers/spills/shared memory", {"_gemm1"}),
        ("kernel _gemm1 added (registers 32, spills 0, shared memory 0 B)", {"_gemm1"}),
        ("_gemm1[64,1]: warps 4 → 8", {"_gemm1"}),
        ("_gemm1 also launched as another variant (registers 1)", {"_gemm1"}),
        ("kernel _gemm1 removed", set()),
        ("torch op aten.mm added (1×)", set()),
        ("launches 6 → 5", set()),
        ("host time per call 1 µs → 2 µs", set()),
    ],
)
def test_kernels_are_read_from_why(why: str, kernels: set[str]) -> None:
    assert kernels_to_place(of(compared("x", Verdict.REGRESSED, 0.05, why))) == kernels


def test_many_cases_of_a_kernel_are_counted() -> None:
    cases = [compared(f"x[{n}]", Verdict.REGRESSED, 0.05, "_gemm1: warps 4 → 8") for n in range(30)]
    (found,) = check(of(*cases)).annotations
    assert found.title == "_gemm1: 30 cases slower"
    assert found.message.endswith("\n… 20 more") and found.message.count("\n") == 10


def test_hostile_texts_stay_inside() -> None:
    found = check(hostile())
    assert document(found)["head"]["subject"] == HOSTILE
    assert "<img" not in found.summary and "<!--" not in found.text + found.summary
    assert found.text.isascii()


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=50), st.integers(1, 4000), st.integers(0, 60))
def test_the_json_is_valid_and_fits_whatever_the_texts(text: str, times: int, count: int) -> None:
    cases = [compared(f"{text}[{n}]", Verdict.FAILED, None, text * times) for n in range(count)]
    made = report(*cases, subject=text * times)
    found = verdict_text(made, view(of=made).sorting())  # type: ignore[arg-type]
    assert len(found.encode()) <= MOST_BYTES
    seen = document(replace(check(view()), text=found))
    assert seen["exit_code"] == (1 if count else 0)
    assert seen["head"]["commit"] == HEAD
