"""Opening: what is created, and what is refused with a next step instead of a traceback."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest
from postgres import PostgresServer
from store_example import make_result, make_run

from perfsuite.errors import Exit, StoreError, StoreUnwritable, UsageError
from perfsuite.store import check, open_store
from perfsuite.store.engine import parse_address, writing
from perfsuite.store.schema import VERSION_TABLE, migrate

ROOT = Path(__file__).parents[2]


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own that minds file permissions, as those of root do not."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/store'}"}
    mindful = ["setpriv", "--bounding-set=-dac_override"] if os.getuid() == 0 else []
    return subprocess.run(
        [*mindful, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_folder_and_file_are_created(tmp_path: Path) -> None:
    path = tmp_path / "deep" / ".perfsuite" / "perfsuite.db"
    with open_store(path) as store:
        assert store.reader.runs() == []
        assert store.label == str(path)
        with sqlite3.connect(path) as raw:
            assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    # The database must not make the repository around it look changed.
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_relative_paths_urls_and_odd_names_mean_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "50% of?a#b c.db"
    with open_store(name) as store:
        store.start_run(make_run())
        with open_store(store.url, create=False) as again:
            assert again.reader.runs() == [make_run()]
    assert (tmp_path / name).exists()


def test_a_missing_file_is_refused_when_it_is_not_to_be_created(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database at") as caught:
        open_store(tmp_path / "missing.db", create=False)
    assert "perfsuite run" in caught.value.next_step
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("", "is empty"),
        ("mysql://user@host/name", "'mysql' are not supported"),
        ("://", "cannot be read"),
        ("postgresql://user:secret@host:port/name", "cannot be read"),
    ],
)
def test_other_addresses_are_refused(address: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        open_store(address)
    assert "secret" not in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(StoreError, match="it is not a SQLite database") as caught:
        open_store(path)
    assert "--db" in caught.value.next_step
    assert path.read_text() == "not a database " * 100


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(StoreError, match=r"belongs to another program.*songs"):
        open_store(path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "perfsuite.db"
    with open_store(path) as store:
        store.start_run(make_run())
        for number in range(200):
            store.save_result(make_run().id, make_result(f"case{number}"))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="it is damaged"):
        open_store(path).reader.results(make_run().id)


def test_a_cut_off_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "perfsuite.db"
    with open_store(path) as store:
        store.start_run(make_run())
    path.write_bytes(path.read_bytes()[: 3 * 4096])
    with pytest.raises(StoreError, match="it is damaged"), open_store(path) as store:
        store.start_run(make_run(2))


def test_a_newer_database_is_refused_by_name(store_url: str) -> None:
    with open_store(store_url) as store, store._engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0999'")
    with pytest.raises(StoreError, match=r"written by a newer perfsuite.*0999") as caught:
        open_store(store_url)
    assert "update perfsuite" in caught.value.next_step
    assert caught.value.exit_code == Exit.USAGE


def test_a_read_only_file_is_unwritable(tmp_path: Path) -> None:
    path = tmp_path / "perfsuite.db"
    open_store(path).close()
    path.chmod(0o444)
    done = run_python(_OPEN, path)
    assert done.stdout.startswith("StoreUnwritable 3"), done.stdout + done.stderr
    assert "is read-only" in done.stdout


def test_a_read_only_folder_is_unwritable(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    for path in (folder / "perfsuite.db", folder / ".perfsuite" / "perfsuite.db"):
        done = run_python(_OPEN, path)
        assert done.stdout.startswith("StoreUnwritable 3"), done.stdout + done.stderr
        assert list(folder.iterdir()) == []


def test_a_full_disk_in_the_middle_of_a_run_keeps_what_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "perfsuite.db"
    done = run_python(_FILL, path)
    assert done.stdout.startswith("StoreUnwritable 3"), done.stdout + done.stderr
    saved = int(done.stdout.splitlines()[-1])
    assert saved > 5
    with open_store(path) as store:
        assert check(store) == []
        # What save_result returned from is stored; the one that failed is not, not even in part.
        assert store.reader.finished_cases(make_run().id) == {f"case{number}" for number in range(saved)}
        store.save_result(make_run().id, make_result("after"))


def test_a_full_disk_at_creation_is_unwritable(tmp_path: Path) -> None:
    done = run_python(_FILL, tmp_path / "perfsuite.db", 8192)
    assert done.stdout.startswith("StoreUnwritable 3"), done.stdout + done.stderr


def test_a_lock_held_for_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfsuite.store.engine.BUSY_TIMEOUT_S", 0.1)
    with open_store(tmp_path / "perfsuite.db") as store:
        raw = sqlite3.connect(tmp_path / "perfsuite.db", isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnwritable, match="locked for too long"):
            store.start_run(make_run())
        # Readers are never blocked by a writer.
        assert store.reader.runs() == []
        raw.execute("ROLLBACK")
        raw.close()
        store.start_run(make_run())


def test_who_does_not_want_to_wait_for_a_lock_is_told_soon(store_url: str) -> None:
    with open_store(store_url) as store, open_store(store_url, wait_s=0.05) as hasty:
        store.start_run(make_run())
        with writing(store._engine).begin() as connection:
            connection.exec_driver_sql("UPDATE runs SET subject = 'x'")
            with pytest.raises(StoreUnwritable, match="locked for too long") as caught:
                hasty.start_run(make_run())
            assert "try again" in caught.value.next_step
        hasty.start_run(make_run())
        assert store.reader.runs() == [make_run()]


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    with pytest.raises(StoreUnwritable, match="no connection") as caught:
        open_store("postgresql://user:secret@127.0.0.1:1/name")
    assert "secret" not in str(caught.value)
    with pytest.raises(StoreUnwritable) as caught:
        open_store("postgresql://user@127.0.0.1:1/name?password=secret")
    assert "secret" not in str(caught.value)


def test_a_missing_database_on_a_server_is_told(postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        open_store(postgres_server.url("nowhere"))


def test_a_servers_database_may_be_shared(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE songs (id int); CREATE TABLE alembic_version (version_num text)")
        connection.execute("INSERT INTO alembic_version VALUES ('theirs')")
    with open_store(postgres_url) as store:
        store.start_run(make_run())
        assert check(store) == []


def test_a_servers_database_with_our_names_is_refused(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE runs (id int)")
    with pytest.raises(StoreError, match=r"belongs to another program.*runs"):
        open_store(postgres_url)


def test_a_servers_database_with_a_name_that_we_need_now_is_left_alone(postgres_url: str) -> None:
    migrate(parse_address(postgres_url), "0002")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE jobs (id int)")
    with pytest.raises(StoreError, match=r"a table of a name that perfsuite needs.*jobs") as caught:
        open_store(postgres_url)
    assert "database of its own" in caught.value.next_step
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(f"SELECT version_num FROM {VERSION_TABLE}".encode()).fetchall() == [
            ("0002",)
        ]


@pytest.mark.parametrize(
    ("grant", "what"),
    [("", "sees no schema"), ("; GRANT USAGE ON SCHEMA public TO guest", "permission denied")],
)
def test_a_role_without_rights_is_told(
    postgres_server: PostgresServer, postgres_url: str, grant: str, what: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN {grant}".encode())
    with pytest.raises(StoreUnwritable, match=what):
        open_store(postgres_url.replace("perfsuite@", "guest@"))


_OPEN = """
    import sys
    from perfsuite.errors import PerfsuiteError
    from perfsuite.store import open_store
    try:
        open_store(sys.argv[1])
    except PerfsuiteError as error:
        print(type(error).__name__, int(error.exit_code), error)
"""

_FILL = """
    import resource, signal, sys
    from perfsuite.errors import PerfsuiteError
    from perfsuite.store import open_store
    from store_example import make_result, make_run
    # No file may grow beyond this: to SQLite it looks like a full disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = int(sys.argv[2]) if len(sys.argv) > 2 else 500_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    saved = 0
    try:
        store = open_store(sys.argv[1])
        store.start_run(make_run())
        while True:
            store.save_result(make_run().id, make_result(f"case{saved}", tuple(map(float, range(500)))))
            saved += 1
    except PerfsuiteError as error:
        print(type(error).__name__, int(error.exit_code), error)
    print(saved)
"""
