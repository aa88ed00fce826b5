"""The compare page over a real store: what an address names, what it shows, where it leads."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sample_history import (
    DECODE,
    GPU,
    LAPTOP,
    NEW_DRIVER,
    PREFILL,
    PULL,
    REPOSITORY,
    START,
    result,
    sample_id,
    sample_run,
    sample_sha,
)
from visiting import markup, refused, rerun, shown, visit_page

from dashboard.data import Database
from dashboard.reads.compare import between
from dashboard.sections.compare import ALL
from perfsuite.cli.unpaired import compare_stored
from perfsuite.config import Config
from perfsuite.model import Comparison, Status, Timer, Verdict
from perfsuite.store import open_reader, open_store

COMPARISON = sample_id("comparison")


def base_and_head(base: str, head: str, **more: str) -> dict[str, str]:
    return {"repository": REPOSITORY, "machine": GPU.fingerprint, "base": base, "head": head, **more}


def test_the_address_names_a_comparison(history: str) -> None:
    page = visit_page(history, "compare", comparison=COMPARISON)
    text = shown(page)
    assert "1 case slower, 1 faster" in text
    assert "✕</span> red" in text
    assert page.selectbox(key="comparison").value == COMPARISON
    assert not page.warning
    assert "NVIDIA H200 · driver 590.20" in text
    assert re.search(r"perfsuite compare [0-9a-f]{10} [0-9a-f]{10} --profile quick", text)


def test_the_beginning_of_an_id_is_enough(history: str) -> None:
    page = visit_page(history, "compare", comparison=COMPARISON[:8])
    assert "1 case slower, 1 faster" in shown(page)
    assert not page.warning
    # Links of the page hold when a later id begins alike.
    assert f"comparison={COMPARISON}&" in shown(page)


def test_without_parameters_the_newest_is_shown_and_others_can_be_chosen(history: str) -> None:
    page = visit_page(history, "compare")
    assert page.selectbox(key="comparison").value == sample_id("push 2")
    assert "comparison" not in page.query_params
    page.selectbox(key="comparison").select(COMPARISON)
    rerun(page)
    assert page.query_params["comparison"] == COMPARISON
    assert "1 case slower, 1 faster" in shown(page)


def test_every_case_leads_to_its_page_with_this_comparison(history: str) -> None:
    text = markup(visit_page(history, "compare", comparison=COMPARISON))
    links = set(re.findall(r'href="(case\?[^"]*)"', text))
    assert len(links) == 12
    assert all(f"comparison={COMPARISON}" in one for one in links)
    assert all(f"machine={NEW_DRIVER.fingerprint}" in one for one in links)
    assert re.search(r'href="trends\?case=moe_w4a8%2Fprefill', text)
    assert f"commit?sha={sample_sha('head')}" in text


def test_the_why_table_tells_verdict_change_and_machine_code(history: str) -> None:
    text = shown(visit_page(history, "compare", comparison=COMPARISON))
    row = next(row for row in text.split("<h3>Why")[1].split("<tr>")[2:] if PREFILL in row)
    assert "ps-v-regressed" in row
    assert "+5." in row
    assert "ms" in row
    assert re.search(r"\d+/\d+/96\.0 KiB", row)


def test_subjects_of_others_are_text(history: str) -> None:
    for query in ({"comparison": COMPARISON}, {"pull": str(PULL)}, base_and_head(*SHAS)):
        text = markup(visit_page(history, "compare", **query))
        assert "<b>of</b>" not in text
    assert "&lt;b&gt;of&lt;/b&gt;" in text


def test_an_unknown_id_names_the_nearest(history: str) -> None:
    assert "there is no comparison 'ffffffff'" in refused(history, "compare", comparison="ffffffff")


def test_the_pull_request_is_its_pushes(history: str) -> None:
    page = visit_page(history, "compare", pull=str(PULL), repository=REPOSITORY)
    text = shown(page)
    assert f"Pull request #{PULL} of {REPOSITORY}" in text
    assert f"https://github.com/{REPOSITORY}/pull/{PULL}" in text
    pushes = text.split("</table>")[0].split("<tr>")[2:]
    assert [sample_sha(f"push {n}")[:10] in row for n, row in zip((3, 2, 1), pushes, strict=True)] == [
        True
    ] * 3
    assert "measuring 1/2" in pushes[0] and "running" in pushes[0]
    assert "shown below" in pushes[1] and "1 inconclusive, 1 unchanged" in pushes[1]
    assert "1 slower" in pushes[2]
    assert f"comparison={sample_id('push 1')}" in pushes[2]
    assert "green" in text


def test_a_push_of_a_pull_request_is_chosen_by_address(history: str) -> None:
    query = {"pull": str(PULL), "repository": REPOSITORY, "comparison": sample_id("push 1")}
    text = shown(visit_page(history, "compare", **query))
    assert "✕</span> red" in text
    assert "1 case slower" in text


def test_a_pull_request_is_found_without_its_repository(history: str) -> None:
    assert REPOSITORY in shown(visit_page(history, "compare", pull=str(PULL)))


def test_a_pull_request_of_which_nothing_was_measured_says_what_to_run(history: str) -> None:
    assert "perfsuite ci watch" in shown(visit_page(history, "compare", pull="9999"))


@pytest.mark.parametrize("written", ["x", "-1", "7;drop", "٧", "1" * 40])
def test_what_is_no_number_is_refused(history: str, written: str) -> None:
    assert "no number of a pull request" in refused(history, "compare", pull=written)


SHAS = (sample_sha("day 4"), sample_sha("day 6"))


def test_two_commits_of_the_history_are_judged_with_the_noise_between_runs(history: str) -> None:
    page = visit_page(history, "compare", **base_and_head(*SHAS))
    text = shown(page)
    assert "Two runs of different moments" in text
    assert page.selectbox(key="base").value == SHAS[0]
    assert page.selectbox(key="head").value == SHAS[1]
    assert not page.warning
    run = sample_id("run day 4")
    assert re.search(rf'href="case\?case=[^"]*base={run}', text)


def test_two_commits_are_judged_as_the_command_line_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Without a configuration, as the command line below.
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "long.db")
    with open_store(path) as store:
        for day in range(70):
            run = sample_run(f"day {day}", day)
            store.start_run(run)
            cases = [PREFILL, DECODE] if day % 3 == 0 else [PREFILL]
            for number, case in enumerate(cases):
                store.save_result(
                    run.id, result(case, 1e6 * (1.3 if day == 69 else 1), 2 * day + number, day)
                )
        runs = sample_id("run day 66"), sample_id("run day 69")
        told = compare_stored(Config(tmp_path, None, "suite", path), store.reader, *runs)
    assert between(Database.at(path), *runs, REPOSITORY, GPU.fingerprint) == told
    assert {one.case: one.verdict for one in told.comparisons}[PREFILL] is Verdict.REGRESSED
    assert [re.findall(r"(\d+) earlier changes", one.why[0]) for one in told.comparisons] == [["50"], ["22"]]


def test_two_commits_that_were_compared_in_lockstep_show_that(history: str) -> None:
    query = base_and_head(sample_sha("base")[:9], sample_sha("head"), machine=NEW_DRIVER.fingerprint)
    page = visit_page(history, "compare", **query)
    assert "1 case slower, 1 faster" in shown(page)
    assert "Two runs of different moments" not in shown(page)
    assert not page.warning
    assert page.selectbox(key="base").value == sample_sha("base")[:9]


def test_choosing_another_base_writes_the_address(history: str) -> None:
    page = visit_page(history, "compare", **base_and_head(*SHAS))
    page.selectbox(key="base").select(sample_sha("day 2"))
    rerun(page)
    assert page.query_params["base"] == sample_sha("day 2")
    assert f"base={sample_id('run day 2')}" in shown(page)


def test_runs_of_different_environments_are_refused_by_what_differs(history: str) -> None:
    told = refused(history, "compare", **base_and_head(sample_id("run day 4"), sample_id("run day 9")))
    assert "driver 580.10 → 590.20" in told


def test_a_commit_of_another_machine_says_where_it_was_measured(history: str) -> None:
    told = refused(history, "compare", **base_and_head(SHAS[0], sample_sha("day 9")))
    assert "was not measured on this machine" in told
    assert "driver 590.20" in told


def test_one_commit_on_both_sides_is_refused(history: str) -> None:
    assert "are one run" in refused(history, "compare", **base_and_head(SHAS[0], SHAS[0]))


def test_a_commit_that_nobody_measured_names_the_nearest(history: str) -> None:
    assert "there is no run 'ffffffff'" in refused(history, "compare", **base_and_head(SHAS[0], "ffffffff"))


def test_without_comparisons_it_says_what_to_run(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    with open_store(path) as store:
        for day in range(2):
            run = sample_run(f"day {day}", day)
            store.start_run(run)
            store.save_result(run.id, result(PREFILL, 1e6, day))
    text = shown(visit_page(path, "compare"))
    assert "perfsuite compare main" in text
    assert f"compare?base={sample_sha('day 0')}&head={sample_sha('day 1')}" in text


def test_unfinished_one_sided_and_red_cases_are_told(tmp_path: Path) -> None:
    path = str(tmp_path / "odd.db")
    base, head = (sample_run(side, 1, kind=side, finished_at=None) for side in ("base", "head"))
    with open_store(path) as store:
        store.start_comparison(Comparison("c" * 32, base, head, 0.02, START))
        store.save_result(base.id, result("gone/x[m=1]", 1e6, 1))
        store.save_result(head.id, result("fresh/x[m=1]", 1e6, 1))
        store.save_result(base.id, result(DECODE, 1e6, 1))
        wrong = replace(result(DECODE, 1e6, 2), status=Status.INCORRECT, timer=Timer.NONE, blocks=())
        store.save_result(head.id, replace(wrong, message="<b>error</b> 0.4 > 0.02"))
    text = markup(visit_page(path, "compare"))
    assert "Not finished" in text
    assert "1 case incorrect, 1 new, 1 removed" in text
    for verdict in ("incorrect", "new", "removed"):
        assert f"ps-v-{verdict}" in text
    assert "&lt;b&gt;error&lt;/b&gt;" in text
    assert "None of these was timed." in text


def test_of_a_large_comparison_the_family_in_the_address_is_drawn(tmp_path: Path) -> None:
    path = str(tmp_path / "large.db")
    base, head = (sample_run(side, 1, kind=side) for side in ("base", "head"))
    with open_store(path) as store:
        store.start_comparison(Comparison("c" * 32, base, head, 0.02, START, START + timedelta(hours=1)))
        for number in range(ALL + 20):
            case = f"family{number % 4}/x[m={number}]"
            for run, seed in ((base, number), (head, number + 1000)):
                store.save_result(run.id, result(case, 1e6, seed))
    quiet = markup(visit_page(path, "compare"))
    assert quiet.count("ps-forest-plot") < ALL
    assert "family=family2%2Fx" in quiet
    asked = markup(visit_page(path, "compare", comparison="c" * 32, family="family2/x"))
    assert asked.count("ps-forest-plot") >= quiet.count("ps-forest-plot") + 15


def test_a_machine_that_measured_neither_commit_is_refused(history: str) -> None:
    query = base_and_head(*SHAS, machine=LAPTOP.fingerprint)
    assert "was not measured on this machine" in refused(history, "compare", **query)


def test_nothing_is_written(history: str) -> None:
    before = len(open_reader(history).comparisons(limit=1000))
    visit_page(history, "compare", **base_and_head(*SHAS))
    assert len(open_reader(history).comparisons(limit=1000)) == before
