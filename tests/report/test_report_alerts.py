"""Alerts as a table: what moved, or what does not come any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from perfsuite.model import Alert, AlertState
from perfsuite.report.alerts import alerts_json, alerts_text, commits_of, what_moved

SLOWER = Alert(
    id="ab" * 16,
    repository="owner/name",
    case="moe/decode[m=1]",
    fingerprint="f" * 16,
    kind="slower",
    before="1" * 40,
    after="2" * 40,
    change=0.041,
    low=0.032,
    high=0.05,
    raised_at=datetime(2025, 6, 1, 12, tzinfo=UTC),
)
UNSIZED = replace(SLOWER, change=None, low=None, high=None)
MISSING = replace(UNSIZED, kind="missing", after="", reason="no result since 2025-05-01 10:00 UTC")
SILENT = replace(
    UNSIZED,
    kind="silent",
    case="(worker node-1/gpu0)",
    before="2025-06-01T11:30:00+00:00",
    after="",
    reason="nothing heard of the worker since 2025-06-01 11:30 UTC",
)


def test_what_moved_and_where() -> None:
    shown = [(what_moved(alert), commits_of(alert)) for alert in (SLOWER, UNSIZED, MISSING, SILENT)]
    assert shown == [
        ("+4.10 % [+3.20 … +5.00]", "1111111111..2222222222"),
        ("slower", "1111111111..2222222222"),
        ("no results any more", "after 1111111111"),
        ("silence", "since 2025-06-01 11:30"),
    ]
    assert commits_of(replace(SILENT, before="")) == ""


def test_the_table() -> None:
    fixed = replace(SILENT, state=AlertState.FIXED, changed_by="perfsuite", reason="silent no longer")
    lines = alerts_text([SLOWER, SILENT, fixed]).splitlines()
    assert lines[0] == "3 alerts: 2 open, 1 fixed."
    assert "silence" in lines[-2]
    assert "nothing heard of the worker since 2025-06-01 11:30 UTC" in lines[-2]
    assert lines[-1].endswith("perfsuite: silent no longer")
    assert alerts_text([]) == "No alerts.\n"


def test_json_says_it_all() -> None:
    (plain,) = alerts_json([SILENT])["alerts"]
    assert plain["kind"] == "silent"
    assert plain["raised_at"] == "2025-06-01T12:00:00+00:00"
    assert plain["change"] is None
