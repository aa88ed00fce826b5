"""`perfsuite history` and `perfsuite alerts update` on stored runs of a default branch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cli_fakes import Cli, result

from perfsuite.cli.updating import default_branch_of, update_alerts
from perfsuite.config import load_config
from perfsuite.model import Alert, AlertState, Commit, Environment, Run
from perfsuite.store import Store, open_store

CASES = ("moe/decode[m=1]", "moe/prefill[m=64]")
START = datetime.now(UTC) - timedelta(days=40)
"""So that the last of forty days is yesterday: a series that stopped would be an alert as well."""
H200 = Environment("node", gpu="NVIDIA H200", driver="580.1", torch="2.11", triton="3.6")
NAME = "watched"
"""The folder's name, where there is no remote."""


def sha(day: int) -> str:
    return f"{day:04x}" * 10


def run(day: int, **changes: Any) -> Run:
    commit = Commit(sha(day), f"change {day}", "Ada", START + timedelta(days=day), "main")
    made = Run(f"{day:032x}", commit, NAME, H200, "pr", START + timedelta(days=day))
    return replace(made, **changes)


def wobble(day: int) -> float:
    """Within 0.4 %, as a calm machine is from day to day."""
    return 1 + 0.002 * ((7 * day) % 5 - 2)


def step(at: int, size: float) -> Callable[[int], float]:
    return lambda day: size if day >= at else 1.0


def fill(store: Store, days: range, level: Callable[[int], float] = lambda _: 1.0, **changes: Any) -> None:
    """One run a day: the first case follows the level, the second stays."""
    for day in days:
        made = run(day, **changes)
        store.start_run(made)
        store.save_result(made.id, result(CASES[0], scale=wobble(day) * level(day)))
        store.save_result(made.id, result(CASES[1], scale=wobble(day + 3)))


def update(cli: Cli, store: Store, **choices: Any) -> list[Alert]:
    branch = default_branch_of(load_config(cli.folder, {}), NAME)
    return update_alerts(store, NAME, branch=branch, **choices)


@pytest.fixture
def stepped(cli: Cli) -> Cli:
    """10 % slower from day 20 on."""
    with open_store(cli.database) as store:
        fill(store, range(40), step(20, 1.1))
    return cli


def histories(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    answer = cli("history", *arguments, "--json")
    assert answer.code == 0, answer.err
    found: list[dict[str, Any]] = json.loads(answer.out)["histories"]
    return found


def test_a_step_is_shown_with_its_commits_and_size(stepped: Cli) -> None:
    answer = stepped("history", "decode")
    assert answer.code == 0, answer.err
    assert "moe/decode[m=1]" in answer.out
    assert sha(20)[:10] in answer.out and sha(19)[:10] in answer.out
    (found,) = histories(stepped, "decode")
    (point,) = found["change_points"]
    assert point["change"] == pytest.approx(0.1, abs=0.01)
    assert point["low"] < 0.1 < point["high"]


def test_several_cases_are_a_line_each(stepped: Cli) -> None:
    answer = stepped("history", "moe")
    assert answer.code == 0, answer.err
    assert all(sum(case in line for line in answer.out.splitlines()) == 1 for case in CASES)
    assert [len(found["change_points"]) for found in histories(stepped, "moe")] == [1, 0]


def test_another_driver_is_a_boundary(cli: Cli) -> None:
    with open_store(cli.database) as store:
        fill(store, range(20))
        fill(store, range(20, 40), step(20, 1.1), environment=replace(H200, driver="590.2"))
    answer = cli("history", "decode")
    assert "driver 580.1 → 590.2" in answer.out
    with open_store(cli.database, create=False) as store:
        assert update(cli, store, now=START + timedelta(days=40)) == []


def test_other_rules_may_look(stepped: Cli) -> None:
    assert stepped("history", "decode", "--rule", "otava").code == 0
    answer = stepped("history", "decode", "--rule", "otavva")
    assert answer.code == 2 and "otava" in answer.err


def test_what_cannot_be_shown_is_named(stepped: Cli) -> None:
    answer = stepped("history", "decoed")
    assert answer.code == 2 and "moe/decode[m=1]" in answer.err
    answer = stepped("history", "decode", "--repository", "other/one")
    assert answer.code == 2 and "no run of the default branch" in answer.err


def test_only_the_default_branch_counts_unless_asked(cli: Cli) -> None:
    with open_store(cli.database) as store:
        fill(store, range(10))
        fill(store, range(10, 20), commit=replace(run(10).commit, branch="mine"))
    assert len(histories(cli, "decode")[0]["values_ns"]) == 10
    assert len(histories(cli, "decode", "--all-branches")[0]["values_ns"]) == 20


def test_imports_of_other_repositories_are_shown_where_there_is_nothing_else(cli: Cli) -> None:
    with open_store(cli.database) as store:
        fill(store, range(10), repository="other/one", kind="import")
    (found,) = histories(cli, "decode")
    assert found["repository"] == "other/one"


def test_alerts_are_raised_once_and_stay_triaged(stepped: Cli) -> None:
    answer = stepped("alerts", "update", "--json")
    assert answer.code == 0, answer.err
    raised = json.loads(answer.out)["alerts"]
    slower = [item for item in raised if item["kind"] == "slower"]
    assert [item["case"] for item in slower] == [CASES[0]]
    assert (slower[0]["after"], slower[0]["state"]) == (sha(20), "open")
    assert json.loads(stepped("alerts", "update", "--json").out)["alerts"] == []
    assert stepped("alerts", "update").out == "No alert is new or changed.\n"
    stepped("alerts", "set", slower[0]["id"], "expected", "--reason", "more work", "--by", "Ada")
    with open_store(stepped.database, create=False) as store:
        fill(store, range(40, 45), step(20, 1.1))
        update(stepped, store, now=START + timedelta(days=45))
        assert store.reader.alert(slower[0]["id"]).state is AlertState.EXPECTED


def test_the_scoreboard_scores_rules_on_what_was_triaged(stepped: Cli) -> None:
    raised = json.loads(stepped("alerts", "update", "--json").out)["alerts"]
    untouched = stepped("scoreboard")
    assert (untouched.code, "no alerts of changes that somebody triaged" in untouched.err) == (2, True)
    stepped("alerts", "set", raised[0]["id"], "acknowledged", "--reason", "it is", "--by", "Ada")
    answer = stepped("scoreboard", "--rule", "perfsuite", "--rule", "codspeed_fixed", "--json")
    assert answer.code == 0, answer.err
    rows = {row["rule"]: row for row in json.loads(answer.out)["rows"]}
    assert (rows["perfsuite"]["f1"], rows["perfsuite"]["series"], rows["perfsuite"]["points"]) == (1.0, 1, 40)
    assert rows["codspeed_fixed"]["f1"] < 1.0, "10.0 % and less is not beyond its 10 %"


def test_a_level_that_returned_is_fixed(stepped: Cli) -> None:
    with open_store(stepped.database, create=False) as store:
        (alert,) = update(stepped, store, now=START + timedelta(days=40))
        fill(store, range(40, 60))
        update(stepped, store, now=START + timedelta(days=60))
        found = store.reader.alert(alert.id)
    assert found.state is AlertState.FIXED and found.reason and found.changed_by == "perfsuite"


def test_a_series_that_stops_is_an_alert(stepped: Cli) -> None:
    with open_store(stepped.database, create=False) as store:
        found = update(stepped, store, cases=[CASES[1]], now=START + timedelta(days=400))
    (alert,) = found
    assert (alert.kind, alert.case, alert.before) == ("missing", CASES[1], sha(39))
