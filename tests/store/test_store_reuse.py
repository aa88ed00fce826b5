"""Which comparisons timed the same machine code before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from store_example import H200, NOON, make_comparison, make_result

from perfsuite.model import Comparison, Kernel, Launches, Result, Status
from perfsuite.store import Store
from perfsuite.store.reuse import SameCode

CASE = "moe/prefill[m=1]"
LATER = NOON + timedelta(days=30)


def code(name: str) -> Launches:
    return Launches((Kernel("k", name * 16, "sm_90"),), (f"k#{name}",))


def result(launches: Launches) -> Result:
    return replace(make_result(CASE), launches=launches)


def wanted(**changes: object) -> SameCode:
    asked = SameCode(
        *(CASE, "v1", code("a"), code("b"), "owner/name", H200.fingerprint, "standard"), since=NOON
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def save(store: Store, number: int, base: Result, head: Result, *, finished: bool = True) -> Comparison:
    comparison = make_comparison(number)
    store.start_comparison(comparison)
    store.save_result(comparison.base.id, base)
    store.save_result(comparison.head.id, head)
    if finished:
        store.finish_comparison(comparison.id, LATER)
    return comparison


def test_the_newest_comes_first(store: Store) -> None:
    first = save(store, 1, result(code("a")), result(code("b")))
    second = save(store, 2, result(code("a")), result(code("b")))
    assert store.reader.timed_before(wanted()) == [second.id, first.id]
    assert store.reader.timed_before(wanted(since=second.started_at)) == [second.id]
    assert store.reader.timed_before(wanted(since=second.started_at + timedelta(seconds=1))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"case": "other"},
        {"version": "v2"},
        {"base": code("b"), "head": code("a")},
        {"head": code("c")},
        {"repository": "owner/other"},
        {"fingerprint": "0" * 16},
        {"profile": "full"},
    ],
    ids=str,
)
def test_everything_has_to_be_the_same(store: Store, changes: dict[str, object]) -> None:
    save(store, 1, result(code("a")), result(code("b")))
    assert store.reader.timed_before(wanted(**changes)) == []


def test_what_is_unfinished_untimed_or_of_another_kind_does_not_count(store: Store) -> None:
    good = result(code("b"))
    save(store, 1, result(code("a")), good, finished=False)
    save(store, 2, result(code("a")), replace(good, blocks=()))
    save(store, 3, result(code("a")), replace(good, status=Status.FAILED))
    noise = make_comparison(4, kind="noise", finished_at=LATER)
    store.save_all(
        [noise.base, noise.head], {noise.base.id: [result(code("a"))], noise.head.id: [good]}, [noise]
    )
    assert store.reader.timed_before(wanted()) == []


def test_finished_runs_and_comparisons_are_found_by_what_makes_them_the_same(store: Store) -> None:
    comparison = save(store, 1, result(code("a")), result(code("b")))
    head = comparison.head
    asked = {
        "fingerprint": H200.fingerprint,
        "profile": "standard",
        "pattern": "",
        "suite": "",
        "repository": "owner/name",
    }
    sides = {"base_sha": comparison.base.commit.sha, "head_sha": head.commit.sha, "head_dirty": ""}
    found = store.reader.unfinished_comparison(**sides, **asked, finished=True)
    assert found is not None and found.id == comparison.id
    assert store.reader.unfinished_comparison(**sides, **asked) is None
    run = {"sha": head.commit.sha, "dirty": "", "kind": "head"}
    assert store.reader.unfinished_run(**run, **asked, finished=True) is None
    store.finish_run(head.id, LATER)
    assert store.reader.unfinished_run(**run, **asked, finished=True) == replace(head, finished_at=LATER)
