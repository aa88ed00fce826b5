"""`perfsuite alerts`: listing and triage."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cli_fakes import Cli

from perfsuite.cli.alerts import State
from perfsuite.model import Alert, AlertState
from perfsuite.store import open_store

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def alert(number: int, state: AlertState = AlertState.OPEN, **changes: object) -> Alert:
    made = Alert(
        id=f"{number:02x}" * 16,
        repository="owner/name",
        case=f"moe/decode[m={number}]",
        fingerprint="f" * 16,
        kind="slower",
        before="1" * 40,
        after=f"{number:02x}" * 20,
        change=0.041,
        low=0.032,
        high=0.05,
        raised_at=NOON + timedelta(days=number),
        state=state,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def triaged(cli: Cli) -> Cli:
    with open_store(cli.database) as store:
        store.save_alerts(
            [
                alert(1),
                alert(2, AlertState.ACKNOWLEDGED),
                alert(3, AlertState.NOISE, reason="a bad day", changed_by="Ada", changed_at=NOON),
                alert(4, kind="missing", change=None, low=None, high=None, after=""),
            ]
        )
    return cli


def shown(cli: Cli, *arguments: str) -> list[int]:
    answer = cli("alerts", *arguments, "--json")
    assert answer.code == 0, answer.err
    return [int(item["id"][:2], 16) for item in json.loads(answer.out)["alerts"]]


def test_the_states_are_those_of_the_model() -> None:
    assert [state.value for state in State] == [state.value for state in AlertState]


def test_what_waits_is_listed_the_newest_first(triaged: Cli) -> None:
    answer = triaged("alerts")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "3 alerts: 2 open, 1 acknowledged."
    assert "no results any more" in lines[3] and "after 1111111111" in lines[3]
    assert "+4.10 % [+3.20 … +5.00]" in lines[4] and "1111111111..0202020202" in lines[4]
    assert triaged("alerts", "list").out == answer.out


def test_alerts_are_chosen(triaged: Cli) -> None:
    assert shown(triaged) == [4, 2, 1]
    assert shown(triaged, "--all") == [4, 3, 2, 1]
    assert shown(triaged, "list", "--state", "noise", "--state", "acknowledged") == [3, 2]
    assert shown(triaged, "--all", "-k", "m=3 or m=1]") == [3, 1]
    assert shown(triaged, "--repository", "other/one") == []
    assert triaged("alerts", "--repository", "other/one").out == "No alerts.\n"
    assert triaged("alerts", "--state", "gone").code == 2


def test_an_alert_is_triaged(triaged: Cli) -> None:
    triaged.git("config", "user.name", "Grace")
    answer = triaged("alerts", "set", "01", "expected", "--reason", "the price of accuracy")
    assert answer.code == 0, answer.err
    assert "Grace: the price of accuracy" in answer.out
    with open_store(triaged.database, create=False) as store:
        found = store.reader.alert("0101")
    assert (found.state, found.changed_by) == (AlertState.EXPECTED, "Grace")
    assert found.changed_at is not None
    answer = triaged("alerts", "set", "0101", "open", "--reason", "not so", "--by", "Ada", "--json")
    (document,) = json.loads(answer.out)["alerts"]
    assert (document["state"], document["changed_by"], document["reason"]) == ("open", "Ada", "not so")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ff", "noise", "--reason", "x"), "there is no alert 'ff'"),
        (("01", "gone", "--reason", "x"), "gone"),
        (("01", "noise"), "reason"),
        (("01", "noise", "--reason", " "), "--reason is empty"),
    ],
)
def test_what_is_wrong_is_named(triaged: Cli, arguments: tuple[str, ...], message: str) -> None:
    answer = triaged("alerts", "set", *arguments)
    assert answer.code == 2 and message in answer.err and "Traceback" not in answer.err
