"""Silence is told once, while it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.silence import RUNS, SILENT, Quiet, silent, to_alerts
from perfsuite.model import Alert, AlertState, Job, JobKind, JobState, Worker
from perfsuite.store import Store, open_store

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
JOB = Job("1" * 32, "owner/name", JobKind.RUN, "main/1", "1" * 40, NOON)
WORKER = Worker("node-1/gpu0", "owner/name", NOON, NOON)
PERSON = "ada"


def listen(now: datetime, **given: Any) -> list[Quiet]:
    nothing = {"runs": None, "newest_commit_at": None, "jobs": [], "workers": []}
    return silent(now, **{**nothing, **given}, quiet_after_s=3600, worker_after_s=300)


@pytest.mark.parametrize(
    "given",
    [
        {},
        # All that there is was measured, however long ago.
        {"runs": NOON, "newest_commit_at": NOON - HOUR},
        {"runs": NOON, "jobs": [replace(JOB, state=state) for state in JobState if state.over]},
        # There is work, but not for long: after a quiet weekend a commit may wait as any other.
        {"runs": NOON - 60 * HOUR, "newest_commit_at": NOON + 9 * HOUR},
        {"jobs": [replace(JOB, created_at=NOON + 9 * HOUR)]},
        # Work of little urgency waits for long, but others are done.
        {"runs": NOON + 9 * HOUR, "jobs": [JOB]},
        {"workers": [replace(WORKER, stopped_at=NOON)]},
        {"workers": [replace(WORKER, seen_at=NOON + 10 * HOUR - 5 * MINUTE)]},
        {"jobs": [replace(JOB, state=JobState.RUNNING, worker="w", seen_at=NOON + 10 * HOUR - 5 * MINUTE)]},
    ],
)
def test_what_is_no_silence(given: dict[str, Any]) -> None:
    assert listen(NOON + 10 * HOUR, **given) == []


def test_no_run_though_there_is_work() -> None:
    now = NOON + 10 * HOUR
    last = "no run since 2025-06-01 12:00 UTC"
    assert listen(now, runs=NOON, newest_commit_at=NOON + HOUR) == [
        Quiet(RUNS, NOON, f"{last}, though a commit waits since 2025-06-01 13:00 UTC")
    ]
    # Each commit is new, but the first of their jobs is not.
    jobs = [replace(JOB, created_at=NOON + hour * HOUR) for hour in (8, 5, 9)]
    assert listen(now, runs=NOON, newest_commit_at=now, jobs=jobs) == [
        Quiet(RUNS, NOON, f"{last}, though 3 jobs wait since 2025-06-01 17:00 UTC")
    ]
    assert listen(now, jobs=[JOB]) == [
        Quiet(RUNS, None, "there was no run yet, though 1 job waits since 2025-06-01 12:00 UTC")
    ]


def test_a_worker_that_went_away_is_told_with_its_job() -> None:
    now = NOON + 6 * MINUTE
    running = replace(JOB, state=JobState.RUNNING, worker=WORKER.name, started_at=NOON, seen_at=NOON)
    text = "nothing heard of the worker since 2025-06-01 12:00 UTC"
    assert listen(now, workers=[WORKER], jobs=[running]) == [Quiet("(worker node-1/gpu0)", NOON, text)]
    # Its worker stopped in order, or is unknown, and the job was left behind.
    left = [Quiet("(job main/1)", NOON, "running, but nobody works on it since 2025-06-01 12:00 UTC")]
    assert listen(now, workers=[replace(WORKER, stopped_at=NOON)], jobs=[running]) == left
    assert listen(now, jobs=[replace(running, seen_at=None)]) == left


def test_the_order_is_fixed() -> None:
    workers = [replace(WORKER, name=name) for name in "ba"]
    jobs = [replace(JOB, key=key, state=JobState.RUNNING) for key in ("y", "x")]
    quiet = listen(NOON + 10 * HOUR, newest_commit_at=NOON, workers=workers, jobs=jobs)
    assert [item.name for item in quiet] == [RUNS, "(worker a)", "(worker b)", "(job x)", "(job y)"]


AWAY = Quiet("(worker w)", NOON, "nothing heard of the worker since noon")


class Alerts:
    """The alerts of a store, as they become turn by turn."""

    def __init__(self) -> None:
        self.by_id: dict[str, Alert] = {}
        self.now = NOON

    def turn(self, *quiet: Quiet) -> list[Alert]:
        self.now += MINUTE
        changed = to_alerts(quiet, "owner/name", list(self.by_id.values()), self.now)
        self.by_id |= {alert.id: alert for alert in changed}
        return changed

    def triage(self, alert: Alert, state: AlertState) -> None:
        self.by_id[alert.id] = replace(alert, state=state, changed_by=PERSON, changed_at=self.now)

    @property
    def all(self) -> list[tuple[str, AlertState]]:
        return [(alert.case, alert.state) for alert in self.by_id.values()]


def test_one_alert_while_it_lasts() -> None:
    alerts = Alerts()
    (raised,) = alerts.turn(AWAY)
    assert (raised.kind, raised.case, raised.reason) == (SILENT, AWAY.name, AWAY.text)
    assert raised.state is AlertState.OPEN
    assert alerts.turn(AWAY) == alerts.turn(AWAY) == []
    # It came and went again between two looks.
    assert alerts.turn(replace(AWAY, since=NOON + MINUTE)) == []
    (fixed,) = alerts.turn()
    assert fixed == replace(
        raised,
        state=AlertState.FIXED,
        reason="silent no longer at 2025-06-01 12:05 UTC",
        changed_by="perfsuite",
        changed_at=NOON + 5 * MINUTE,
    )
    assert alerts.turn() == []
    (second,) = alerts.turn(replace(AWAY, since=NOON + HOUR), Quiet(RUNS, None, "never"))[:1]
    assert second.id != raised.id
    assert alerts.all == [
        (AWAY.name, AlertState.FIXED),
        (AWAY.name, AlertState.OPEN),
        (RUNS, AlertState.OPEN),
    ]


def test_the_same_silence_again_is_the_same_alert() -> None:
    """The work that waited was cancelled, other work came, and still there was no run since."""
    alerts = Alerts()
    (raised,) = alerts.turn(Quiet(RUNS, NOON, "no run"))
    alerts.turn()
    (again,) = alerts.turn(Quiet(RUNS, NOON, "no run still"))
    assert (again.id, again.state, again.reason) == (raised.id, AlertState.OPEN, "no run still")


@pytest.mark.parametrize("state", [AlertState.EXPECTED, AlertState.NOISE, AlertState.FIXED])
def test_what_a_person_said_stays(state: AlertState) -> None:
    alerts = Alerts()
    (raised,) = alerts.turn(AWAY)
    alerts.triage(raised, state)
    assert alerts.turn(AWAY) == alerts.turn() == alerts.turn(AWAY) == []
    # The next silence is news.
    alerts.turn(replace(AWAY, since=NOON + HOUR))
    assert alerts.all == [(AWAY.name, state), (AWAY.name, AlertState.OPEN)]


def test_what_somebody_is_looking_into_is_fixed_when_it_ends() -> None:
    alerts = Alerts()
    (raised,) = alerts.turn(AWAY)
    alerts.triage(raised, AlertState.ACKNOWLEDGED)
    assert alerts.turn(AWAY) == []
    alerts.turn()
    assert alerts.all == [(AWAY.name, AlertState.FIXED)]


def test_other_alerts_are_left_alone() -> None:
    (mine,) = Alerts().turn(AWAY)
    others = [
        replace(mine, id="1" * 32, kind="missing"),
        replace(mine, id="2" * 32, kind="slower", case="moe[m=1]"),
        replace(mine, id="3" * 32, repository="x/y"),
    ]
    assert to_alerts([], "owner/name", others, NOON) == []
    assert to_alerts([AWAY], "owner/name", others, NOON + MINUTE) == [mine]


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["", "", *(s.value for s in AlertState)])), max_size=30)
)
def test_there_is_never_more_than_one_undecided_alert(turns: list[tuple[bool, str]]) -> None:
    alerts = Alerts()
    undecided = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
    since = NOON
    for is_quiet, said in turns:
        since = since if is_quiet else alerts.now
        alerts.turn(*([replace(AWAY, since=since)] if is_quiet else []))
        waiting = [alert for alert in alerts.by_id.values() if alert.state in undecided]
        assert len(waiting) <= is_quiet
        assert alerts.turn(*([replace(AWAY, since=since)] if is_quiet else [])) == []
        if waiting and said:
            alerts.triage(waiting[0], AlertState(said))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "perfsuite.db") as store:
        yield store


def test_alerts_of_silence_are_stored_like_others(store: Store) -> None:
    def turn(*quiet: Quiet) -> list[AlertState]:
        nonlocal now
        now += MINUTE
        store.save_alerts(to_alerts(quiet, "owner/name", store.reader.alerts("owner/name"), now))
        return [alert.state for alert in store.reader.alerts("owner/name")]

    now = NOON
    assert turn(AWAY, Quiet(RUNS, None, "never")) == [AlertState.OPEN] * 2
    assert turn(AWAY, Quiet(RUNS, None, "never")) == [AlertState.OPEN] * 2
    assert turn() == [AlertState.FIXED] * 2
    assert turn(replace(AWAY, since=NOON + HOUR)) == [AlertState.OPEN] + [AlertState.FIXED] * 2
    assert sorted(turn(Quiet(RUNS, None, "never"))) == sorted(
        [AlertState.FIXED, AlertState.OPEN, AlertState.FIXED]
    )
