"""Triage: who may, what is written, and that nobody's word is overwritten."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sample_history import sample_alerts
from streamlit.testing.v1 import AppTest
from visiting import rerun, shown, visit_page

from dashboard import triage
from dashboard.data import Database
from dashboard.serving import access
from perfsuite.errors import StoreError, UsageError
from perfsuite.model import Alert, AlertState
from perfsuite.store import open_store

FIRST, SECOND = sample_alerts()[:2]
SECRET = "correct horse 🐎 battery"


@pytest.fixture
def path(tmp_path: Path) -> str:
    made = str(tmp_path / "perfsuite.db")
    with open_store(made) as store:
        store.save_alerts(sample_alerts())
    return made


@pytest.fixture(autouse=True)
def nobody_tried_before(monkeypatch: pytest.MonkeyPatch) -> None:
    triage.attempts.cache_clear()
    for name in (access.SECRET, access.USER_HEADER, access.DEMO):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.SECRET, SECRET)


def stored(path: str, alert: Alert = FIRST) -> Alert:
    with open_store(path) as store:
        return store.reader.alert(alert.id)


def set_by(path: str, who: str, alert: Alert = FIRST) -> None:
    with open_store(path) as store:
        store.set_alert(alert.id, AlertState.EXPECTED, "because", who, datetime(2025, 4, 1, tzinfo=UTC))


def signed_in(page: AppTest, name: str = "Ada", secret: str = SECRET) -> AppTest:
    page.text_input(key="triage_name").input(name)
    if any(field.key == "triage_secret" for field in page.text_input):
        page.text_input(key="triage_secret").input(secret)
    page.button[0].click()
    return rerun(page)


def say(page: AppTest, state: AlertState, reason: str = "") -> AppTest:
    page.radio(key="triage_state").set_value(state)
    page.text_area(key="triage_reason").input(reason)
    page.button[0].click()
    return rerun(page)


def test_without_a_secret_or_a_proxy_everything_is_read_only(path: str) -> None:
    page = visit_page(path, "alerts", alert=FIRST.id)
    assert not page.button
    assert not page.radio
    assert "This dashboard is read-only" in shown(page)
    with pytest.raises(UsageError, match="read-only"):
        triage.sign_in(access.Access(), "Ada", "")


@pytest.mark.usefixtures("secret")
def test_who_knows_the_secret_says_what_an_alert_is_and_why(path: str) -> None:
    page = signed_in(visit_page(path, "alerts", alert=FIRST.id[:12]), " Ada\n\u202eLovelace ")
    assert "You are Ada Lovelace" in shown(page)
    say(page, AlertState.EXPECTED, "  wanted: <b>more</b> accurate  ")
    assert "1 alert is expected now, as Ada Lovelace says." in shown(page)
    kept = stored(path)
    assert (kept.state, kept.reason) == (AlertState.EXPECTED, "wanted: <b>more</b> accurate")
    assert kept.changed_by == "Ada Lovelace"
    assert kept.changed_at is not None
    assert datetime.now(UTC) - kept.changed_at < timedelta(minutes=5)
    # Seen at once, and the form is ready for the next word.
    assert "wanted: <b>more</b> accurate" in shown(page)
    assert page.text_area(key="triage_reason").value == ""
    say(page, AlertState.OPEN, "it is back")
    assert stored(path).state is AlertState.OPEN


@pytest.mark.usefixtures("secret")
def test_the_secret_is_neither_in_the_address_nor_kept(path: str) -> None:
    page = signed_in(visit_page(path, "alerts", alert=FIRST.id))
    assert SECRET not in repr(page.query_params)
    assert SECRET not in repr(page.session_state._state.filtered_state)
    assert SECRET not in shown(page)


@pytest.mark.usefixtures("secret")
def test_a_wrong_secret_or_no_name_opens_nothing(path: str) -> None:
    page = signed_in(visit_page(path, "alerts", alert=FIRST.id), secret="correct horse")
    assert "this is not the secret" in shown(page)
    assert not page.radio
    signed_in(page, name=" \n")
    assert "there is no name" in shown(page)
    signed_in(page)
    assert page.radio


@pytest.mark.usefixtures("secret")
def test_all_alerts_of_a_finding_are_set_at_once(path: str) -> None:
    page = signed_in(visit_page(path, "alerts", alert=[FIRST.id[:12], SECOND.id[:12]]))
    say(page, AlertState.ACKNOWLEDGED)
    assert "2 alerts are acknowledged now" in shown(page)
    assert {stored(path, alert).state for alert in (FIRST, SECOND)} == {AlertState.ACKNOWLEDGED}


@pytest.mark.usefixtures("secret")
def test_a_reason_is_needed_but_for_an_acknowledgement(path: str) -> None:
    page = signed_in(visit_page(path, "alerts", alert=FIRST.id))
    say(page, AlertState.NOISE, " ")
    assert "why are they noise?" in shown(page)
    assert page.radio(key="triage_state").value == AlertState.NOISE
    assert stored(path) == FIRST


@pytest.mark.usefixtures("secret")
def test_what_somebody_else_said_meanwhile_is_not_overwritten(path: str) -> None:
    page = signed_in(visit_page(path, "alerts", alert=[FIRST.id, SECOND.id]))
    set_by(path, "Grace", SECOND)
    say(page, AlertState.NOISE, "I typed this")
    text = shown(page)
    assert "Grace has set" in text
    assert "to expected on 2025-04-01 00:00 UTC (because): nothing was overwritten" in text
    assert stored(path) == FIRST
    assert stored(path, SECOND).state is AlertState.EXPECTED
    # The page shows how it is now, and what was typed is still there: the next click is an answer to that.
    assert page.text_area(key="triage_reason").value == "I typed this"
    page.button[0].click()
    rerun(page)
    assert stored(path, SECOND).reason == "I typed this"


@pytest.mark.usefixtures("secret")
def test_a_locked_database_says_so_and_loses_nothing_that_was_typed(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triage, "WAIT_S", 0.1)
    page = signed_in(visit_page(path, "alerts", alert=FIRST.id))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    say(page, AlertState.NOISE, "I typed this")
    assert "Nothing was written" in shown(page)
    assert "locked" in shown(page)
    assert page.text_area(key="triage_reason").value == "I typed this"
    other.execute("ROLLBACK")
    other.close()
    page.button[0].click()
    rerun(page)
    assert stored(path).reason == "I typed this"


@pytest.mark.usefixtures("secret")
def test_a_bug_while_saving_is_told_without_a_traceback(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = signed_in(visit_page(path, "alerts", alert=FIRST.id))
    monkeypatch.setattr(triage, "open_store", lambda *_, **__: 1 / 0)
    say(page, AlertState.NOISE, "I typed this")
    assert "Saving failed with ZeroDivisionError" in shown(page)
    assert page.text_area(key="triage_reason").value == "I typed this"


def test_in_a_demo_any_name_will_do(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.DEMO, "1")
    page = visit_page(path, "alerts", alert=FIRST.id)
    assert [field.key for field in page.text_input] == ["triage_name"]
    say(signed_in(page, "visitor"), AlertState.FIXED, "try")
    assert stored(path).changed_by == "visitor"


@dataclass
class Context:
    headers: dict[str, str]


def test_the_proxys_user_is_who_says_it(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.USER_HEADER, "X-Forwarded-User")
    context = Context({"x-forwarded-user": "grace@example.org"})
    monkeypatch.setattr(triage.st, "context", context)
    page = visit_page(path, "alerts", alert=FIRST.id)
    assert not page.text_input
    assert "You are grace@example.org" in shown(page)
    # Signed out at the proxy between looking and saving.
    context.headers = {}
    say(page, AlertState.NOISE, "why")
    assert "you are not signed in any more" in shown(page)
    assert stored(path) == FIRST


def test_nothing_is_written_where_one_of_several_is_gone(path: str) -> None:
    with pytest.raises(StoreError, match="no alert"):
        triage.change(
            Database.at(path), [FIRST, replace(SECOND, id="f" * 32)], AlertState.NOISE, "why", "Ada"
        )
    assert stored(path) == FIRST
    with pytest.raises(UsageError, match="no alert is chosen"):
        triage.change(Database.at(path), [], AlertState.NOISE, "why", "Ada")
    with pytest.raises(StoreError):
        triage.change(Database(path + ".gone"), [FIRST], AlertState.NOISE, "why", "Ada")
    assert not Path(path + ".gone").exists()


def test_guessing_gets_slower_for_everybody_and_a_right_secret_ends_that() -> None:
    now = 1000.0
    tries = triage.Attempts(clock=lambda: now)
    waits = []
    for _ in range(triage.FREE_FAILURES - 1):
        assert not tries.right("guess", SECRET)
    for _ in range(9):
        assert not tries.right("guess", SECRET)
        with pytest.raises(UsageError, match="too many") as refused:
            tries.right(SECRET, SECRET)
        waits.append(int(refused.value.next_step.split()[-2]))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert tries.right(SECRET, SECRET)
    assert not tries.right("guess", SECRET)
    assert tries.right(SECRET, SECRET)
