"""A turn of the service costs what is new, not what was ever done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ci import mainline
from ci.handling import ACKNOWLEDGED, Handler
from ci.hub import Reaction
from ci.mainline import MainLine
from ci.runner import Terms
from perfsuite.model import Alert, AlertState, Command, Commit, Job, JobKind, JobState
from perfsuite.store import Store, alerts, job_reader, open_store

NAME, START = "acme/kernels", datetime(2026, 1, 1, tzinfo=UTC)
OLD = 30
"""So many of everything were done before."""


@dataclass
class Hub:
    """As much of GitHub as a quiet turn asks."""

    repository: str = NAME
    tip: str = "f" * 40
    reactions: list[tuple[int, Reaction]] = field(default_factory=list)

    def author(self) -> str:
        return "robot"

    def branch(self, name: str) -> str:
        return self.tip

    def react(self, comment_id: int, reaction: Reaction) -> None:
        self.reactions.append((comment_id, reaction))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "perfsuite.db") as store:
        yield store


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many rows of each kind were read."""
    counts: Counter[str] = Counter()
    for module, name in ((job_reader, "to_job"), (job_reader, "to_command"), (alerts, "to_alert")):
        monkeypatch.setattr(module, name, partial(_counted, counts, name, getattr(module, name)))
    return counts


def _counted(counts: Counter[str], name: str, decode: Callable[[Any], Any], row: Any) -> Any:
    counts[name] += 1
    return decode(row)


def test_only_commands_that_wait_for_an_answer_are_read(store: Store, read: Counter[str]) -> None:
    for number in range(OLD):
        at = START + timedelta(hours=number)
        for source, told in ((f"seen/7/{number:040x}", {}), (f"comment/{number}", {ACKNOWLEDGED: True})):
            store.jobs.add_command(Command(NAME, source, "run", 7, "", "ann", at, told))
    # Its comment is older than all of them: it was edited until it was a command.
    store.jobs.add_command(Command(NAME, "comment/99", "run", 7, "", "ann", START - timedelta(days=400)))
    hub = Hub()
    handler = Handler(hub, store, lambda _: [])  # type: ignore[arg-type]
    handler.acknowledge()
    assert hub.reactions == [(99, Reaction.SEEN)]
    read.clear()
    handler.acknowledge()
    assert hub.reactions == [(99, Reaction.SEEN)]
    assert read["to_command"] == 0


def test_a_quiet_turn_of_the_main_line_reads_what_is_under_way(
    store: Store, read: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mainline, "_MOST_JOBS", 4)
    commits = [f"{number:040x}" for number in range(OLD + 1)]
    for number, sha in enumerate(commits[:-1]):
        at = START + timedelta(hours=number)
        job = Job(f"{number:032x}", NAME, JobKind.RUN, f"main/{sha}", sha, at, state=JobState.SUCCEEDED)
        store.jobs.add(job)
    fixed = [
        Alert(f"{n:032x}", NAME, f"work/{n}", "f", "slower", "a", "b", 0.1, 0.1, 0.1, START, AlertState.FIXED)
        for n in range(OLD)
    ]
    store.save_alerts(fixed)
    asked: list[set[str]] = []

    def waiting(branch: str, measured: set[str], most: int) -> list[Commit]:
        asked.append(measured)
        return [Commit(commits[-1])]

    place: Any = SimpleNamespace(fetch=lambda: None, waiting_commits=waiting)
    main = MainLine(Hub(), store, place, Terms("one", {}))  # type: ignore[arg-type]
    now = START + timedelta(hours=OLD)
    assert [job.head for job in main.reconcile(now)] == [commits[-1]]
    assert asked == [set(commits[-5:-1])]
    read.clear()
    assert main.reconcile(now) == []
    # What is queued, and the newest commit that was wanted: here the same.
    assert (read["to_job"], read["to_alert"]) == (2, 0)
