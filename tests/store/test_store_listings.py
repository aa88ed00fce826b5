"""Machine code as text: kept once a kernel, read by itself, and taken along by files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from store_example import make_result, make_run

from perfsuite.errors import UsageError
from perfsuite.model import Kernel, Launches, Result, Run
from perfsuite.store import Store, check, export_document, import_document, open_store


def save(store: Store, run: Run, result: Result) -> None:
    store.start_run(run)
    store.save_result(run.id, result)


def test_listings_are_kept_once_and_read_by_themselves(store: Store) -> None:
    trends = store.reader.trends
    kernel = Kernel("_gemm", "ab" * 8, "sm_90", registers=128, listing="0000  HGMMA µ\udcff\n0010  BRA")
    bare, wide = (replace(kernel, listing="", grid=(n,)) for n in (1, 2))
    listed = replace(make_result("a"), launches=Launches((replace(kernel, grid=(1,)),), ("_gemm",)))
    save(store, make_run(), listed)
    save(store, make_run(2), replace(listed, launches=Launches((wide,), ("_gemm",))))
    assert trends.listing("sm_90", "ab" * 8) == "0000  HGMMA µ\udcff\n0010  BRA"
    assert trends.listing("sm_80", "ab" * 8) is None
    assert trends.listings([("sm_90", "ab" * 8), ("sm_90", "x")]) == {
        ("sm_90", "ab" * 8): "0000  HGMMA µ\udcff\n0010  BRA"
    }
    found = trends.result(make_run().id, "a")
    assert found is not None
    assert found.launches.kernels == (bare,)
    # The text says nothing that its hash does not: with it or without, the launches are the same.
    ids = {cell.launches_id for cell in trends.cells([make_run().id])}
    save(store, make_run(3), replace(listed, launches=Launches((bare,), ("_gemm",))))
    assert {cell.launches_id for cell in trends.cells([make_run(3).id])} == ids


def test_listings_travel_beside_the_results(store: Store, sqlite_store: Store, tmp_path: Path) -> None:
    text = "0000  HGMMA µ\udcff"
    kernel = replace(make_result().launches.kernels[0], listing=text)
    listed = replace(make_result("listed"), launches=Launches((kernel,), ("_gemm",)))
    run = make_run()
    store.start_run(run)
    store.save_result(run.id, listed)
    content = json.loads(json.dumps(export_document(store.reader, [run])))
    assert content["listings"] == [{"target": kernel.target, "hash": kernel.hash, "listing": text}]
    assert text not in json.dumps(content["runs"], ensure_ascii=False)
    with open_store(tmp_path / "copy.db") as copy:
        for _ in range(2):
            import_document(copy, json.dumps(content), "export.json")
        assert copy.reader.trends.listing(kernel.target, kernel.hash) == text
        assert copy.reader.results(run.id) == store.reader.results(run.id)
        assert check(copy) == []
        # Written by hand, or by another program: a listing inside its kernel is as good.
        plain = content["runs"][0]["results"][0]["launches"]["kernels"][0]
        plain["listing"], plain["hash"] = "NOP", "new"
        content["runs"][0]["id"] = "other"
        del content["listings"]
        for _ in range(2):
            import_document(copy, json.dumps(content), "export.json")
        assert copy.reader.trends.listing(kernel.target, "new") == "NOP"


@pytest.mark.parametrize(
    ("listings", "said"),
    [
        ({}, "listings: a list was expected"),
        (["x"], r"listings\[0\]: an object was expected"),
        ([{"target": "sm_90"}], r"listings\[0\].hash: is missing"),
        ([{"target": "sm_90", "hash": "a", "listing": 3}], r"listings\[0\].listing: text was expected"),
    ],
)
def test_listings_that_are_none_are_refused(store: Store, listings: object, said: str) -> None:
    content = {**export_document(store.reader, []), "listings": listings}
    with pytest.raises(UsageError, match=said):
        import_document(store, json.dumps(content), "file.json")
