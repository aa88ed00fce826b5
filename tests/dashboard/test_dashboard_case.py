"""The case page over a real store: what each section says, and what it says where there is nothing."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hostile_history import CASES, COMPARISON, MARKER, fill_hostile
from sample_history import (
    DECODE,
    GPU,
    IMPORTED,
    LAPTOP,
    MATVEC,
    NEW_DRIVER,
    PREFILL,
    REPOSITORY,
    result,
    sample_id,
    sample_run,
)
from visiting import markup, refused, shown, visit_page

from dashboard.derive.reproduce import commands, environment_table, pattern_of
from dashboard.sections.case_parts import PARTS
from perfsuite.cases import match_cases
from perfsuite.store import open_store


def run_id(name: str) -> str:
    return sample_id(f"run {name}")


def charts(page: object) -> int:
    return len(page.get("plotly_chart"))  # type: ignore[attr-defined]


def test_a_comparison_is_answered_first(history: str) -> None:
    page = visit_page(history, "case", comparison=sample_id("comparison"), case=PREFILL)
    words = shown(page)
    assert "regressed" in words
    assert "+5." in words
    assert "ps-v-regressed" in markup(page)
    assert "The whole comparison" in words
    assert charts(page) == 3
    assert not page.warning


@pytest.mark.parametrize("part", PARTS)
def test_every_section_draws_on_two_sides_and_on_one(history: str, part: str) -> None:
    visit_page(history, "case", comparison=sample_id("comparison"), case=DECODE, part=part)
    visit_page(history, "case", run=run_id("day 0"), case=DECODE, part=part)
    visit_page(history, "case", run=run_id("day 3"), case=DECODE, part=part)


def test_without_an_address_it_is_the_newest_run_against_other_machine_code(history: str) -> None:
    page = visit_page(history, "case", repository=REPOSITORY, machine=NEW_DRIVER.fingerprint, case=PREFILL)
    assert "Change day 11" in shown(page)
    page = visit_page(history, "case", repository=REPOSITORY, machine=GPU.fingerprint, case=PREFILL)
    # Days 5, 6 and 7 have the same code: day 4 is the newest with another.
    assert "Change day 7" in shown(page)
    assert "Change day 4" in shown(page)
    assert "Two runs of different moments" in shown(page)


def test_two_runs_by_the_address(history: str) -> None:
    sides = {"base": run_id("day 0"), "head": run_id("day 1")}
    words = shown(visit_page(history, "case", case=PREFILL, **sides))
    assert "Change day 0" in words
    assert "Change day 1" in words


def test_a_side_of_a_comparison_shows_the_comparison(history: str) -> None:
    words = shown(visit_page(history, "case", run=run_id("head"), case=PREFILL))
    assert "regressed" in words


def test_the_first_run_stands_alone(history: str) -> None:
    page = visit_page(history, "case", run=run_id("day 0"), case=PREFILL)
    assert "Change day 0" in shown(page)
    assert "ps-chip ps-v-" not in markup(page)
    assert charts(page) == 2


def test_a_red_gate_shows_its_message_and_no_time(history: str) -> None:
    page = visit_page(history, "case", run=run_id("day 3"), case=DECODE)
    words = shown(page)
    assert "error_rms 0.4 > 0.02" in words
    assert "incorrect at" in words


def test_a_failure_on_a_machine_without_a_gpu(history: str) -> None:
    page = visit_page(history, "case", run=run_id("laptop"), case=MATVEC)
    assert "RuntimeError: boom" in shown(page)
    assert "There are no samples" in shown(page)
    reference = visit_page(history, "case", run=run_id("laptop"), case=PREFILL)
    assert "reference on the CPU" in shown(reference)


def test_an_imported_case_says_how_to_show_it_again(history: str) -> None:
    page = visit_page(history, "case", repository="other/project", case=IMPORTED, part="reproduce")
    assert f"perfsuite report {run_id('imported')[:12]}" in shown(page)
    assert "perfsuite compare" not in shown(page)


def test_an_unknown_case_is_said_and_another_shown(history: str) -> None:
    page = visit_page(history, "case", case="no/such[case]", repository=REPOSITORY)
    assert "not here" in page.warning[0].value
    assert page.selectbox(key="case").value


def test_an_unknown_run_or_comparison_is_refused(history: str) -> None:
    assert "no run" in refused(history, "case", run="ffff")
    assert "no comparison" in refused(history, "case", comparison="ffff")


def test_an_unknown_section_is_the_first(history: str) -> None:
    assert charts(visit_page(history, "case", part="nothing", comparison=sample_id("comparison"))) >= 2


def test_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    open_store(str(tmp_path / "empty.db")).close()
    assert "perfsuite run" in shown(visit_page(str(tmp_path / "empty.db"), "case"))


def test_clocks_name_reasons_and_what_nvml_did_not_tell(tmp_path: Path, history: str) -> None:
    words = shown(visit_page(history, "case", comparison=sample_id("comparison"), part="clocks"))
    assert "held itself back: sw_power_cap" in words
    with open_store(str(tmp_path / "one.db")) as store:
        run = sample_run("silent", 0)
        store.start_run(run)
        made = result(PREFILL, 1e6, 1)
        rounds = tuple(replace(one, telemetry=None) for one in made.blocks[0].rounds)
        store.save_result(run.id, replace(made, blocks=(replace(made.blocks[0], rounds=rounds),)))
    page = visit_page(str(tmp_path / "one.db"), "case", part="clocks")
    assert "No clocks, power or temperature" in shown(page)
    # One point: nothing to compare it with, no series.
    assert "need two runs" in shown(visit_page(str(tmp_path / "one.db"), "case", part="code"))


def test_machine_code_of_both_sides_stands_side_by_side(history: str) -> None:
    page = visit_page(history, "case", comparison=sample_id("comparison"), case=PREFILL, part="code")
    body = markup(page)
    assert "HGMMA.64x128x16.F32" in body
    assert 'class="ps-sass"' in body
    assert "Only registers differ" in shown(page)
    assert charts(page) == 2


def test_the_newest_changes_of_machine_code_are_links(history: str) -> None:
    body = markup(
        visit_page(history, "case", repository=REPOSITORY, machine=GPU.fingerprint, case=PREFILL, part="code")
    )
    assert f"base={run_id('day 4')}&amp;head={run_id('day 5')}" in body


def test_a_kernel_whose_loop_is_not_kept_says_since_when_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    with open_store(path) as store:
        for day in range(2):
            run = sample_run(f"old {day}", day)
            store.start_run(run)
            made = result(PREFILL, 1e6, day)
            kernels = tuple(replace(kernel, listing="") for kernel in made.launches.kernels)
            store.save_result(run.id, replace(made, launches=replace(made.launches, kernels=kernels)))
    assert "not kept at base and head" in shown(visit_page(path, "case", part="code"))


def test_errors_along_the_history(history: str) -> None:
    page = visit_page(
        history, "case", repository=REPOSITORY, machine=GPU.fingerprint, case=PREFILL, part="accuracy"
    )
    assert "tolerance 0.02" in shown(page)
    assert charts(page) == 1
    nothing = visit_page(history, "case", repository="other/project", case=IMPORTED, part="roofline")
    assert "no place for this case" in shown(nothing)


@pytest.mark.parametrize("part", PARTS)
def test_hostile_names_are_words(tmp_path: Path, part: str) -> None:
    path = fill_hostile(tmp_path / "hostile.db")
    for case in CASES[:3]:
        body = markup(visit_page(path, "case", comparison=COMPARISON, case=case, part=part))
        assert f"<img src=x class={MARKER}" not in body
        assert "<script" not in body


def test_commands_are_quoted_and_name_both_commits() -> None:
    base, head = sample_run("day 1", 1), sample_run("day 2", 2)
    made = [command for _, command in commands(PREFILL, base, head)]
    shas = [run.commit.sha[:10] for run in (base, head)]
    assert ["perfsuite", "run", "--revision", shas[1], "-k", PREFILL] in map(shlex.split, made)
    assert ["perfsuite", "bisect", PREFILL, *shas] in map(shlex.split, made)
    assert any(command.startswith("perfsuite compare --stored") for command in made)


def test_a_dirty_head_is_compared_with_the_working_tree() -> None:
    head = sample_run("day 2", 2)
    head = replace(head, commit=replace(head.commit, dirty="abc"))
    made = [command for _, command in commands(PREFILL, sample_run("day 1", 1), head)]
    assert not any(head.commit.sha[:10] in command for command in made)
    assert not any("bisect" in command for command in made)


@pytest.mark.parametrize("case", [PREFILL, "a or b[x]", "what?[n=*]"])
def test_the_pattern_chooses_the_case(case: str) -> None:
    assert match_cases(pattern_of(case), [case, "other/case[1]"]) == [case]


def test_environments_are_set_beside_each_other_where_they_differ() -> None:
    rows = {name: (before, after) for name, before, after in environment_table(GPU, NEW_DRIVER)}
    assert rows["driver"] == ("580.10", "590.20")
    assert rows["torch"] == ("", "2.11.0")
    assert all(not before for _, before, _ in environment_table(None, LAPTOP))
