"""The overview over a real SQLite store, and in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from browser import PHONE, query, settled, sideways, visitor
from playwright.sync_api import Browser
from sample_history import (
    CANARY,
    DECODE,
    GPU,
    LAPTOP,
    MATVEC,
    NEW_DRIVER,
    PREFILL,
    REPOSITORY,
    START,
    result,
    sample_run,
    sample_sha,
)
from visiting import markup, shown, visit_page

from dashboard.data import Database
from dashboard.pages.overview import MOST_ROWS, grid_frame
from dashboard.reads import overview as reads
from dashboard.sections.overview import ago, counted, machine_table
from perfsuite.store import open_store
from perfsuite.store.trends import Machine

OVERVIEW = {"repository": REPOSITORY, "machine": NEW_DRIVER.fingerprint}


def window(path: str, machine: str, commits: int = 60) -> reads.Window:
    return reads.overview(Database.at(path), REPOSITORY, machine, commits).window


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_it_answers_whether_main_is_healthy_and_what_is_wrong(history: str) -> None:
    said = plain(markup(visit_page(history, "overview", **OVERVIEW)))
    assert "main needs attention. 3 cases ok at" in said
    assert "4 steps slower and 1 step faster in 12 commits" in said
    assert "5 open alerts , 1 acknowledged; worst: +4.10 %" in said


def test_environments_that_followed_one_another_are_one_history(history: str) -> None:
    found = window(history, NEW_DRIVER.fingerprint).columns
    assert [column.fingerprint for column in found] == [GPU.fingerprint] * 8 + [NEW_DRIVER.fingerprint] * 4
    assert [column.boundary for column in found if column.boundary] == ["driver 580.10 → 590.20"]
    assert found[0].place.commit.sha == sample_sha("day 0")


def test_an_older_environment_shows_what_was_known_then(history: str) -> None:
    assert len(window(history, GPU.fingerprint).columns) == 8


def test_the_grid_leads_to_commits_trends_and_red_cases(history: str) -> None:
    drawn = markup(visit_page(history, "overview", **OVERVIEW))
    assert f'href="commit?sha={sample_sha("day 11")}' in drawn
    assert f"pin={sample_sha('day 5')}" in drawn
    red = re.search(r'<a class="ps x" href="([^"]+)"', drawn)
    assert red is not None
    address = query(red.group(1).replace("&amp;", "&"))
    assert address["case"] == [DECODE]
    assert address["machine"] == [GPU.fingerprint]
    assert CANARY not in drawn.partition("Families")[0]


def test_names_of_others_stay_text(history: str) -> None:
    drawn = markup(visit_page(history, "overview", **OVERVIEW))
    assert "<b>of</b>" not in drawn
    assert "&lt;b&gt;of&lt;/b&gt;" in drawn


def test_a_machine_without_a_gpu_shows_correctness_and_no_speed(history: str) -> None:
    page = visit_page(history, "overview", repository=REPOSITORY, machine=LAPTOP.fingerprint)
    said = plain(markup(page))
    assert "1 case failed: matvec_w4/matvec[n=4096]" in said
    assert "nothing is timed here" in said
    assert "The newest run is not finished." in said
    assert "<img" not in markup(page)


def test_jobs_workers_pull_requests_and_comparisons_are_listed(history: str) -> None:
    said = plain(markup(visit_page(history, "overview", **OVERVIEW)))
    for words in ("running compare pull request 7 , 1/2", "worker gpu-box/0", "1 earlier environment"):
        assert words in said
    assert "compare?pull=7" in markup(visit_page(history, "overview", **OVERVIEW))
    assert said.count("→") >= 3


def test_the_address_chooses_how_many_commits(history: str) -> None:
    page = visit_page(history, "overview", **OVERVIEW, commits="30")
    assert '"true">30</a>' in markup(page)
    assert '"true">60</a>' in markup(visit_page(history, "overview", **OVERVIEW, commits="nonsense"))
    few = window(history, NEW_DRIVER.fingerprint, 3)
    assert [one.place.commit.sha for one in few.columns] == [sample_sha(f"day {n}") for n in (8, 9, 10, 11)]


def test_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    open_store(str(tmp_path / "empty.db")).close()
    assert "perfsuite run" in shown(visit_page(str(tmp_path / "empty.db"), "overview"))


def test_uncommitted_changes_are_no_history(tmp_path: Path) -> None:
    path = str(tmp_path / "dirty.db")
    with open_store(path) as store:
        run = sample_run("dirty", 1)
        store.start_run(replace(run, commit=replace(run.commit, dirty="abc")))
        store.save_result(run.id, result(PREFILL, 1e6, 1))
    assert "git commit" in shown(visit_page(path, "overview"))


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A commit that was measured whole, then one case of it once more; and a branch."""
    path = str(tmp_path_factory.mktemp("again") / "perfsuite.db")
    with open_store(path) as store:
        for name, hour, cases, branch in (
            ("before", 0, (PREFILL, DECODE, MATVEC), "main"),
            ("whole", 1, (PREFILL, DECODE, MATVEC), "main"),
            ("part", 2, (DECODE,), "main"),
            ("feature", 3, (PREFILL,), "feature"),
        ):
            run = sample_run(name, 0)
            commit = run.commit if name != "part" else sample_run("whole", 0).commit
            at = START + timedelta(hours=hour)
            commit = replace(commit, branch=branch, committed_at=START + timedelta(hours=min(hour, 1)))
            store.start_run(replace(run, commit=commit, started_at=at))
            for case in cases:
                store.save_result(run.id, result(case, 2e6 if name == "part" else 1e6, 1))
    return path


