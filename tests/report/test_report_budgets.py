"""What cases may take, against what they took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from report_example import CPU, GPU, result, run

from perfsuite.errors import Exit, UsageError
from perfsuite.model import CANARY_FAMILY, Environment, Status
from perfsuite.report.budgets import (
    Budget,
    Measured,
    Standing,
    Stray,
    budgets_exit_code,
    budgets_json,
    budgets_markdown,
    budgets_note,
    budgets_text,
    measured_budgets,
    stray_budgets,
)

MEDIAN_NS = 1004.5
"""Of the example's rounds."""
CASES = ("moe/decode[m=1]", "moe/decode[m=16]", "moe/prefill[m=1]", "gemm[m=1]")
RESULTS = [result(case) for case in CASES]
H200 = "NVIDIA H200"


def measured(*budgets: Budget, environment: Environment = GPU) -> list[Measured]:
    return measured_budgets(budgets, run(environment=environment), RESULTS)


def standings(lines: Sequence[Measured]) -> list[tuple[str, Standing]]:
    return [(line.case, line.standing) for line in lines]


def test_the_median_is_held_against_the_budget_up_to_and_with_equality() -> None:
    lines = measured(
        Budget(H200, CASES[0], MEDIAN_NS),
        Budget(H200, CASES[1], MEDIAN_NS - 0.001),
        Budget(H200, CASES[2], 2 * MEDIAN_NS, MEDIAN_NS),
        Budget(H200, "absent", 1.0),
    )
    assert standings(lines) == [
        (CASES[0], Standing.KEPT),
        (CASES[1], Standing.EXCEEDED),
        (CASES[2], Standing.KEPT),
        ("absent", Standing.UNTIMED),
    ]
    assert [line.ratio for line in lines] == [1.0, pytest.approx(1.000001), 0.5, None]
    assert [line.reaches_aim for line in lines] == [False, False, True, False]


def test_a_pattern_of_several_cases_is_a_line_for_each() -> None:
    decode = measured(Budget(H200, "decode", 1.0))
    assert [line.case for line in decode] == [CASES[0], CASES[1]]
    # As -k: a glob is of the whole id, and its brackets stand for themselves.
    assert [line.case for line in measured(Budget(H200, "moe/*[m=1]", 1.0))] == [CASES[0], CASES[2]]


@pytest.mark.parametrize(
    ("glob", "gpu", "holds"),
    [
        (H200, H200, True),
        ("NVIDIA H*", H200, True),
        ("*H200", H200, True),
        ("H200", H200, False),
        (H200, "NVIDIA H200 NVL", False),
        ("GPU [a]", "GPU [a]", True),
        ("*", None, True),
        (H200, None, False),
    ],
)
def test_budgets_are_of_a_gpu(glob: str, gpu: str | None, holds: bool) -> None:
    environment = replace(GPU if gpu else CPU, gpu=gpu)
    assert bool(measured(Budget(glob, CASES[0], 1.0), environment=environment)) is holds


def test_two_budgets_of_one_case_are_refused_by_name() -> None:
    with pytest.raises(UsageError) as caught:
        measured(Budget(H200, "decode", 1.0), Budget("NVIDIA *", "m=16", 2.0))
    for part in (CASES[1], "'decode' of 'NVIDIA H200'", "'m=16' of 'NVIDIA *'"):
        assert part in caught.value.what
    assert caught.value.next_step
    # On another GPU they do not meet.
    assert len(measured(Budget(H200, "decode", 1.0), Budget("NVIDIA L4", "m=16", 2.0))) == 2


@pytest.mark.parametrize("status", [Status.INCORRECT, Status.FAILED, Status.SKIPPED])
def test_what_is_not_ok_has_no_time_and_says_so(status: Status) -> None:
    results = [result(CASES[0], status=status)]
    lines = measured_budgets([Budget(H200, CASES[0], 1e9)], run(), results)
    assert standings(lines) == [(CASES[0], Standing.UNTIMED)]
    row = budgets_text(run(), lines).splitlines()[-1]
    assert " ".join(row.split()) == f"{CASES[0]} 1.000 s – – – – {status}"


def test_canaries_have_no_budgets() -> None:
    canary = replace(result(f"{CANARY_FAMILY}[compute]"), family=CANARY_FAMILY)
    (line,) = measured_budgets([Budget(H200, "compute", 1.0)], run(), [canary])
    assert line.result is None


def test_exceeding_is_red_only_where_budgets_are_a_gate() -> None:
    over, under = measured(Budget(H200, CASES[0], 1.0), Budget(H200, CASES[1], 1e9))
    absent = Measured(Budget(H200, "absent", 1.0))
    assert budgets_exit_code(RESULTS, [over, under], gate=False) is Exit.OK
    assert budgets_exit_code(RESULTS, [over, under], gate=True) is Exit.RED
    assert budgets_exit_code(RESULTS, [under, absent], gate=True) is Exit.OK
    failed = [result(CASES[0], status=Status.FAILED)]
    assert budgets_exit_code(failed, [under], gate=False) is Exit.RED


def test_the_note_names_what_was_exceeded_the_worst_first() -> None:
    lines = measured(
        Budget(H200, CASES[0], 1000.0), Budget(H200, CASES[1], 500.0), Budget(H200, CASES[2], 2000.0, 1500.0)
    )
    assert budgets_note(run(), lines) == [
        "Budgets on NVIDIA H200: 1 kept (1 of them reaches its aim), 2 exceeded. "
        "The table: perfsuite report --budgets",
        "  moe/decode[m=16]: 1.004 µs, 2.01× of the 500.0 ns required",
        # Two digits would say that it is kept.
        "  moe/decode[m=1]: 1.004 µs, 1.004× of the 1.000 µs required",
    ]


