"""Noise of cases: added up over comparisons, one version at a time, nothing twice."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event
from store_example import H200, make_comparison, make_run

from perfsuite.errors import StoreError
from perfsuite.model import Comparison, Noise
from perfsuite.store import Store, check, export_document, import_document

ONE = Noise(between=0.5, pairs=2, within=0.25, freedom=4, comparisons=1)


def started(store: Store, number: int, **changes: Any) -> Comparison:
    comparison = make_comparison(number, **changes)
    store.start_comparison(comparison)
    return comparison


def test_noise_adds_up_over_comparisons(store: Store) -> None:
    for number in (1, 2, 3):
        store.save_noise(started(store, number).id, {"a": ("v1", ONE), "b": ("v1", Noise())})
    assert store.reader.noise("owner/name", H200.fingerprint) == {
        "a": ("v1", Noise(1.5, 6, 0.75, 12, 3)),
        "b": ("v1", Noise()),
    }
    assert check(store) == []


def test_saving_the_noise_of_a_comparison_again_replaces_it(store: Store) -> None:
    comparison = started(store, 1)
    store.save_noise(comparison.id, {"a": ("v1", ONE), "b": ("v1", ONE)})
    store.save_noise(comparison.id, {"a": ("v1", ONE)})
    assert store.reader.noise("owner/name", H200.fingerprint) == {"a": ("v1", ONE)}
    store.save_noise(comparison.id, {})
    assert store.reader.noise("owner/name", H200.fingerprint) == {}


def test_versions_are_never_mixed(store: Store) -> None:
    # The newest is the one that was compared last, whatever it is called and whenever it was saved.
    for number, version in ((3, "v1"), (1, "v2"), (2, "v3"), (4, "v1")):
        store.save_noise(started(store, number).id, {"a": (version, ONE)})
    assert store.reader.noise("owner/name", H200.fingerprint) == {"a": ("v1", ONE + ONE)}


def test_noise_belongs_to_a_repository_and_an_environment(store: Store) -> None:
    other = replace(H200, driver="590.1")
    store.save_noise(started(store, 1).id, {"a": ("v1", ONE)})
    comparison = make_comparison(2)
    elsewhere = replace(comparison, head=replace(comparison.head, repository="other/one", environment=other))
    store.start_comparison(elsewhere)
    store.save_noise(elsewhere.id, {"a": ("v1", ONE + ONE)})
    assert store.reader.noise("owner/name", H200.fingerprint) == {"a": ("v1", ONE)}
    assert store.reader.noise("other/one", other.fingerprint) == {"a": ("v1", ONE + ONE)}
    assert store.reader.noise("other/one", H200.fingerprint) == {}


def test_noise_is_read_with_one_query(store: Store) -> None:
    for number in range(1, 21):
        cases = {f"case[{index}]": ("v1", ONE) for index in range(50)}
        store.save_noise(started(store, number).id, cases)
    queries: list[str] = []

    def listen(*arguments: Any) -> None:
        queries.append(arguments[2])

    event.listen(store._engine, "before_cursor_execute", listen)
    found = store.reader.noise("owner/name", H200.fingerprint)
    event.remove(store._engine, "before_cursor_execute", listen)
    assert len(found) == 50
    assert {noise.comparisons for _, noise in found.values()} == {20}
    assert len([query for query in queries if "SELECT" in query and "noise" in query]) == 1


def test_noise_of_an_unknown_comparison_or_without_numbers_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no comparison abc"):
        store.save_noise("abc", {"a": ("v1", ONE)})
    comparison = started(store, 1)
    with pytest.raises(StoreError, match="the noise of a is no number"):
        store.save_noise(comparison.id, {"a": ("v1", replace(ONE, within=math.nan))})
    assert store.reader.noise("owner/name", H200.fingerprint) == {}


def test_a_comparison_keeps_its_kind_and_what_it_knew_of_noise(store: Store, sqlite_store: Store) -> None:
    known = {"moe/\x00a": ONE, "b": replace(ONE, between=1e300)}
    comparison = started(store, 1, kind="noise", noise=known)
    started(store, 2)
    assert store.reader.comparison(comparison.id) == comparison
    assert store.reader.comparisons(kind="noise") == [comparison]
    assert [item.kind for item in store.reader.comparisons()] == ["compare", "noise"]
    document = export_document(store.reader, [], [comparison])
    import_document(sqlite_store, json.dumps(document), "export.json")
    assert sqlite_store.reader.comparison(comparison.id) == comparison


def test_an_export_of_before_there_was_noise_is_imported(sqlite_store: Store) -> None:
    comparison = make_comparison()
    sqlite_store.start_comparison(comparison)
    document = export_document(sqlite_store.reader, [], [comparison])
    (plain,) = document["comparisons"]
    assert "noise" not in plain
    del plain["kind"]
    import_document(sqlite_store, json.dumps(document), "export.json")
    assert sqlite_store.reader.comparison(comparison.id) == comparison


def test_only_a_comparison_of_the_same_kind_is_resumed(store: Store) -> None:
    comparison = started(store, 1, kind="noise")
    asked = {
        "base_sha": comparison.base.commit.sha,
        "head_sha": comparison.head.commit.sha,
        "head_dirty": "",
        "fingerprint": H200.fingerprint,
        "profile": "standard",
        "pattern": "",
        "suite": "",
        "repository": make_run().repository,
    }
    assert store.reader.unfinished_comparison(**asked) is None
    assert store.reader.unfinished_comparison(**asked, kind="noise") == comparison
