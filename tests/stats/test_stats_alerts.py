"""Alerts: the same change stays the same alert, people's words stay, what returned is fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from perfsuite.model import Alert, AlertState
from perfsuite.stats.alerts import reconcile
from perfsuite.stats.change_points import change_points
from perfsuite.stats.rules import Series

START = datetime(2026, 1, 1, tzinfo=UTC)
NOISE = np.random.default_rng(1).normal(0, 0.003, 400)


def history(*parts: tuple[int, float], boundaries: tuple[int, ...] = (), **changes: Any) -> Series:
    """One run a day; the noise of a point is the same however long the series is."""
    levels = np.concatenate([np.full(count, level) for count, level in parts])
    values = 1000 * levels * np.exp(NOISE[: len(levels)])
    series = Series(
        id="moe",
        values=tuple(values.tolist()),
        times=tuple((START + timedelta(days=day)).timestamp() for day in range(len(values))),
        commits=tuple(f"{day:040x}" for day in range(len(values))),
        boundaries=boundaries,
    )
    return replace(series, **changes)


def update(series: Series, existing: Sequence[Alert] = (), **changes: Any) -> list[Alert]:
    """As they are the day after the newest point."""
    given: dict[str, Any] = {
        "repository": "team/kernels",
        "case": "moe",
        "fingerprints": ["f"] * len(series),
        "now": START + timedelta(days=len(series)),
    }
    return reconcile(existing, change_points(series), series, **{**given, **changes})


def sha(day: int) -> str:
    return f"{day:040x}"


def test_a_step_raises_one_alert() -> None:
    (alert,) = update(history((40, 1.0), (20, 1.1)))
    assert (alert.kind, alert.state) == ("slower", AlertState.OPEN)
    assert (alert.before, alert.after) == (sha(39), sha(40))
    assert alert.change == pytest.approx(0.1, abs=0.005)
    assert alert.low is not None and alert.high is not None and alert.low < 0.1 < alert.high
    assert alert.raised_at == START + timedelta(days=60)
    assert len(alert.id) == 32


def test_a_quiet_series_raises_none() -> None:
    assert update(history((100, 1.0))) == []


def test_faster_is_told_by_the_direction_of_the_metric() -> None:
    (alert,) = update(history((40, 1.0), (20, 0.9)))
    assert alert.kind == "faster"
    (alert,) = update(history((40, 1.0), (20, 0.9), lower_is_better=False))
    assert alert.kind == "slower"


def test_nothing_changes_without_new_points() -> None:
    series = history((40, 1.0), (20, 1.1))
    first = update(series)
    assert update(series, first) == first


def test_an_alert_stays_the_same_while_points_arrive() -> None:
    alerts: list[Alert] = []
    ids = set()
    for count in range(5, 60):
        alerts = update(history((40, 1.0), (count, 1.03)), alerts)
        ids |= {alert.id for alert in alerts}
    assert len(ids) == 1
    assert alerts[0].state is AlertState.OPEN and alerts[0].after == sha(40)


def test_a_change_point_that_moves_is_the_same_alert() -> None:
    series = history((40, 1.0), (40, 1.1))
    (alert,) = update(series)
    elsewhere = replace(alert, before=sha(36), after=sha(37))
    assert update(series, [elsewhere]) == [alert]
    # Too far away to be the same; and it is not there any more.
    other = replace(alert, id="0" * 32, before=sha(19), after=sha(20))
    gone, new = update(series, [other])
    assert (gone.id, gone.state, gone.changed_by) == (other.id, AlertState.NOISE, "perfsuite")
    assert new.id == alert.id


@pytest.mark.parametrize("state", [AlertState.EXPECTED, AlertState.NOISE, AlertState.FIXED])
def test_what_a_person_decided_stays(state: AlertState) -> None:
    (alert,) = update(history((40, 1.0), (20, 1.1)))
    triaged = replace(alert, state=state, reason="we know", changed_by="Ada", changed_at=START)
    for later in (history((40, 1.0), (40, 1.1)), history((40, 1.0), (40, 1.1), (40, 1.0))):
        (found,) = update(later, [triaged])
        assert (found.state, found.reason, found.changed_by) == (state, "we know", "Ada")


@pytest.mark.parametrize("state", [AlertState.OPEN, AlertState.ACKNOWLEDGED])
def test_a_level_that_returned_is_fixed(state: AlertState) -> None:
    (alert,) = update(history((40, 1.0), (20, 1.1)))
    (found,) = update(history((40, 1.0), (20, 1.1), (30, 1.0)), [replace(alert, state=state)])
    assert (found.id, found.state, found.changed_by) == (alert.id, AlertState.FIXED, "perfsuite")
    assert sha(60)[:10] in found.reason
    assert found.changed_at == START + timedelta(days=90)


def test_a_level_that_came_down_a_little_is_not_fixed() -> None:
    (alert,) = update(history((40, 1.0), (20, 1.1)))
    slower, faster = update(history((40, 1.0), (20, 1.1), (30, 1.07)), [alert])
    assert slower.state is AlertState.OPEN and faster.kind == "faster"


def test_a_level_that_returned_and_left_again_is_not_fixed() -> None:
    parts = ((40, 1.0), (20, 1.1), (20, 1.0), (20, 1.1))
    (alert,) = update(history(*parts[:2]))
    found = update(history(*parts), [alert])
    assert found[0].state is AlertState.OPEN
    assert [one.after for one in found if one.kind == "slower"] == [sha(40), sha(80)]


def test_an_improvement_beyond_the_return_is_news() -> None:
    found = update(history((40, 1.0), (20, 1.1), (30, 0.8)))
    assert [one.kind for one in found] == ["slower", "faster"]
    assert found[0].state is AlertState.FIXED


def test_a_boundary_raises_none_and_fixes_none() -> None:
    assert update(history((40, 1.0), (40, 1.1), boundaries=(40,))) == []
    (alert,) = update(history((40, 1.0), (30, 1.1)))
    (found,) = update(history((40, 1.0), (30, 1.1), (30, 1.0), boundaries=(70,)), [alert])
    assert found.state is AlertState.OPEN


def test_noise_that_more_points_took_back_may_come_again() -> None:
    series = history((40, 1.0), (40, 1.1))
    (alert,) = update(series)
    taken = replace(alert, state=AlertState.NOISE, reason="gone", changed_by="perfsuite", changed_at=START)
    (found,) = update(series, [taken])
    assert found.state is AlertState.OPEN and found.reason
    (kept,) = update(history((80, 1.0)), [taken])
    assert kept == taken


def test_alerts_of_other_commits_and_environments_are_left_alone() -> None:
    series = history((40, 1.0), (40, 1.1))
    (alert,) = update(series)
    elsewhere = replace(alert, id="1" * 32, before="a" * 40, after="b" * 40)
    abroad = replace(alert, id="2" * 32, fingerprint="g")
    found = update(series, [elsewhere, replace(abroad, state=AlertState.EXPECTED)])
    assert found[0] == elsewhere
    assert found[1] == replace(abroad, state=AlertState.EXPECTED)
    assert [one.fingerprint for one in found[2:]] == ["f"]


def test_a_series_that_stops_is_an_alert_until_it_is_back() -> None:
    series = history((30, 1.0))
    assert update(series, now=START + timedelta(days=33)) == []
    (alert,) = update(series, now=START + timedelta(days=36))
    assert (alert.kind, alert.before, alert.after) == ("missing", sha(29), "")
    assert "2026-01-30" in alert.reason
    assert update(series, [alert], now=START + timedelta(days=50)) == [alert]
    (found,) = update(history((40, 1.0)), [alert])
    assert (found.state, found.changed_by) == (AlertState.FIXED, "perfsuite") and sha(39)[:10] in found.reason


def test_a_person_may_say_that_it_shall_be_missing() -> None:
    series = history((30, 1.0))
    (alert,) = update(series, now=START + timedelta(days=90))
    retired = replace(alert, state=AlertState.EXPECTED, reason="retired", changed_by="Ada")
    assert update(series, [retired], now=START + timedelta(days=900)) == [retired]


def test_nights_and_weekends_are_usual_gaps() -> None:
    hours = [24 * day + hour for day in range(0, 28) if day % 7 < 5 for hour in range(9, 18)]
    series = history((len(hours), 1.0), times=tuple(START.timestamp() + 3600 * hour for hour in hours))
    last = START + timedelta(hours=hours[-1])
    assert update(series, now=last + timedelta(hours=70)) == []
    assert [one.kind for one in update(series, now=last + timedelta(days=6))] == ["missing"]


def spread(days: Sequence[int], each: int, apart_s: float) -> Series:
    """So many runs on each of these days, one after the other."""
    times = [START.timestamp() + 86_400 * day + apart_s * i for day in days for i in range(each)]
    return history((len(times), 1.0), times=tuple(times))


@pytest.mark.parametrize("apart_s", [0.1, 400.0])
def test_a_backfill_says_nothing_of_what_is_usual(apart_s: float) -> None:
    """Sixty commits measured in a row, alone, or on top of a series that is measured once a week."""
    alone = spread([0], 60, apart_s)
    assert [update(alone, now=START + timedelta(days=days)) for days in (1, 2, 30)] == [[]] * 3
    weekly = spread([0, 7, 14, 21, 28], 1, 0)
    filled = replace(
        history((65, 1.0)), times=(*weekly.times, *(weekly.times[-1] + apart_s * i for i in range(1, 61)))
    )
    for series in (weekly, filled):
        assert update(series, now=START + timedelta(days=60)) == []
        (alert,) = update(series, now=START + timedelta(days=64))
        assert alert.kind == "missing"


def test_a_busy_series_is_not_missed_over_a_long_weekend() -> None:
    busy = spread(range(4), 100, 600.0)
    last = START + timedelta(days=3, seconds=99 * 600)
    assert update(busy, now=last + timedelta(days=4, hours=12)) == []
    assert [one.kind for one in update(busy, now=last + timedelta(days=5, hours=1))] == ["missing"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_usual_needs_a_few_points(count: int) -> None:
    assert update(history((count, 1.0)), now=START + timedelta(days=900)) == []


def test_a_series_without_times_is_never_missing() -> None:
    assert update(history((40, 1.0), times=()), now=START + timedelta(days=900)) == []
