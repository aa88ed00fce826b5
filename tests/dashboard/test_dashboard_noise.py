"""The noise page over a real SQLite store."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sample_history import (
    GPU,
    LAPTOP,
    MATVEC,
    NEW_DRIVER,
    PREFILL,
    REPOSITORY,
    START,
    fill,
    result,
    sample_id,
    sample_run,
)
from visiting import markup, shown, visit_page

from dashboard.data import Database
from dashboard.pages import noise as page_module
from dashboard.reads import noise as reads
from perfsuite.measure.settings import BUDGETS
from perfsuite.model import Comparison, Noise, noise_key
from perfsuite.store import open_store

HERE = {"repository": REPOSITORY, "machine": NEW_DRIVER.fingerprint}
SEEN = Noise(between=4e-4, pairs=30, within=9e-5, freedom=90, comparisons=10)


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample history where enough noise was seen: one case is noisier than its threshold."""
    path = fill(tmp_path_factory.mktemp("noisy") / "perfsuite.db")
    with open_store(path) as store:
        loud = replace(SEEN, between=4.0)
        store.save_noise(sample_id("noise"), {PREFILL: ("v1", SEEN), MATVEC: ("v1", loud)})
    return path


def test_the_budget_is_the_one_that_comparisons_have() -> None:
    effort = BUDGETS["pr"].effort
    assert (effort.pairs, effort.blocks) == (reads.PAIRS, reads.BLOCKS)


def test_it_says_what_the_gate_can_see(noisy: str) -> None:
    page = visit_page(noisy, "noise", **HERE)
    said = plain(markup(page))
    assert "2 cases: half of them see a change of" in said
    assert "1 of 2 see a change as small as their threshold" in said
    assert 'class="s l"' in markup(page)
    assert 'class="s"' in markup(page)


def test_too_little_noise_is_said_so(history: str) -> None:
    said = plain(markup(visit_page(history, "noise", **HERE)))
    assert "3 cases, none of them seen often enough yet" in said
    assert "too few pairs" in said


def test_unchanged_code_that_was_called_changed_is_counted(history: str) -> None:
    said = plain(markup(visit_page(history, "noise", **HERE)))
    assert "0 of 3 timed cases in the newest 1 comparison were called slower or faster." in said


def test_false_alarms_are_told_with_their_interval(history: str) -> None:
    said = plain(markup(visit_page(history, "noise", **HERE)))
    assert "People decided 3 alerts: 0 of them were noise, 0.00 % (95% interval 0.00 % to 70.8 %)." in said
    assert "1 further alert took itself back" in said


def test_the_canaries_say_whether_the_machine_moved(history: str) -> None:
    page = visit_page(history, "noise", **HERE)
    assert "The newest times of the canaries are within what they were before." in plain(markup(page))
    assert markup(page).count('<img class="ps-spark"') == 1


def test_all_machines_have_letters(noisy: str) -> None:
    said = plain(markup(visit_page(noisy, "noise", **HERE, machines="all")))
    assert "A no GPU (Some CPU)" in said
    assert "B NVIDIA H200 · driver 580.10" in said


def test_a_machine_of_which_nothing_is_known_says_what_to_run(tmp_path: Path) -> None:
    path = str(tmp_path / "new.db")
    with open_store(path) as store:
        run = sample_run("first", 1, LAPTOP)
        store.start_run(run)
        store.save_result(run.id, result(PREFILL, 1e6, 1))
    assert "perfsuite noise" in shown(visit_page(path, "noise"))


def test_an_imported_history_has_the_noise_that_its_comparisons_began_with(tmp_path: Path) -> None:
    path = str(tmp_path / "imported.db")
    with open_store(path) as store:
        at = START + timedelta(days=1)
        base, head = (sample_run(kind, 1, GPU, kind=kind) for kind in ("base", "head"))
        known = {noise_key(PREFILL, "v1"): SEEN}
        globs = {PREFILL: 0.05}
        store.start_comparison(
            Comparison(sample_id("one"), base, head, 0.02, at, noise=known, case_thresholds=globs)
        )
    found = reads.floors_of(Database.at(path), REPOSITORY, GPU.fingerprint)
    (floor,) = found.floors
    assert (floor.case, floor.version, floor.noise) == (PREFILL, "v1", SEEN)
    assert floor.sees is not None
    assert (found.threshold(PREFILL), found.threshold(MATVEC)) == (0.05, 0.02)


def test_many_cases_are_folded_by_family(noisy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "FOLDED_FROM", 1)
    drawn = markup(visit_page(noisy, "noise", **HERE))
    assert drawn.count("<details") == 2
    assert "matvec_w4/matvec: 1 case, half see" in drawn


def test_what_is_shown_can_be_saved(noisy: str) -> None:
    floors = reads.floors_of(Database.at(noisy), REPOSITORY, NEW_DRIVER.fingerprint)
    frame = page_module._frame(floors)
    assert list(frame["case"]) == [MATVEC, PREFILL]
    assert frame["sees"].notna().all()