def test_a_partial_run_does_not_hide_what_its_commit_measured_before(again: str) -> None:
    newest = window(again, GPU.fingerprint).columns[-1]
    assert set(newest.cells) == {PREFILL, DECODE, MATVEC}
    assert newest.cells[DECODE].median_ns == pytest.approx(2e6, rel=0.01)
    assert newest.cells[MATVEC].median_ns == pytest.approx(1e6, rel=0.01)


def test_other_branches_are_left_out(again: str) -> None:
    found = window(again, GPU.fingerprint)
    assert found.branch == "main"
    assert len(found.columns) == 2


def test_thousands_of_cases_are_cut_and_folded(
    again: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "many.db")
    with open_store(path) as store:
        for day in range(3):
            run = sample_run(f"day {day}", day)
            store.start_run(run)
            for number in range(MOST_ROWS + 5):
                store.save_result(run.id, replace(result(f"family{number}[m=1]", 1e6, 1), blocks=()))
    monkeypatch.setattr(reads, "MOST_CELLS", 2 * (MOST_ROWS + 5))
    said = plain(markup(visit_page(path, "overview")))
    assert "so many cases that only 2 are shown" in said
    assert "5 more families, none of them worse than these" in said
    page = visit_page(path, "overview", families="all")
    assert "more families" not in plain(markup(page))


def test_the_grid_can_be_saved(history: str) -> None:
    found = reads.overview(Database.at(history), REPOSITORY, NEW_DRIVER.fingerprint, 60)
    frame = grid_frame(found.window.columns, found.rows).set_index(["commit", "family"])
    row = frame.loc[(sample_sha("day 5"), "moe_w4a8/prefill")]
    assert (row["verdict"], row["change"]) == ("regressed", 0.041)
    assert len(frame) == 12 * 3


def test_ages_and_counts_are_words() -> None:
    now = datetime(2025, 3, 1, tzinfo=UTC)
    ages = [timedelta(seconds=20), timedelta(minutes=1), timedelta(hours=5), timedelta(days=400)]
    assert [ago(now, now - age) for age in ages] == [
        "just now",
        "1 minute ago",
        "5 hours ago",
        "400 days ago",
    ]
    assert (counted(1, "case"), counted(1200, "case"), counted(2, "family", "families")) == (
        "1 case",
        "1,200 cases",
        "2 families",
    )


def test_silent_machines_are_marked_and_replaced_environments_are_not() -> None:
    now = START + timedelta(days=20)
    newest = Machine("b", NEW_DRIVER, ("gpu-box",), now - timedelta(days=1), "r", 4)
    former = Machine("a", GPU, ("gpu-box",), now - timedelta(days=9), "r", 8)
    other = Machine("c", LAPTOP, ("laptop",), now - timedelta(days=9), "r", 1)
    drawn = str(machine_table([newest, former, other], REPOSITORY, now))
    assert drawn.count("silent") == 1
    assert "1 earlier environment" in drawn


def test_in_a_browser_it_fits_a_phone_and_its_cells_lead_on(url: str, browser: Browser) -> None:
    address = f"?repository={REPOSITORY}&machine={NEW_DRIVER.fingerprint}"
    with visitor(browser, viewport=PHONE) as (page, trouble):
        page.goto(f"{url}/{address}")
        page.wait_for_selector(".ps-grid .c")
        settled(page)
        assert sideways(page) <= 0
        newest = page.locator(".ps-grid .c").last.bounding_box()
        assert newest is not None
        assert 0 < newest["x"] < PHONE["width"]
        page.locator(".ps-grid a.ps.x").click()
        page.wait_for_url("**/case?*")
        assert query(page.url)["case"] == [DECODE]
        assert not trouble
