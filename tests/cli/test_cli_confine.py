"""`--confine` and `--untrusted`: handed on, told, kept and shown. What they do is tested where it is done."""

from __future__ import annotations

import json

import pytest
from cli_fakes import Cli

from perfsuite.measure import sandbox
from perfsuite.measure.confined import Confinement
from perfsuite.store import open_store

FULL = Confinement(network=True, files=True, processes=True, user=True)
NONE = Confinement(reason="user namespaces are not permitted here (unshare: Operation not permitted)")


@pytest.fixture(autouse=True)
def hidden(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the environment was hidden; not that of the tests."""
    hidden: list[bool] = []
    monkeypatch.setattr(sandbox, "hide_environment", lambda: hidden.append(True))
    return hidden


@pytest.mark.parametrize("found", [FULL, NONE], ids=lambda found: found.level)
def test_what_holds_is_told_kept_and_shown(
    cli: Cli, found: Confinement, monkeypatch: pytest.MonkeyPatch, hidden: list[bool]
) -> None:
    monkeypatch.setattr(sandbox, "probe", lambda _: found)
    cli.commit("two\n")
    for command in (("run",), ("compare", "HEAD~1", "HEAD"), ("noise", "-k", "decode")):
        answer = cli(*command, "--confine", "--events", "/dev/null")
        assert answer.code == 0 and found.sentence in answer.err
        assert command[0] == "noise" or found.sentence in answer.out
        settings = cli.session.seen[-1][-1]
        assert (settings.confinement, settings.trusted) == (found, True)
    assert hidden == [True] * 3
    with open_store(cli.database, create=False) as store:
        details = [run.environment.details["confinement"] for run in store.reader.runs()]
    assert details == [found.sentence] * len(details) and details


def test_machines_are_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "probe", lambda _: NONE)
    cli("run", "--confine", "--untrusted", "--events", "events.jsonl")
    events = [json.loads(line) for line in (cli.folder / "events.jsonl").read_text().splitlines()]
    assert [e["text"] for e in events if e["event"] == "confinement"] == [NONE.sentence]
    assert cli.session.seen[0][1].trusted is False


def test_nothing_is_tried_unless_it_is_asked_for(cli: Cli, hidden: list[bool]) -> None:
    cli("run")
    settings = cli.session.seen[0][1]
    assert (settings.confinement, settings.trusted, hidden) == (None, True, [])
    with open_store(cli.database, create=False) as store:
        assert "confinement" not in store.reader.runs()[0].environment.details
