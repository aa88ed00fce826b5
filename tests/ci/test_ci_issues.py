"""Alerts as issues: their text, and their life on a GitHub of ours."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakehub import FakeGitHub

from ci.github import GitHubHub, connect
from ci.issues import LABEL, MOST_NEW, issue_body, issue_title, sync_issues
from ci.mainline import MainLine
from ci.runner import Terms
from ci.watch_command import _once_each
from ci.watching import Options, _options_for, default_worker
from perfsuite.model import Alert, AlertState
from perfsuite.report.escape import text
from perfsuite.store import open_store

NAME, NOON = "acme/kernels", datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE, AFTER = "b" * 40, "da7a88644e" + "a" * 30


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as fake:
        yield fake


@pytest.fixture
def hub(github: FakeGitHub) -> GitHubHub:
    return GitHubHub(connect(github.token, github.url, patient=False), NAME)


def alert(number: int = 1, kind: str = "slower", case: str = "host/pack", **more: Any) -> Alert:
    ends = (BEFORE, AFTER) if kind != "missing" else (BEFORE, "")
    moved = (6.51, 6.4, 6.6) if kind in ("slower", "faster") else (None, None, None)
    raised = NOON + timedelta(minutes=number)
    made = Alert(f"{number:032x}", NAME, case, "0123abcd", kind, *ends, *moved, raised)
    return replace(made, **more)


def quiet(number: int = 1) -> Alert:
    since = "2026-02-25T08:00:00+00:00"
    return alert(
        number, "silent", "(runs)", fingerprint="", before=since, after="", reason="no run since then"
    )


def test_titles_say_what_and_since_when() -> None:
    assert issue_title(alert()) == "host/pack: 651 % slower since da7a88644e"
    assert issue_title(alert(change=0.041)) == "host/pack: 4.10 % slower since da7a88644e"
    assert issue_title(alert(kind="missing")) == f"host/pack: no results any more after {BEFORE[:10]}"
    assert issue_title(quiet()) == "(runs): silence since 2026-02-25"


def test_the_text_says_what_where_and_how_to_look_and_triage() -> None:
    body = issue_body(alert())
    assert body.startswith(f"<!-- perfsuite:alert {1:032x} -->\n<code>host/pack</code>\n")
    assert text("+651.0 % [+640.0 … +660.0]") in body
    assert f"[<code>{BEFORE[:10]}...{AFTER[:10]}</code>](../compare/{BEFORE}...{AFTER})" in body
    assert "<code>0123abcd</code>" in body
    assert f"\nperfsuite history host/pack\nperfsuite bisect host/pack {BEFORE[:10]} {AFTER[:10]}\n" in body
    assert "\nperfsuite alerts set 000000000000 expected --reason …\n" in body
    missing = issue_body(alert(kind="missing"))
    assert "bisect" not in missing and f"after <code>{BEFORE[:10]}</code>" in missing
    assert "no run since then" in issue_body(quiet()) and "bisect" not in issue_body(quiet())


def test_hostile_texts_stay_inside() -> None:
    case = "x<!-- perfsuite:alert `@ann` --> ```\n# head <img src=x> $(rm -rf ~)"
    made = alert(case=case, reason="@everybody [x](http://evil.example)", before="](http://evil.example)")
    first, *lines = issue_body(made).split("\n")
    assert first == f"<!-- perfsuite:alert {1:032x} -->"
    assert not any("<!--" in line or line.startswith("#") for line in lines)
    outside = [line for line in lines if not line.startswith("perfsuite ")]
    assert not any(sign in line for line in outside for sign in ("@", "<img", "](http", "http://"))
    (look,) = (line for line in lines if line.startswith("perfsuite history"))
    assert look.startswith("perfsuite history 'x<") and look.endswith("$(rm -rf ~)'")
    assert "\n" not in issue_title(made)


def open_titles(github: FakeGitHub) -> list[str]:
    return [item.title for item in github.issues() if item.open]


def test_an_alert_has_one_issue_as_long_as_it_is_open(github: FakeGitHub, hub: GitHubHub) -> None:
    foreign = github.open_issue("theirs", "alice", issue_body(alert(1)), [LABEL])
    own = github.open_issue("ours, of something else", github.us, "words", [LABEL])
    alerts = [alert(1), alert(2, "faster"), alert(3, state=AlertState.NOISE), alert(4, "missing"), quiet(5)]
    assert sync_issues(hub, alerts)
    made = [item for item in github.issues() if item.number not in (foreign, own)]
    assert [item.title for item in made] == [issue_title(alerts[n]) for n in (0, 3, 4)]
    assert all((item.author, item.labels) == (github.us, [LABEL]) for item in made)
    written = len(github.writes())
    assert sync_issues(hub, alerts)
    assert len(github.writes()) == written, "what is told is not written again"

    alerts[0] = replace(alerts[0], change=0.5, low=0.4, high=0.6)
    alerts[3] = replace(
        alerts[3], state=AlertState.EXPECTED, reason="it was *removed*", changed_by="ann", changed_at=NOON
    )
    alerts[4] = replace(alerts[4], state=AlertState.ACKNOWLEDGED)
    assert sync_issues(hub, alerts)
    slower, gone, silence = made
    assert slower.open and text("+50.0 % [+40.0 … +60.0]") in slower.body
    assert not gone.open
    assert gone.body.rstrip().endswith("**Closed:** expected by ann: it was &#42;removed&#42;")
    assert silence.open, "somebody is at work on it"
    assert github.items[foreign].open and github.items[own].open
    written = len(github.writes())
    assert sync_issues(hub, alerts)
    assert len(github.writes()) == written


def test_an_alert_told_twice_or_unknown_is_closed(github: FakeGitHub, hub: GitHubHub) -> None:
    for number in (1, 1, 2):
        github.open_issue("ours", github.us, issue_body(alert(number)), [LABEL])
    assert sync_issues(hub, [alert(1)])
    assert [item.open for item in github.issues()] == [True, False, False]
    assert "another issue is about the same alert" in github.issues()[1].body
    assert "not known any more" in github.issues()[2].body


def test_many_alerts_do_not_flood(github: FakeGitHub, hub: GitHubHub) -> None:
    alerts = [alert(number, case=f"work/{number}") for number in reversed(range(MOST_NEW + 3))]
    assert not sync_issues(hub, alerts)
    assert open_titles(github) == [issue_title(one) for one in sorted(alerts, key=lambda a: a.id)[:MOST_NEW]]
    assert sync_issues(hub, alerts)
    assert len(set(open_titles(github))) == len(github.issues()) == MOST_NEW + 3


def test_the_main_line_tells_what_changed_whoever_changed_it(
    github: FakeGitHub, hub: GitHubHub, tmp_path: Path
) -> None:
    github.push_branch("main", AFTER)
    place: Any = SimpleNamespace(fetch=lambda: None, waiting_commits=lambda *_: [])
    with open_store(tmp_path / "perfsuite.db") as store:
        quietly, telling = (MainLine(hub, store, place, Terms("one", {}), issues=on) for on in (False, True))
        store.save_alerts([alert(1)])
        quietly.reconcile(NOON)
        assert github.issues() == []
        telling.reconcile(NOON)
        assert open_titles(github) == [issue_title(alert(1))]
        asked = len([request for request in github.requests if "/issues" in request.path])
        telling.reconcile(NOON)
        assert len([request for request in github.requests if "/issues" in request.path]) == asked
        store.set_alert(alert(1).id, AlertState.EXPECTED, "so be it", "ann", NOON)
        telling.reconcile(NOON)
        assert open_titles(github) == []


def test_workers_have_names_of_their_own(tmp_path: Path) -> None:
    one, other = default_worker(tmp_path / "one"), default_worker(tmp_path / "other")
    assert one != other and one == default_worker(tmp_path / "one")
    host, _, digits = one.rpartition("-")
    assert host == socket.gethostname() and len(digits) == 6
    hubs: list[Any] = [SimpleNamespace(repository=name) for name in ("acme/a", "acme/b")]
    named = Options(tmp_path, {}, worker="gpu-1")
    assert [_options_for(hub, hubs, named).worker for hub in hubs] == ["gpu-1/acme/a", "gpu-1/acme/b"]
    assert _options_for(hubs[0], hubs[:1], named).worker == "gpu-1"
    unnamed = Options(tmp_path / "one", {})
    assert _options_for(hubs[0], hubs, unnamed).worker == f"{one}/acme/a"


def test_a_repository_given_twice_is_watched_once() -> None:
    assert _once_each(["acme/a", "b/c", "Acme/A"]) == ["acme/a", "b/c"]
