"""What main knows beyond the merge base: of its latest commit, whenever that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ci.rules import newest_run, trunk_of
from perfsuite.model import Commit, Environment, Result, Run, Status
from perfsuite.store import Store, open_store

NAME, HERE = "acme/kernels", Environment("here", cpu="a processor")
START = datetime(2026, 1, 1, tzinfo=UTC)
COMMITS = [f"{number:040x}" for number in range(1, 6)]
"""Of main after the merge base, oldest first."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "perfsuite.db") as store:
        yield store


def measured(store: Store, place: int, hour: int, *, done: bool = True, **changes: object) -> Run:
    """A run of a commit, so many hours after the start; what failed in it is named after the hour."""
    at = START + timedelta(hours=hour)
    run = Run(f"{hour:032x}", Commit(COMMITS[place], committed_at=START), NAME, HERE, "pr", at)
    run = replace(run, **changes)  # type: ignore[arg-type]
    store.start_run(run)
    store.save_result(run.id, Result(f"failed at {hour}", "v1", "work", {}, "cpu", Status.FAILED))
    if done:
        store.finish_run(run.id, at)
    return run


def newest(store: Store) -> str | None:
    found = newest_run(store.reader, NAME, HERE.fingerprint, COMMITS)
    return found and found.id


def test_the_latest_commit_counts_not_the_latest_measurement(store: Store) -> None:
    assert newest(store) is None
    latest = measured(store, 3, hour=1)
    for hour, place in enumerate([2, 1, 0], start=2):
        measured(store, place, hour)
    assert newest(store) == latest.id
    again = measured(store, 3, hour=9)
    assert newest(store) == again.id
    assert trunk_of(store.reader, NAME, HERE.fingerprint, COMMITS).failing == ["failed at 9"]


def test_what_is_no_run_of_main_here_does_not_count(store: Store) -> None:
    latest = measured(store, 0, hour=1)
    measured(store, 1, hour=2, done=False)
    measured(store, 1, hour=3, repository="acme/others")
    measured(store, 1, hour=4, environment=replace(HERE, torch="2"))
    measured(store, 1, hour=5, environment=replace(HERE, details={"untrusted": True}))
    measured(store, 1, hour=6, kind="head")
    measured(store, 1, hour=7, commit=Commit(COMMITS[1], dirty="f" * 16))
    measured(store, 1, hour=8, commit=Commit("f" * 40))
    assert newest(store) == latest.id


def test_without_commits_main_knows_nothing_more(store: Store) -> None:
    measured(store, 0, hour=1)
    assert trunk_of(store.reader, NAME, HERE.fingerprint, []).failing == ()
