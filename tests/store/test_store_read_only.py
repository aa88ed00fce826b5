"""Opening for reading only: nothing changes, and what cannot be read is told with a next step."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest
from postgres import PostgresServer
from store_example import make_comparison, make_result, make_run

from perfsuite.errors import StoreError, StoreUnwritable, UsageError
from perfsuite.store import open_reader, open_store
from perfsuite.store.engine import make_engine, parse_address
from perfsuite.store.schema import REVISION, VERSION_TABLE, migrate

ROOT = Path(__file__).parents[2]


def fill(url: str | Path) -> None:
    with open_store(url) as store:
        store.start_comparison(make_comparison())
        store.start_run(make_run())
        store.save_result(make_run().id, make_result("a"))


def read_as_a_stranger(path: Path) -> str:
    """What a process reads that minds file permissions, as those of root do not."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/store'}"}
    mindful = ["setpriv", "--bounding-set=-dac_override"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*mindful, sys.executable, "-c", textwrap.dedent(_READ), str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_everything_is_read_and_nothing_written(store_url: str) -> None:
    fill(store_url)
    with open_reader(store_url) as reader:
        assert reader.results(make_run().id) == [make_result("a")]
        assert reader.comparisons() == [make_comparison()]
        assert reader.jobs.jobs() == reader.alerts() == []
        assert reader.trends.cases() == ["a"]
        with pytest.raises(Exception, match=r"read-?only"), reader._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM results")


def test_what_is_added_later_is_seen(store_url: str) -> None:
    fill(store_url)
    with open_reader(store_url) as reader, open_store(store_url) as store:
        before = reader.trends.stamp()
        store.save_result(make_run().id, make_result("b"))
        assert reader.trends.cases() == ["a", "b"]
        assert reader.trends.stamp() != before


def test_the_file_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "50% of?a#b c.db"
    fill(path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with open_reader(path) as reader:
        assert len(reader.runs()) == 3
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_another_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "perfsuite.db"
    fill(path)
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")
    with open_reader(path) as reader:
        assert len(reader.runs()) == 3
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_read_only_file_in_a_read_only_folder(tmp_path: Path, journal: str) -> None:
    folder = tmp_path / "closed"
    path = folder / "perfsuite.db"
    fill(path)
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA journal_mode={journal}")
    raw.close()
    path.chmod(0o444)
    folder.chmod(0o555)
    assert read_as_a_stranger(path) == "3 runs, 1 result\n"
    assert [file.name for file in folder.iterdir()] == ["perfsuite.db"]


def test_a_log_that_cannot_be_read_is_not_ignored(tmp_path: Path) -> None:
    """A copy of a database in use: its newest runs are in the log alone."""
    folder = tmp_path / "closed"
    folder.mkdir()
    with open_store(tmp_path / "perfsuite.db") as store:
        store.start_run(make_run())
        for name in ("perfsuite.db", "perfsuite.db-wal"):
            shutil.copy(tmp_path / name, folder / name)
            (folder / name).chmod(0o444)
    folder.chmod(0o555)
    assert "StoreUnwritable" in read_as_a_stranger(folder / "perfsuite.db")


def test_a_writer_in_the_middle_of_its_work_is_no_obstacle(tmp_path: Path) -> None:
    fill(tmp_path / "perfsuite.db")
    raw = sqlite3.connect(tmp_path / "perfsuite.db", isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("DELETE FROM results")
    with open_reader(tmp_path / "perfsuite.db") as reader:
        assert reader.trends.cases() == ["a"]
    raw.execute("ROLLBACK")
    raw.close()


def test_a_lock_is_not_waited_for_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfsuite.store.read_only.BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "perfsuite.db"
    fill(path)
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA journal_mode=DELETE")
    with open_reader(path) as reader:
        raw.execute("BEGIN EXCLUSIVE")
        for read in (reader.runs, lambda: open_reader(path)):
            with pytest.raises(StoreError, match="locked") as caught:
                read()
            assert "try again" in caught.value.next_step
        raw.execute("ROLLBACK")
        assert len(reader.runs()) == 3
    raw.close()


def test_a_servers_lock_is_not_waited_for_in_vain(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfsuite.store.read_only.BUSY_TIMEOUT_S", 1)
    fill(postgres_url)
    with open_reader(postgres_url) as reader, psycopg.connect(postgres_url) as migrating:
        migrating.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="locked") as caught:
            reader.runs()
        assert "try again" in caught.value.next_step
        migrating.rollback()
        assert len(reader.runs()) == 3


def test_an_older_database_is_not_migrated(store_url: str) -> None:
    migrate(parse_address(store_url), "0004")
    with pytest.raises(StoreError, match=f"tables of version 0004.* reads version {REVISION}") as caught:
        open_reader(store_url)
    assert "perfsuite db migrate" in caught.value.next_step
    engine = make_engine(parse_address(store_url))
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    engine.dispose()
    assert found == "0004"


def test_a_newer_database_is_refused_by_name(store_url: str) -> None:
    with open_store(store_url) as store, store._engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0999'")
    with pytest.raises(StoreError, match=r"written by a newer perfsuite.*0999"):
        open_reader(store_url)


def test_what_is_missing_or_empty_is_not_made(tmp_path: Path, postgres_url: str) -> None:
    with pytest.raises(StoreError, match="there is no database at") as caught:
        open_reader(tmp_path / "missing.db")
    assert "perfsuite run" in caught.value.next_step
    (tmp_path / "empty.db").touch()
    for url in (tmp_path / "empty.db", postgres_url):
        with pytest.raises(StoreError, match="holds nothing of perfsuite yet") as caught:
            open_reader(url)
        assert "perfsuite run" in caught.value.next_step
    assert [file.name for file in tmp_path.iterdir()] == ["empty.db"]
    with psycopg.connect(postgres_url) as raw:
        assert raw.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == []


def test_what_is_no_database_of_ours_is_refused(tmp_path: Path, postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        open_reader(tmp_path)
    notes = tmp_path / "notes.txt"
    notes.write_text("not a database " * 100)
    with pytest.raises(StoreError, match="it is not a SQLite database"):
        open_reader(notes)
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(StoreError, match=r"belongs to another program.*songs"):
        open_reader(tmp_path / "other.db")
    with pytest.raises(UsageError, match="in memory"):
        open_reader("sqlite://")
    with pytest.raises(StoreError, match="does not exist"):
        open_reader(postgres_server.url("nowhere"))
    with pytest.raises(StoreUnwritable, match="no connection"):
        open_reader("postgresql://user@127.0.0.1:1/name")


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "perfsuite.db"
    fill(path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="it is damaged"), open_reader(path) as reader:
        reader.trends.points([1])


_READ = """
    import sys
    from perfsuite.errors import PerfsuiteError
    from perfsuite.store import open_reader
    from store_example import make_run
    try:
        with open_reader(sys.argv[1]) as reader:
            print(f"{len(reader.runs())} runs, {len(reader.results(make_run().id))} result")
    except PerfsuiteError as error:
        print(type(error).__name__, error)
"""
