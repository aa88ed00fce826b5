"""The demo shows what was measured: its alerts are what the history says, and name the planted commits."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import pytest

from dashboard.serving.demonstration import demonstration
from perfsuite.cli.updating import update_alerts
from perfsuite.model import Alert, AlertState
from perfsuite.stats.judge import judge
from perfsuite.store import Store, open_store

REPOSITORY = "example/perfsuite"
IN_LOOP = "Quantize activations inside the K-loop"
SLOWER = "Mix the slot order (planted: 2 % of each case's time)"
WRONG = "Fold each group's scale where it is loaded"


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with demonstration() as path, open_store(path) as opened:
        yield opened


def alerts_at(store: Store, subject: str) -> list[Alert]:
    (sha,) = {run.commit.sha for run in store.reader.runs(limit=None) if run.commit.subject == subject}
    return [alert for alert in store.reader.alerts(REPOSITORY) if alert.after == sha]


def test_its_alerts_are_what_its_runs_show(store: Store) -> None:
    (newest, *_) = store.reader.runs(limit=1, kind="run")
    assert update_alerts(store, REPOSITORY, now=newest.started_at) == []


def test_a_planted_slow_down_is_found_at_its_commit_and_size(store: Store) -> None:
    found = alerts_at(store, SLOWER)
    assert len(found) == 21
    assert {alert.kind for alert in found} == {"slower"}
    assert median(alert.change or 0.0 for alert in found) == pytest.approx(0.0213, abs=0.0005)
    whole = [alert for alert in found if not alert.case.startswith("correctness/")]
    assert all(alert.low is not None and 0.0175 < alert.low < 0.025 for alert in whole)


def test_a_slow_down_that_was_taken_back_is_fixed(store: Store) -> None:
    slower = [alert for alert in alerts_at(store, IN_LOOP) if alert.kind == "slower"]
    assert len(slower) == 12
    assert {alert.state for alert in slower} == {AlertState.FIXED}


def test_a_wrong_commit_has_no_times(store: Store) -> None:
    (run,) = [run for run in store.reader.runs(limit=None) if run.commit.subject == WRONG]
    wrong = [result for result in store.reader.results(run.id) if result.status == "incorrect"]
    assert len(wrong) == 21
    assert not any(result.samples_ns for result in wrong)


def test_its_pull_requests_are_judged_anew_and_their_machine_code_is_kept(store: Store) -> None:
    reds = {}
    for number in (41, 42, 43):
        (push,) = store.reader.trends.pull_comparisons(REPOSITORY, number)
        comparison = push[1]
        sides = [store.reader.results(run.id) for run in (comparison.base, comparison.head)]
        reds[comparison.head.commit.subject] = sum(
            c.verdict.red for c in judge(comparison, *sides).comparisons
        )
        kernels = [kernel for result in sides[1] for kernel in result.launches.kernels]
        named = {(kernel.target, kernel.hash) for kernel in kernels if kernel.instructions}
        assert named
        assert store.reader.trends.listings(named).keys() == named
    assert reds == {
        "Comment on the weighted sum": 0,
        "Quantize inside the K-loop": 12,
        "Fold the first group's scale twice": 21,
    }