def test_the_table_has_the_order_of_the_budgets() -> None:
    lines = measured(
        Budget(H200, CASES[2], 2000.0, 1500.0), Budget(H200, "absent", 1.0), Budget(H200, CASES[0], 500.0)
    )
    text = budgets_text(run(), lines).splitlines()
    assert text[0].startswith("Budgets on NVIDIA H200: 1 kept")
    heading, _, *rows = text[text.index("") + 1 :]
    assert heading.split() == [
        *("case", "required", "aim", "measured", "of", "required", "roofline", "kept"),
    ]
    assert [" ".join(row.split()) for row in rows] == [
        "moe/prefill[m=1] 2.000 µs 1.500 µs 1.004 µs 0.50× 62% yes, aim too",
        "absent 1.000 ns – – – – not measured",
        "moe/decode[m=1] 500.0 ns – 1.004 µs 2.01× 62% no",
    ]


def test_markdown_is_a_table_whose_cells_nobody_else_can_write() -> None:
    hostile = replace(result("moe/decode[m=1]"), case="moe/a|b<script>")
    lines = measured_budgets([Budget(H200, "a|b", 500.0), Budget(H200, "absent", 1.0)], run(), [hostile])
    rows = [line for line in budgets_markdown(run(), lines).splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {8}
    assert "<script>" not in "".join(rows)
    assert rows[2].endswith("| **no** |") and rows[3].endswith("| **not measured** |")


def test_json_keeps_its_names_and_units() -> None:
    lines = measured(Budget(H200, CASES[0], 500.0, 250.0), Budget(H200, "absent", 1.0))
    document = json.loads(json.dumps(budgets_json(run(), RESULTS, lines, gate=True), allow_nan=False))
    assert (document["schema"], document["exit_code"], document["gate"]) == (1, 1, True)
    assert document["run"]["environment"]["gpu"] == H200
    first, second = document["budgets"]
    assert first == {
        "case": CASES[0],
        "match": CASES[0],
        "gpu": H200,
        "at_most_ns": 500.0,
        "aim_ns": 250.0,
        "median_ns": MEDIAN_NS,
        "ratio": MEDIAN_NS / 500,
        "roofline_fraction": 0.62,
        "standing": "exceeded",
        "status": "ok",
        "reaches_aim": False,
    }
    assert (second["case"], second["median_ns"], second["standing"]) == (None, None, "not measured")
    assert document["naming_no_case"] == []


TYPO, ELSEWHERE = Budget(H200, "moe/decod[m=1]", 1.0), Budget("NVIDIA L4", "gemm[m=*|2]", 1.0)
SUITE = "benchmarks"
WHOLE = replace(run(), profile="full", suite=SUITE, finished_at=datetime(2026, 1, 1, tzinfo=UTC))
STRAYS = [Stray(TYPO, "moe/decode[m=1]"), Stray(ELSEWHERE, "gemm[m=1]")]


def test_a_pattern_that_names_no_case_is_found_whatever_its_gpu() -> None:
    budgets = [Budget(H200, CASES[0], 1.0), TYPO, Budget(H200, "m=16", 1.0), ELSEWHERE]
    assert stray_budgets(budgets, WHOLE, RESULTS, SUITE) == STRAYS
    # A case that failed or was skipped is one all the same.
    skipped = [*RESULTS, result("moe/decod[m=1]", status=Status.SKIPPED)]
    assert stray_budgets(budgets, WHOLE, skipped, SUITE) == STRAYS[1:]


@pytest.mark.parametrize(
    "change",
    [
        {"profile": "pr"},
        {"pattern": "decode"},
        {"kind": "head"},
        {"finished_at": None},
        {"suite": "benchmarks/test_moe.py"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_that_measured_a_part_does_not_know_what_there_is(change: dict[str, Any]) -> None:
    assert stray_budgets([TYPO], replace(WHOLE, **change), RESULTS, SUITE) == []


def test_what_names_no_case_is_said_in_every_form() -> None:
    lines = measured_budgets([Budget(H200, CASES[0], 1e9)], WHOLE, RESULTS)
    told = (
        "! the budget 'moe/decod[m=1]' of 'NVIDIA H200' names no case of this run, which measured all; "
        "the nearest is moe/decode[m=1]"
    )
    assert told in budgets_text(WHOLE, lines, STRAYS).splitlines()
    note = budgets_note(WHOLE, lines, STRAYS)
    assert len(note) == 3 and note[1] == told
    # Without a budget for this GPU it is all that there is to say.
    assert budgets_note(WHOLE, [], STRAYS[:1]) == [told]
    assert budgets_note(WHOLE, []) == []
    markdown = budgets_markdown(WHOLE, lines, STRAYS)
    items = [line for line in markdown.splitlines() if line.startswith("- ")]
    assert len(items) == 2 and all("**names no case** of this run" in item for item in items)
    assert "|" not in items[1]
    document = budgets_json(WHOLE, RESULTS, lines, STRAYS, gate=True)
    assert document["naming_no_case"][1] == {
        "match": "gemm[m=*|2]",
        "gpu": "NVIDIA L4",
        "nearest": "gemm[m=1]",
    }
    # A typo is no red run.
    assert document["exit_code"] == 0
