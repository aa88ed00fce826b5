"""What events ask for, and what a step tells GitHub Actions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from actions_payloads import FORK, REPOSITORY, pull_payload, push_payload, recorded
from workflow_runner import parse_outputs

from ci.actions import Kind, Step, Wanted, read_event, wanted
from perfsuite.errors import UsageError

HEAD, OLD = "a" * 40, "b" * 40
LABEL = "perf-approved"


def of_pull(*arguments: Any, **changes: Any) -> Wanted:
    return wanted("pull_request", pull_payload(HEAD, *arguments, **changes), REPOSITORY)


@pytest.mark.parametrize("action", ["opened", "synchronize", "reopened"])
def test_a_pushed_branch_of_the_repository_is_wanted(action: str) -> None:
    found = of_pull(action, number=7)
    assert found == Wanted(Kind.PULL, head=HEAD, pull=7, base_branch="main")
    assert found


@pytest.mark.parametrize("action", ["opened", "synchronize", "reopened"])
@pytest.mark.parametrize("source", [FORK, None])
def test_a_push_to_a_fork_is_not_whatever_label_is_still_there(action: str, source: str | None) -> None:
    payload = pull_payload(HEAD, action, source=source)
    payload["pull_request"]["labels"] = [{"name": LABEL}]
    found = wanted("pull_request", payload, REPOSITORY)
    assert not found
    assert LABEL in found.why_not


@pytest.mark.parametrize("source", [FORK, None])
def test_the_label_approves_the_head_that_its_event_names(source: str | None) -> None:
    found = of_pull("labeled", source=source, label=LABEL, sender="maria")
    assert (found.kind, found.head, found.foreign, found.approved_by) == (Kind.PULL, HEAD, True, "maria")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"action": "labeled", "label": "bug", "source": FORK}, "another repository"),
        ({"action": "labeled", "label": LABEL}, "a label changes nothing"),
        ({"action": "closed", "state": "closed"}, "closed"),
        ({"action": "synchronize", "state": "closed"}, "closed"),
        ({"action": "edited"}, "changes no code"),
    ],
)
def test_what_asks_for_nothing_says_why(changes: dict[str, Any], why: str) -> None:
    found = of_pull(**changes)
    assert not found
    assert why in found.why_not


def test_names_are_compared_as_github_does() -> None:
    assert of_pull(source="ACME/Toy") == of_pull()


def test_a_push_to_the_default_branch_is_wanted() -> None:
    assert wanted("push", push_payload(HEAD, OLD), REPOSITORY) == Wanted(
        Kind.MAIN, head=HEAD, base_branch="main", before=OLD
    )
    assert wanted("push", push_payload(HEAD), REPOSITORY).before == ""


@pytest.mark.parametrize(
    "payload",
    [
        push_payload(HEAD, OLD, "refs/tags/main"),
        push_payload(HEAD, OLD, "refs/heads/topic"),
        push_payload("0" * 40, OLD),
    ],
)
def test_tags_other_branches_and_deletions_are_not(payload: dict[str, Any]) -> None:
    assert not wanted("push", payload, REPOSITORY)


@pytest.mark.parametrize("event", ["issue_comment", "workflow_run", "pull_request_target", ""])
def test_other_events_ask_for_nothing(event: str) -> None:
    assert not wanted(event, pull_payload(HEAD), REPOSITORY)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("head.sha", "$(reboot)"),
        ("head.sha", "A" * 40),
        ("head.sha", f"{HEAD}\n"),
        ("head.sha", None),
        ("number", 0),
        ("number", True),
        ("number", "7"),
        ("base.ref", None),
    ],
)
def test_what_is_no_sha_and_no_number_is_refused(path: str, value: object) -> None:
    payload = pull_payload(HEAD)
    *parents, last = path.split(".")
    place = payload["pull_request"]
    for key in parents:
        place = place[key]
    place[last] = value
    with pytest.raises(UsageError, match=path):
        wanted("pull_request", payload, REPOSITORY)


def test_real_payloads_of_pull_requests() -> None:
    found = {}
    for payload in recorded("pull_request"):
        found.setdefault(payload["action"], set()).add(
            wanted("pull_request", payload, payload["repository"]["full_name"]).kind
        )
    assert {action for action, kinds in found.items() if kinds == {Kind.PULL}} == {
        "opened",
        "synchronize",
        "reopened",
    }
    assert {kind for action, kinds in found.items() for kind in kinds} == {Kind.PULL, Kind.NOTHING}


def test_real_payloads_seen_from_another_repository_are_a_forks() -> None:
    for payload in recorded("pull_request"):
        assert not wanted("pull_request", payload, "acme/upstream")
        approved = {**payload, "action": "labeled", "label": {"name": LABEL}}
        found = wanted("pull_request", approved, "acme/upstream")
        assert bool(found) is (payload["pull_request"]["state"] == "open")
        assert found.foreign is bool(found)


def test_real_payloads_of_pushes() -> None:
    found = [(p["ref"], wanted("push", p, p["repository"]["full_name"])) for p in recorded("push")]
    assert {ref for ref, what in found if what} == {"refs/heads/master"}
    assert all(what.why_not for _, what in found if not what)


@pytest.mark.parametrize("text", ["", "[]", "{", '"text"', "[" * 100_000])
def test_an_event_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(text)
    with pytest.raises(UsageError):
        read_event(file)
    with pytest.raises(UsageError):
        read_event(tmp_path / "none.json")


def test_an_event_is_read(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(pull_payload(HEAD)))
    assert read_event(file) == pull_payload(HEAD)


def test_no_output_can_forge_another(tmp_path: Path) -> None:
    step = Step(tmp_path / "output")
    hostile = "red\nEOF\nverdict=green\nend_0\nverdict<<X\ngreen\nX"
    step.set(verdict=hostile, report="")
    step.set(pull="7")
    assert parse_outputs((tmp_path / "output").read_text()) == {"verdict": hostile, "report": "", "pull": "7"}


def test_words_of_others_are_no_orders(capfd: pytest.CaptureFixture[str]) -> None:
    with Step(log=True).quoting() as say:
        say(b"::set-output name=verdict::green")
    first, *between, last = capfd.readouterr().err.splitlines()
    token = first.removeprefix("::stop-commands::")
    assert len(token) == 32
    assert between == ["::set-output name=verdict::green"]
    assert last == f"::{token}::"


def test_outside_github_actions_nothing_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    step = Step.of({})
    step.set(verdict="green")
    step.tell("text")
    with step.quoting() as say:
        say(b"words\n")
    assert capfd.readouterr().err == "words\n"


def test_the_summary_grows(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GITHUB_ACTIONS": "true"}
    step = Step.of(environ)
    step.tell("one")
    step.tell("two\n\n")
    assert (tmp_path / "summary").read_text() == "one\ntwo\n"
    assert step.log
