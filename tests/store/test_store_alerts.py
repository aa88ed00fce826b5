"""Alerts: raised once, kept with what people said of them."""

from __future__ import annotations

import math
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from store_example import ALERT, NOON, random_value

from perfsuite.errors import StoreError, UsageError
from perfsuite.model import Alert, AlertState
from perfsuite.store import Store, check, open_store


def alert(number: int, **changes: Any) -> Alert:
    made = replace(ALERT, id=f"{number:08x}" + "0" * 24, after=f"{number:040x}")
    return replace(made, raised_at=NOON + timedelta(days=number), **changes)


def test_alerts_survive(store: Store) -> None:
    rng = random.Random(5)
    made = [replace(random_value(rng, Alert), id=f"{number:032x}") for number in range(20)]
    # A size that is no number is unknown.
    known = [
        replace(item, **{name: _finite(getattr(item, name)) for name in ("change", "low", "high")})
        for item in made
    ]
    store.save_alerts(made)
    assert {item.id: item for item in store.reader.alerts()} == {item.id: item for item in known}
    assert check(store) == []


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def test_alerts_are_newest_first_and_filtered(store: Store) -> None:
    store.save_alerts(
        [alert(1), alert(3, case="b"), alert(2, state=AlertState.NOISE), alert(4, repository="x/y")]
    )
    reader = store.reader
    assert [item.id[:8] for item in reader.alerts()] == ["00000004", "00000003", "00000002", "00000001"]
    assert reader.alerts("x/y") == [alert(4, repository="x/y")]
    assert reader.alerts(case="b") == [alert(3, case="b")]
    assert reader.alerts(states=[AlertState.NOISE, AlertState.FIXED]) == [alert(2, state=AlertState.NOISE)]
    assert reader.alerts("owner/name", ALERT.case, [AlertState.OPEN]) == [alert(1)]
    assert reader.alerts(states=[]) == []
    store.save_alerts([alert(5, kind="silent")])
    assert reader.alerts(kind="silent") == [alert(5, kind="silent")]
    assert reader.alerts("x/y", kind="silent") == []


def test_an_alert_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    with pytest.raises(UsageError, match=r"there is no alert in .* yet") as caught:
        store.reader.alert("ab")
    assert "perfsuite alerts update" in caught.value.next_step
    store.save_alerts([ALERT, alert(1), alert(0x10)])
    assert store.reader.alert("AB") == ALERT
    assert store.reader.alert(alert(1).id) == alert(1)
    with pytest.raises(UsageError, match="is the beginning of 2 alerts"):
        store.reader.alert("000000")
    with pytest.raises(UsageError, match="there is no alert 'ff'") as caught:
        store.reader.alert("ff")
    assert "moe/decode[m=1] slower" in caught.value.next_step


def test_a_change_that_moves_stays_the_same_alert(store: Store) -> None:
    store.save_alerts([ALERT])
    moved = replace(ALERT, before="2" * 40, after="3" * 40, change=0.07)
    store.save_alerts([moved])
    assert store.reader.alerts() == [moved]


def test_a_change_is_raised_once(store: Store) -> None:
    store.save_alerts([ALERT])
    store.save_alerts([replace(ALERT, id="cd" * 16), replace(ALERT, id="ef" * 16, metric="memory")])
    assert {item.id[:2] for item in store.reader.alerts()} == {"ab", "ef"}
    # Nor does another alert move onto it.
    other = replace(ALERT, id="01" * 16, after="9" * 40)
    store.save_alerts([other])
    store.save_alerts([replace(other, after=ALERT.after)])
    assert store.reader.alert("01") == other


def test_a_series_may_stop_more_than_once(store: Store) -> None:
    first = replace(ALERT, kind="missing", after="", change=None, low=None, high=None)
    again = replace(first, id="cd" * 16, before="3" * 40)
    store.save_alerts([first])
    store.save_alerts([first, again])
    assert {item.before for item in store.reader.alerts()} == {first.before, again.before}


def test_what_a_person_says_is_kept(store: Store) -> None:
    store.save_alerts([ALERT])
    later = NOON + timedelta(hours=1)
    store.set_alert(ALERT.id, AlertState.EXPECTED, "the price of accuracy", "Ada", later)
    # A machine that read it before, and one that looked on its own.
    store.save_alerts([ALERT])
    earlier = replace(ALERT, state=AlertState.FIXED, changed_by="perfsuite", changed_at=NOON)
    store.save_alerts([replace(earlier, change=0.08)])
    said = replace(
        ALERT,
        change=0.08,
        state=AlertState.EXPECTED,
        reason="the price of accuracy",
        changed_by="Ada",
        changed_at=later,
    )
    assert store.reader.alerts() == [said]
    fixed = replace(said, state=AlertState.FIXED, reason="back", changed_at=later + timedelta(days=1))
    store.save_alerts([fixed])
    assert store.reader.alerts() == [fixed]


def test_an_unknown_alert_cannot_be_set(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no alert abc"):
        store.set_alert("abc", AlertState.NOISE, "", "Ada", NOON)


def test_several_writers_raise_an_alert_once(store_url: str) -> None:
    def work(number: int) -> None:
        with open_store(store_url) as mine:
            barrier.wait()
            mine.save_alerts([replace(alert(key), id=f"{number:016x}{key:016x}") for key in range(10)])

    barrier = threading.Barrier(4)
    open_store(store_url).close()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    with open_store(store_url) as store:
        assert sorted(item.after for item in store.reader.alerts()) == [alert(key).after for key in range(10)]
        assert check(store) == []


def test_several_alerts_are_set_or_none(store: Store) -> None:
    seen = [alert(number) for number in (1, 2, 3)]
    store.save_alerts(seen)
    assert store.set_alerts(seen[:2], AlertState.ACKNOWLEDGED, "looking", "ada", NOON) == []
    looked = {"state": AlertState.ACKNOWLEDGED, "reason": "looking", "changed_by": "ada", "changed_at": NOON}
    now = [replace(seen[0], **looked), replace(seen[1], **looked), seen[2]]
    assert store.reader.alerts() == now[::-1]
    # The page was drawn before ada looked.
    assert store.set_alerts(seen[1:], AlertState.NOISE, "", "ben", NOON + timedelta(hours=1)) == [now[1]]
    assert store.reader.alerts() == now[::-1]
    assert store.set_alerts(now[1:], AlertState.NOISE, "", "ben", NOON + timedelta(hours=1)) == []
    assert [item.changed_by for item in store.reader.alerts()] == ["ben", "ben", "ada"]
    with pytest.raises(StoreError, match="there is no alert ffff"):
        store.set_alerts([alert(1, id="f" * 32), seen[2]], AlertState.FIXED, "", "ben", NOON)
    assert [item.changed_by for item in store.reader.alerts()] == ["ben", "ben", "ada"]


def test_of_two_people_at_once_one_is_told(store: Store) -> None:
    seen = [alert(number) for number in (1, 2)]
    store.save_alerts(seen)

    def triage(name: str) -> list[Alert]:
        with open_store(store.url) as own:
            return own.set_alerts(seen, AlertState.NOISE, name, name, NOON)

    with ThreadPoolExecutor(2) as people:
        found = list(people.map(triage, ("ada", "ben")))
    assert sorted(map(len, found)) == [0, 2]
    winner = "ada" if found[0] == [] else "ben"
    assert {item.changed_by for item in store.reader.alerts()} == {winner}
