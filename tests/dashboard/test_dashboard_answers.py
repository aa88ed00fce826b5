"""The overview's answers to what moved, why, and whether it can be trusted."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from markupsafe import Markup
from sample_history import GPU, NEW_DRIVER, PREFILL, REPOSITORY, sample_sha
from visiting import markup, visit_page

from dashboard.data import Database
from dashboard.derive.health import Health
from dashboard.derive.trust import SameCode, Sight, triage
from dashboard.reads import overview as reads
from dashboard.reads.alerts import of_repository
from dashboard.sections import answers

HERE = {"repository": REPOSITORY, "machine": NEW_DRIVER.fingerprint}
NOW = datetime(2025, 3, 20, tzinfo=UTC)


def plain(words: Markup | str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", words)).strip()


@pytest.fixture
def found(history: str) -> reads.Overview:
    return reads.overview(Database.at(history), REPOSITORY, NEW_DRIVER.fingerprint, 60)


def test_the_page_tells_the_newest_steps_with_their_commit_and_why(history: str) -> None:
    said = plain(markup(visit_page(history, "overview", **HERE)))
    moved = said.partition("What moved, and why")[2].partition("Can it be trusted?")[0]
    assert f"▲ +4.00 % matvec_w4/matvec ▲ +3.80 % moe_w4a8/decode {sample_sha('day 5')[:10]}" in moved
    assert "environment: driver 580.10 → 590.20" in moved
    assert "why →" in moved


def test_steps_are_told_the_newest_first_and_the_largest_change_first(found: reads.Overview) -> None:
    steps = answers.steps(found.rows, found.window.columns)
    assert [step.place for step in steps] == sorted((step.place for step in steps), reverse=True)
    for step in steps:
        sizes = [abs(mark.change or 0.0) for _, mark in step.marks]
        assert sizes == sorted(sizes, reverse=True)


def test_why_says_whether_the_machine_code_is_the_same(history: str, found: reads.Overview) -> None:
    columns = list(found.window.columns)
    steps = answers.steps(found.rows, columns)
    place = next(step.place for step in steps if PREFILL in step.marks[0][1].cases)
    alerts = {alert.id: alert for alert in of_repository(Database.at(history), REPOSITORY)}
    for code, words in (("1", "the machine code is the same"), ("2", "other machine code")):
        for at, launched in ((place - 1, "1"), (place, code)):
            cells = dict(columns[at].cells)
            cells[PREFILL] = cells[PREFILL]._replace(launches_id=launched)
            columns[at] = replace(columns[at], cells=cells)
        assert words in plain(answers.moved(steps, columns, alerts, HERE, NOW))


def test_without_a_step_it_says_so(found: reads.Overview) -> None:
    assert plain(answers.moved([], found.window.columns, {}, HERE, NOW)) == "No level moved in 12 commits."


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Sight(8, 8, 0.004, 0.02, 8), "✓ Half of the cases see a change of 0.40 % or less, 8 of 8 one"),
        (Sight(8, 8, 0.04, 0.2, 1), "! Half of the cases see a change of 4.00 % or less, 1 of 8 one"),
        (Sight(0, 0, None, None, 0), "? What it can see is not known yet: perfsuite noise"),
        (
            SameCode(29, (), 1, 0.003),
            "✓ Unchanged code: 0 of 29 cases called slower or faster; it sees 0.30 %",
        ),
        (SameCode(29, ("a",), 1, None), "! Unchanged code: 1 of 29 cases called slower or faster ("),
    ],
)
def test_trust_says_what_the_gate_sees(found: reads.Overview, seen: Sight | SameCode, words: str) -> None:
    said = answers.trust(seen, found.health, triage(()), found.window.columns, HERE)
    assert words in plain(said)
    assert "? No alert was triaged yet" in plain(said)


def test_trust_tells_of_the_machine_and_its_environment(history: str, found: reads.Overview) -> None:
    seen, decided = Sight(0, 0, None, None, 0), triage(of_repository(Database.at(history), REPOSITORY))
    moved: Health = replace(found.health, machine="the machine changed: <i>canary</i>")
    said = answers.trust(seen, moved, decided, found.window.columns, HERE)
    assert "<i>" not in said
    assert "! the machine changed: &lt;i&gt;canary" in said
    assert "! driver 580.10 → 590.20 3 commits ago: times before are not compared" in plain(said)
    assert f"of {decided.noise.all} triaged alerts were noise" in plain(said)
    before = [column for column in found.window.columns if column.fingerprint == GPU.fingerprint]
    still = plain(answers.trust(seen, found.health, decided, before, HERE))
    assert "✓ One environment in all 8 commits" in still
    assert "✓ The machine stands still" in still
