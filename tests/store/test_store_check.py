"""`check` finds what is wrong, by name, and nothing in a sound database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, text
from store_example import ALERT, COMMAND, NOON, WORKER, make_comparison, make_job, make_result, make_run

from perfsuite.errors import StoreError
from perfsuite.model import Kernel, Launches, Noise
from perfsuite.store import Store, check
from perfsuite.store.schema import VERSION_TABLE


@pytest.fixture
def filled(store: Store) -> Store:
    store.start_comparison(make_comparison())
    store.start_run(make_run(7))
    store.save_result(make_run(7).id, make_result("a"))
    store.save_result(make_run(7).id, replace(make_result("b"), blocks=()))
    store.finish_run(make_run(7).id, NOON)
    store.save_noise(make_comparison().id, {"a": ("v1", Noise())})
    store.save_alerts([ALERT])
    store.jobs.add_command(COMMAND, make_job())
    store.jobs.beat(WORKER)
    return store


def work_by_hand(store: Store, *statements: str, **values: object) -> None:
    """What somebody with a SQL prompt may do; foreign keys are off there by default."""

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement), values if ":" in statement else {})

    with store._engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA foreign_keys=OFF")
        else:
            connection.execute(text("SET session_replication_role = replica"))
            connection.commit()
        with connection.begin():
            work(connection)
        connection.invalidate()


def test_a_sound_database_has_no_problems(filled: Store) -> None:
    assert check(filled) == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM runs WHERE kind = 'run'", "results a: run_id 00000007"),
        ("DELETE FROM environments", "environment_id"),
        ("DELETE FROM kernels", "kernel_id"),
        ("DELETE FROM launches", "results a: launches_id"),
        ("DELETE FROM runs WHERE kind = 'base'", "base_id 00000002"),
        ("UPDATE results SET rounds = 4 WHERE case_id = 'a'", "a: 3 samples, but its row says 4"),
        ("UPDATE results SET samples = NULL WHERE case_id = 'a'", "a: 0 samples, but its row says 3"),
        (
            "UPDATE results SET document = '{' WHERE case_id = 'a'",
            "result of a in run 00000007000000000000000000000000 is damaged",
        ),
        ("UPDATE results SET document = '{}' WHERE case_id = 'a'", "is damaged: params: is missing"),
        ("UPDATE results SET status = 'fine' WHERE case_id = 'b'", "'fine' is none of ok"),
        ("UPDATE results SET series_id = NULL WHERE case_id = 'a'", "a is not in the series"),
        ("UPDATE results SET series_id = 99 WHERE case_id = 'b'", "results b: series_id 99 is not there"),
        ("UPDATE results SET version = 'v2' WHERE case_id = 'a'", "a is not in the series"),
        ("UPDATE runs SET repository = 'b' WHERE kind = 'run'", "a is not in the series"),
        ("UPDATE environments SET document = '[]'", "environment: an object was expected"),
        ("UPDATE kernels SET document = 'x'", "is damaged"),
        ("UPDATE comparisons SET case_thresholds = '{'", "comparison 00000001"),
        ("UPDATE comparisons SET noise = '[]'", "comparison 00000001"),
        ("UPDATE alerts SET state = 'gone'", "alert abababab"),
        ("UPDATE jobs SET state = 'gone'", "job 00000001eeee"),
        ("UPDATE jobs SET kind = 'chore'", "'chore' is not a valid JobKind"),
        ("UPDATE jobs SET facts = '{'", "job 00000001eeee"),
        ("UPDATE jobs SET facts = '[]'", "is damaged: an object was expected"),
        ("UPDATE commands SET arguments = '{'", "command comment/1"),
        ("UPDATE noise SET comparison_id = 'c'", "noise a: comparison_id c is not there"),
        (f"UPDATE {VERSION_TABLE} SET version_num = '0007'", "the tables are of version 0007"),
    ],
)
def test_damage_is_named(filled: Store, statement: str, problem: str) -> None:
    work_by_hand(filled, statement)
    found = check(filled)
    assert any(problem in line for line in found), found


@pytest.mark.parametrize("blob", [b"", b"PSB\x01junk", b"PSB\x09junk"])
def test_damaged_samples_are_named_and_refused_when_read(filled: Store, blob: bytes) -> None:
    work_by_hand(filled, "UPDATE results SET samples = :blob WHERE case_id = 'a'", blob=blob)
    assert any("a: its samples are damaged" in line for line in check(filled))
    with pytest.raises(StoreError, match=r"the stored result of a in run 00000007.* is damaged") as caught:
        filled.reader.results(make_run(7).id)
    assert "db check" in caught.value.next_step
    # What does not need the samples can still be read.
    assert [result.case for result in filled.reader.results(make_run(7).id, samples=False)] == ["a", "b"]


def test_damaged_launches_are_named(filled: Store) -> None:
    work_by_hand(filled, "UPDATE launches SET document = :blob", blob=b"junk")
    assert any("launch list" in line and "damaged" in line for line in check(filled))
    with pytest.raises(StoreError, match="damaged"):
        filled.reader.results(make_run(7).id)


def test_damaged_listings_are_named_and_refused_when_read(filled: Store) -> None:
    kernel = Kernel("_gemm", "ab" * 8, "sm_90", listing="HGMMA")
    filled.save_result(make_run(7).id, replace(make_result("c"), launches=Launches((kernel,), ("_gemm",))))
    work_by_hand(filled, "UPDATE listings SET document = :blob", blob=b"junk")
    assert any("listing of abababababababab for sm_90" in line for line in check(filled))
    with pytest.raises(StoreError, match="listing of abababababababab for sm_90 is damaged"):
        filled.reader.trends.listing("sm_90", "ab" * 8)
    # What does not need it can still be read.
    assert len(filled.reader.results(make_run(7).id)) == 3


def test_doubled_results_are_named(filled: Store) -> None:
    if filled._engine.dialect.name == "sqlite":
        # SQLite cannot drop a constraint: the table is made anew without it, as a bad repair would.
        statements = [
            "CREATE TABLE copy AS SELECT * FROM results",
            "DROP TABLE results",
            "ALTER TABLE copy RENAME TO results",
        ]
    else:
        statements = ["ALTER TABLE results DROP CONSTRAINT uq_results_run_id_case_id"]
    columns = "run_id, case_id, family, version, device, status, timer, rounds, document"
    double = (
        f"INSERT INTO results (id, {columns}) SELECT id + 100, {columns} FROM results WHERE case_id = 'b'"
    )
    work_by_hand(filled, *statements, double)
    assert "run 00000007000000000000000000000000: b is stored 2 times" in check(filled)
