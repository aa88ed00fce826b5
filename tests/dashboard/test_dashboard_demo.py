"""All pages on the real measurements of the demo; and that all know what was just said of an alert."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hostile_history import injected
from sample_history import DECODE, NEW_DRIVER, REPOSITORY, START, sample_alert
from visiting import markup, shown, visit_app, visit_page

from dashboard.data import Database
from dashboard.pages import PAGES
from dashboard.reads.alerts import alerts
from dashboard.sections import triage_form
from dashboard.serving.demonstration import demonstration
from perfsuite.model import AlertState
from perfsuite.store import open_store


def test_the_demo_says_something_on_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    with demonstration() as path:
        for entry in PAGES:
            page = visit_app(monkeypatch, path, entry.key)
            assert not page.error, entry.key
            assert not page.info, entry.key
            assert len(shown(page)) > 2000, entry.key
            assert injected(markup(page)) == [], entry.key


def test_what_is_said_of_an_alert_is_on_every_page_at_once(own_history: str) -> None:
    def overview() -> str:
        page = visit_page(own_history, "overview", repository=REPOSITORY, machine=NEW_DRIVER.fingerprint)
        return re.sub(r"<[^>]+>", "", markup(page))

    alert = sample_alert(DECODE, "slower", (4, 5), 0.038)
    assert "5 open alerts" in overview()
    with open_store(own_history) as store:
        store.set_alert(alert.id, AlertState.NOISE, "why", "Ada", START + timedelta(days=20))
    # Seen within seconds where another process has said it, as here; at once where this one has.
    assert alert in alerts(Database.at(own_history))
    triage_form._forget()
    assert "4 open alerts" in overview()
