"""What goes in comes out: every field of the model, on SQLite and PostgreSQL, in columns, blobs and files."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from store_example import (
    NOON,
    make_comparison,
    make_result,
    make_run,
    random_results,
    random_run,
    random_value,
)

from perfsuite.codec import Malformed, decode, dumps, encode
from perfsuite.errors import StoreError
from perfsuite.model import Block, Comparison, Environment, Kernel, Result, Round, Status
from perfsuite.store import Store, check, export_document, import_document, open_store
from perfsuite.store import samples as sample_blobs
from perfsuite.store.rows import without_listings


@pytest.mark.parametrize("seed", range(5))
def test_random_runs_and_results_survive(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    runs = {run.id: (run, random_results(rng, 6)) for run in (random_run(rng) for _ in range(6))}
    for run, results in runs.values():
        store.start_run(run)
        for result in results:
            store.save_result(run.id, result)
    for run_id, (run, results) in runs.items():
        # repr: it tells NaN from numbers, 1 from 1.0, and the order of mappings, where == does not.
        assert repr(store.reader.run(run_id)) == repr(run)
        saved = [without_listings(result) for result in results]
        assert repr(store.reader.results(run_id)) == repr(saved)
        without = [replace(result, blocks=()) for result in saved]
        assert repr(store.reader.results(run_id, samples=False)) == repr(without)
        listed = {
            (kernel.target, kernel.hash)
            for result in results
            for kernel in result.launches.kernels
            if kernel.listing
        }
        assert store.reader.trends.listings(listed).keys() == listed
    assert check(store) == []


def test_random_values_survive_an_export(store: Store, tmp_path: object) -> None:
    rng = random.Random(99)
    comparison = replace(make_comparison(), case_thresholds={"moe/*": 0.05, "b\x00": 0.5}, finished_at=NOON)
    store.start_comparison(comparison)
    run = random_run(rng)
    store.start_run(run)
    for run_id in (run.id, comparison.base.id):
        for result in random_results(rng, 6):
            store.save_result(run_id, result)
    document = export_document(store.reader, [run], [comparison])
    text = json.dumps(document, allow_nan=False)
    with open_store(f"{tmp_path}/copy.db") as copy:
        for _ in range(2):
            summary = import_document(copy, text, "export.json")
            assert (summary.kind, summary.runs, summary.results) == ("perfsuite", 3, 12)
        assert copy.reader.comparison(comparison.id) == comparison
        assert len(copy.reader.runs()) == 3
        for run_id in (run.id, comparison.base.id, comparison.head.id):
            assert repr(copy.reader.run(run_id)) == repr(store.reader.run(run_id))
            assert repr(copy.reader.results(run_id)) == repr(store.reader.results(run_id))
        assert check(copy) == []


@pytest.mark.parametrize("seed", range(20))
def test_sample_blobs_are_lossless(seed: int) -> None:
    rng = random.Random(seed)
    blocks = random_value(rng, tuple[Block, ...])
    blob = sample_blobs.pack(blocks)
    assert repr(sample_blobs.unpack(blob)) == repr(blocks)
    assert sample_blobs.count(blob) == sum(len(block.rounds) for block in blocks)


def test_sample_blobs_are_compact() -> None:
    rng = random.Random(1)
    rounds = tuple(Round(rng.gauss(10_000, 30), order, order) for order in range(2000))
    blob = sample_blobs.pack((Block(0, 0, 16, 100, rounds),))
    assert blob is not None
    assert len(blob) < 2000 * 14


@pytest.mark.parametrize("damage", ["empty", "magic", "later", "cut", "flipped", "short"])
def test_a_damaged_blob_is_told(damage: str) -> None:
    blob = sample_blobs.pack(make_result().blocks)
    assert blob is not None
    damaged = {
        "empty": b"",
        "magic": b"xxx" + blob[3:],
        "later": blob[:3] + b"\x02" + blob[4:],
        "cut": blob[:-5],
        "flipped": blob[:20] + bytes([blob[20] ^ 0xFF]) + blob[21:],
        "short": blob[:3],
    }[damage]
    with pytest.raises(sample_blobs.CorruptSamples):
        sample_blobs.unpack(damaged)


def test_times_keep_their_instant_and_come_back_in_utc(store: Store) -> None:
    east = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    run = make_run(started_at=east)
    store.start_run(run)
    stored = store.reader.run("latest")
    assert stored == run
    assert stored.started_at.utcoffset() == timedelta(0)


def test_a_result_is_replaced_not_doubled(store: Store) -> None:
    run = make_run()
    store.start_run(run)
    store.save_result(run.id, replace(make_result(), status=Status.FAILED, message="lost", blocks=()))
    store.save_result(run.id, make_result("moe/other"))
    store.save_result(run.id, make_result())
    assert store.reader.results(run.id) == [make_result(), make_result("moe/other")]


def test_kernels_are_stored_once(store: Store) -> None:
    for number in range(3):
        run = make_run(number)
        store.start_run(run)
        for case in ("a", "b"):
            store.save_result(run.id, make_result(case))
    with store._engine.connect() as connection:
        for table in ("kernels", "launches", "environments"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 1


def test_a_result_of_an_unknown_run_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no run abc"):
        store.save_result("abc", make_result())
    with pytest.raises(StoreError, match="there is no run abc"):
        store.finish_run("abc", NOON)


def test_what_the_model_forbids_is_refused_by_field(store: Store) -> None:
    run = make_run()
    store.start_run(run)
    wrong = replace(make_result(), extra={"shape": (1, 2)})  # type: ignore[dict-item]
    with pytest.raises(StoreError, match=r"moe/prefill.*extra\.shape.*tuple"):
        store.save_result(run.id, wrong)
    assert store.reader.results(run.id) == []


def test_a_finished_run_stays_finished(store: Store) -> None:
    run = make_run()
    store.start_run(run)
    store.finish_run(run.id, NOON)
    store.start_run(run)
    assert store.reader.run(run.id).finished_at == NOON


@pytest.mark.parametrize("kind", [Comparison, Environment, Kernel, Result, Round])
def test_the_codec_keeps_every_field(kind: type) -> None:
    rng = random.Random(7)
    for _ in range(50):
        value = random_value(rng, kind)
        assert repr(decode(kind, json.loads(dumps(encode(value))))) == repr(value)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"case": None}, "r.case: text was expected, not None"),
        ({"bytes": 1.5}, "r.bytes: a whole number was expected, not 1.5"),
        ({"bytes": True}, "r.bytes: a whole number was expected, not True"),
        ({"bytes": 1 << 70}, "r.bytes: 1180591620717411303424 does not fit"),
        ({"status": "fine"}, "r.status: 'fine' is none of ok, incorrect"),
        ({"error_rms": "x"}, "r.error_rms: a number was expected"),
        ({"error_rms": float("inf")}, "r.error_rms: inf is not a finite number"),
        ({"error_rms": 10**400}, "r.error_rms: a whole number of more than 40 digits is too large"),
        ({"params": {"m": [1]}}, "r.params.m: text, a number"),
        ({"params": []}, "r.params: an object was expected"),
        ({"blocks": [{"pair": 0}]}, r"r.blocks\[0\].block: is missing"),
        ({"blocks": 3}, "r.blocks: a list was expected"),
    ],
)
def test_the_codec_names_what_is_wrong(change: dict[str, object], where: str) -> None:
    plain = {**encode(make_result()), **change}
    with pytest.raises(Malformed, match=where):
        decode(Result, plain, "r")
