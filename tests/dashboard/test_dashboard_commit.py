"""The page of a commit over a real store."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from sample_history import (
    DECODE,
    GPU,
    IMPORTED,
    LAPTOP,
    PREFILL,
    REPOSITORY,
    result,
    sample_id,
    sample_run,
    sample_sha,
)
from visiting import markup, refused, rerun, shown, visit_page

from dashboard.data import Database
from dashboard.reads.commit import neighbours
from perfsuite.model import Commit, Run
from perfsuite.store import open_reader, open_store


def at(day: str, **more: str) -> dict[str, str]:
    return {"sha": sample_sha(day), "repository": REPOSITORY, **more}


def run_of(path: str, name: str) -> Run:
    return open_reader(path).run(sample_id(f"run {name}"))


def test_a_commit_shows_who_what_and_where(history: str) -> None:
    page = visit_page(history, "commit", **at("day 2"))
    text = shown(page)
    assert "Change day 2 <b>of</b> the kernels" in text
    assert "<b>of</b>" not in markup(page)
    assert "Ada · 2025-03-03 09:00 UTC" in text
    assert f"https://github.com/{REPOSITORY}/commit/{sample_sha('day 2')}" in text
    assert "NVIDIA H200 · driver 580.10" in text
    assert f"case={PREFILL.replace('/', '%2F').replace('[', '%5B').split('%5B')[0]}" in text
    assert f"run={sample_id('run day 2')}" in text


def test_neighbours_lead_on_and_can_be_compared(history: str) -> None:
    text = shown(visit_page(history, "commit", **at("day 2")))
    for day in ("day 1", "day 3"):
        assert f"commit?sha={sample_sha(day)}&repository=acme%2Fkernels&machine={GPU.fingerprint}" in text
        assert f"compare?base={sample_sha(day)}&head={sample_sha('day 2')}" in text


def test_neighbours_at_the_ends_of_a_history(history: str) -> None:
    database = Database.at(history)
    first, last = (neighbours(database, run_of(history, name)) for name in ("day 0", "day 7"))
    assert first.before is None and first.after is not None
    assert first.after.sha == sample_sha("day 1")
    assert last.before is not None and last.before.sha == sample_sha("day 6")
    assert last.after is None, "the next was measured on another driver"
    side = neighbours(database, run_of(history, "head"))
    assert (side.before, side.after) == (None, None), "a side of a comparison is in no history"


def test_what_is_not_ok_comes_first_with_its_message(history: str) -> None:
    text = markup(visit_page(history, "commit", **at("day 3")))
    assert text.index("What is not ok") < text.index("<details")
    assert "error_rms 0.4 &gt; 0.02" in text
    row = next(row for row in text.split("<details")[1:] if "moe_w4a8/decode" in row).split("<tr>")[2]
    assert "ps-v-incorrect" in row
    assert "µs" not in row, "a red gate shows no time"


def test_alerts_whose_range_begins_or_ends_here(history: str) -> None:
    for day in ("day 4", "day 5"):
        text = shown(visit_page(history, "commit", **at(day)))
        assert f"alerts?alert={sample_id(f'alert {DECODE} slower (4, 5)')}" in text
        assert "looking into it" in text or "acknowledged" in text
    assert "<h3>Alerts" not in shown(visit_page(history, "commit", **at("day 3")))


def test_comparisons_it_took_part_in(history: str) -> None:
    text = shown(visit_page(history, "commit", **at("head")))
    assert f"compare?comparison={sample_id('comparison')}" in text
    assert "<td>head</td>" in text
    same = shown(visit_page(history, "commit", **at("same")))
    assert "base and head" in same


def test_how_to_measure_it_again(history: str) -> None:
    page = visit_page(history, "commit", **at("day 2"))
    code = page.code[0].value.splitlines()
    assert code == [
        f"perfsuite run --revision {sample_sha('day 2')[:10]} --profile quick",
        f"perfsuite compare {sample_sha('day 1')[:10]} {sample_sha('day 2')[:10]}",
        f"perfsuite report {sample_id('run day 2')[:12]}",
    ]
    red = visit_page(history, "commit", **at("day 3")).code[0].value.splitlines()
    assert red[2] == f"perfsuite bisect '{DECODE}' {sample_sha('day 2')[:10]} {sample_sha('day 3')[:10]}"


def test_the_beginning_of_a_sha_is_enough(history: str) -> None:
    text = shown(visit_page(history, "commit", sha=sample_sha("day 2")[:9].upper()))
    assert "Change day 2" in text


def test_a_beginning_of_several_lists_them(tmp_path: Path) -> None:
    path = str(tmp_path / "alike.db")
    with open_store(path) as store:
        for number in range(3):
            run = sample_run(f"day {number}", number)
            run = replace(run, commit=replace(run.commit, sha=f"abcd{number}" + "0" * 35))
            store.start_run(run)
            store.save_result(run.id, result(PREFILL, 1e6, number))
    page = visit_page(path, "commit", sha="abcd")
    text = shown(page)
    assert "3 commits begin with abcd" in text
    assert text.count("commit?sha=abcd") == 3


def test_an_unknown_commit_names_the_nearest(history: str) -> None:
    assert "there is no run 'ffffffff'" in refused(history, "commit", sha="ffffffff")


def test_a_commit_of_another_repository_says_so(history: str) -> None:
    told = refused(history, "commit", sha=sample_sha("day 2"), repository="other/project")
    assert "was not measured in other/project" in told


def test_without_a_sha_the_newest_is_shown_and_others_can_be_chosen(history: str) -> None:
    page = visit_page(history, "commit", repository=REPOSITORY, machine=GPU.fingerprint)
    assert page.selectbox(key="sha").value == sample_sha("day 7")
    page.selectbox(key="sha").select(sample_sha("day 2"))
    rerun(page)
    assert page.query_params["sha"] == sample_sha("day 2")
    assert "Change day 2" in shown(page)


def test_the_wall_clock_of_a_reference_says_what_it_is(history: str) -> None:
    text = shown(visit_page(history, "commit", sha=sample_sha("laptop")))
    assert "say nothing about the kernels" in text
    assert "wall clock of reference, CPU" in text
    assert "RuntimeError: boom" in text
    assert "not finished" in text
    assert LAPTOP.label in text


def test_an_imported_commit_of_a_project(history: str) -> None:
    text = shown(visit_page(history, "commit", sha=sample_sha("imported")))
    assert IMPORTED in text
    assert "imported" in text


def test_of_several_runs_the_address_chooses_one(tmp_path: Path) -> None:
    path = str(tmp_path / "again.db")
    commit = Commit("a" * 40, "Twice", "Ada")
    with open_store(path) as store:
        for number in range(2):
            run = replace(sample_run(f"day {number}", number), commit=commit)
            store.start_run(run)
            store.save_result(run.id, result(PREFILL, 1e6 * (number + 1), number))
    results = [
        markup(visit_page(path, "commit", sha="a" * 40, **more)).split("<h3>Results")[1]
        for more in ({}, {"run": sample_id("run day 0")})
    ]
    assert re.search(r'<td class="n">2\.0\d\d ms|<td class="n">1\.99\d ms', results[0])
    assert re.search(
        r'<td class="n">1\.0\d\d ms|<td class="n">999\.\d µs|<td class="n">0\.99\d ms', results[1]
    )
