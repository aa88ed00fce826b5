"""Every page on hostile names, and on databases that are broken, locked, old, gone or large."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from browser import PHONE, follow, served, settled, sideways, visitor
from hostile_history import MARKER, addresses, fill_hostile, injected
from playwright.sync_api import Browser
from postgres import PostgresServer
from sample_history import GPU, PREFILL, REPOSITORY, fill, result, sample_id, sample_run, sample_sha
from streamlit.testing.v1 import AppTest
from visiting import markup, shown, visit_app

from dashboard.links import href
from dashboard.pages import PAGES
from perfsuite.model import Block, Round, Status
from perfsuite.store import open_store, read_only
from perfsuite.store.schema import VERSION_TABLE

KEYS = [page.key for page in PAGES]
HERE = {"repository": REPOSITORY, "machine": GPU.fingerprint}
PASSWORD = "open-sesame"
_MADE = f"""() => [window.{MARKER} === undefined ? 0 : 1, document.querySelectorAll(
  `.{MARKER}, [onerror], [onload], [onclick], [onfocus], [onmouseover], a[href^="javascript:" i]`).length]"""
_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode=EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fill_hostile(tmp_path_factory.mktemp("hostile") / "perfsuite.db")


def every_page(monkeypatch: pytest.MonkeyPatch, path: str, **query: str) -> Iterator[AppTest]:
    """Each page of the application; none may fail with a bug."""
    for key in KEYS:
        yield checked(monkeypatch, path, key, query)


def checked(
    monkeypatch: pytest.MonkeyPatch, path: str, key: str, query: dict[str, str] | dict[str, str | list[str]]
) -> AppTest:
    page = visit_app(monkeypatch, path, key, **query)
    assert "The server's log has the traceback" not in shown(page), key
    assert injected(markup(page)) == [], key
    return page


def test_hostile_names_are_text_on_every_page(monkeypatch: pytest.MonkeyPatch, hostile: str) -> None:
    seen = set()
    for key, query in addresses():
        page = checked(monkeypatch, hostile, key, query)
        assert all(not block.allow_html for block in page.markdown)
        seen.add(key)
    assert seen == set(KEYS)


def test_a_browser_takes_no_hostile_name_for_markup(browser: Browser, hostile: str) -> None:
    with served(hostile) as url, visitor(browser) as (page, trouble):
        page.goto(url)
        settled(page)
        for key, query in addresses():
            follow(page, href(key, **query))
            made = page.evaluate(_MADE)
            assert made == [0, 0], (key, query)
            page.set_viewport_size(dict(PHONE))  # type: ignore[arg-type]
            assert sideways(page) <= 0, (key, query)
        assert trouble == []


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Another process holds the whole file, as a writer in exclusive mode does."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _LOCK, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin
    assert holder.stdout
    with holder:
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.stdin.close()


def test_a_database_that_is_locked_says_so_on_every_page(
    monkeypatch: pytest.MonkeyPatch, own_history: str
) -> None:
    monkeypatch.setattr(read_only, "BUSY_TIMEOUT_S", 0.05)
    with locked(own_history):
        for page in every_page(monkeypatch, own_history):
            assert "locked" in page.error[0].value
            assert "Next:" in shown(page)


@pytest.mark.parametrize(
    "what", ["text", "older", "newer", "empty file", "other tables", "damaged", "folder"]
)
def test_what_cannot_be_read_is_told_on_every_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "perfsuite.db"
    if what == "text":
        path.write_text("not a database, " * 100)
    elif what == "empty file":
        path.write_bytes(b"")
    elif what == "folder":
        path.mkdir()
    elif what == "other tables":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE runs (id)")
    else:
        open_store(str(path)).close()
        if what == "damaged":
            content = bytearray(path.read_bytes())
            content[100:8000] = b"\xff" * 7900
            path.write_bytes(content)
        else:
            with sqlite3.connect(path) as connection:
                connection.execute(
                    f"UPDATE {VERSION_TABLE} SET version_num = ?", [{"older": "0004"}.get(what, "9")]
                )
    for page in every_page(monkeypatch, str(path)):
        assert page.error or "perfsuite run" in shown(page)
        if what == "older":
            assert "perfsuite db migrate" in shown(page)


@pytest.fixture
def strict_server(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """A database that asks a user for a password, which nobody knows."""
    rules = postgres_server.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'right'")
        rules.write_text(f"local all guest scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
        yield postgres_url.replace("//perfsuite@", f"//guest:{PASSWORD}@")
        rules.write_text(before)
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("DROP ROLE guest")


def test_a_wrong_password_is_told_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, strict_server: str
) -> None:
    for page in every_page(monkeypatch, strict_server):
        assert "password" in page.error[0].value
        assert "Next:" in shown(page)
        assert PASSWORD not in shown(page)


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for page in every_page(monkeypatch, f"postgresql://ada:{PASSWORD}@/perf?host={tmp_path}"):
        assert "Next:" in shown(page)
        assert PASSWORD not in shown(page)


def test_every_page_reads_postgresql(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    query = {"sha": sample_sha("day 5"), "case": PREFILL, "comparison": sample_id("comparison")}
    fill(postgres_url)
    for page in every_page(monkeypatch, postgres_url, **HERE, **query):
        assert not page.error
        assert len(markup(page)) > 500


@pytest.mark.parametrize("what", ["empty", "older", "newer"])
def test_other_tables_on_a_server_are_told(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, what: str
) -> None:
    if what != "empty":
        open_store(postgres_url).close()
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            version = {"older": "0004", "newer": "9"}[what]
            connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'".encode())
    for page in every_page(monkeypatch, postgres_url):
        assert page.error
        said = {"empty": "perfsuite run", "older": "perfsuite db migrate", "newer": "newer"}[what]
        assert said in shown(page)


def test_a_database_that_is_deleted_while_it_is_looked_at_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, own_history: str
) -> None:
    path = Path(own_history)
    for _ in every_page(monkeypatch, str(path)):
        pass
    path.unlink()
    for page in every_page(monkeypatch, str(path)):
        assert page.error or "perfsuite run" in shown(page)
    assert not path.exists()


def test_a_commit_and_a_case_that_are_gone_are_told(monkeypatch: pytest.MonkeyPatch, history: str) -> None:
    gone = "0123456789abcdef" * 2
    for key in KEYS:
        names = ("sha", "case", "comparison", "base", "head", "run", "alert", "pin", "from", "to", "machine")
        checked(monkeypatch, history, key, dict.fromkeys(names, gone))


def test_one_point_of_each_status_is_enough_for_every_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "one.db")
    run = sample_run("only", 0, repository=REPOSITORY)
    one = result(PREFILL, 1e6, 1, blocks=(Block(0, 0, 1, 1, (Round(1e6, 0, 0),)),))
    gone = [
        replace(result(f"a/b[n={status}]", 1e6, 1), status=status, blocks=(), message="why")
        for status in Status
    ]
    with open_store(path) as store:
        store.save_all([run], {run.id: [one, *gone]})
    cases = [PREFILL, *(item.case for item in gone)]
    checked(monkeypatch, path, "trends", {**HERE, "case": cases})
    for case in cases:
        checked(monkeypatch, path, "case", {**HERE, "case": case})
    for _ in every_page(monkeypatch, path, **HERE, sha=run.commit.sha):
        pass


def test_three_thousand_cases_are_no_error_on_any_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "wide.db")
    runs = [sample_run(f"day {day}", day, repository=REPOSITORY) for day in range(2)]
    block = Block(0, 0, 1, 1, (Round(1e6, 0, 0),))
    wide = [result("a/b[n=0]", 1e6, 1, blocks=(block,))]
    wide = [replace(wide[0], case=f"f{n % 40}/b[n={n}]", family=f"f{n % 40}/b") for n in range(3000)]
    with open_store(path) as store:
        store.save_all(runs, {run.id: wide for run in runs})
    for _ in every_page(monkeypatch, path, **HERE, sha=runs[0].commit.sha, case=wide[7].case):
        pass
