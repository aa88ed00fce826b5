"""The page over a real SQLite store, run by Streamlit's own test driver."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st
from sample_history import DECODE, GPU, IMPORTED, LAPTOP, PREFILL, fill, sample_id
from streamlit.testing.v1 import AppTest

import dashboard
from perfsuite.store import open_store
from perfsuite.store.schema import VERSION_TABLE

APP = Path(dashboard.__file__).with_name("app.py")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fill(tmp_path_factory.mktemp("store") / "perfsuite.db")


@pytest.fixture(autouse=True)
def no_cache_between_tests() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


def visit(monkeypatch: pytest.MonkeyPatch, database: str, **query: str) -> AppTest:
    monkeypatch.setenv("PERFSUITE_DB", database)
    page = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception, page.exception
    return page


def texts(page: AppTest) -> str:
    blocks = [*page.markdown, *page.caption, *page.info, *page.error, *page.warning, *page.code]
    return "\n".join(str(block.value).replace("\\", "") for block in blocks)


def box(page: AppTest, key: str) -> str:
    return str(page.selectbox(key=key).value)


def test_without_a_database_it_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = visit(monkeypatch, str(tmp_path / "none.db"))
    assert "perfsuite run" in texts(page)
    assert not (tmp_path / "none.db").exists()


def test_an_empty_database_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    open_store(str(tmp_path / "empty.db")).close()
    assert "perfsuite run" in texts(visit(monkeypatch, str(tmp_path / "empty.db")))


def test_a_file_that_is_no_database_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    page = visit(monkeypatch, str(tmp_path / "notes.txt"))
    assert "notes.txt" in page.error[0].value.replace("\\", "")
    assert not page.dataframe


def test_a_database_of_a_newer_version_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    open_store(str(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    page = visit(monkeypatch, str(path))
    assert page.error
    assert "Next:" in texts(page)


def test_an_unsupported_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mysql" in visit(monkeypatch, "mysql://host/name").error[0].value


def test_the_last_comparison_is_told_in_words(monkeypatch: pytest.MonkeyPatch, filled: str) -> None:
    page = visit(monkeypatch, filled)
    assert "1 case slower, 1 faster" in page.error[0].value
    table = page.dataframe[0].value
    assert list(table["case"][:2]) == [PREFILL, DECODE]
    assert list(table["verdict"][:2]) == ["▲ regressed", "▼ improved"]
    assert table["change (%)"][0] == pytest.approx(5.2, abs=0.3)
    assert "machine code" in table["why"][0]


def test_runs_show_their_counts_and_other_projects(monkeypatch: pytest.MonkeyPatch, filled: str) -> None:
    table = visit(monkeypatch, filled).dataframe[1].value.set_index("subject")
    assert table.loc["Change day 3 <b>of</b> the kernels", ["ok", "incorrect"]].tolist() == [2, 1]
    assert table.loc["Change laptop <b>of</b> the kernels", ["ok", "failed"]].tolist() == [1, 1]
    assert table.loc["Change laptop <b>of</b> the kernels", "kind"] == "run, unfinished"
    imported = table.loc["Change imported <b>of</b> the kernels"]
    assert (imported["project"], imported["kind"]) == ("other/project", "imported")


def test_the_address_chooses_case_environment_and_run(monkeypatch: pytest.MonkeyPatch, filled: str) -> None:
    run = sample_id("run day 3")
    page = visit(monkeypatch, filled, case=DECODE, environment=GPU.fingerprint, run=run)
    assert (box(page, "case"), box(page, "environment"), box(page, "run")) == (DECODE, GPU.fingerprint, run)
    assert not page.warning
    results = page.dataframe[2].value
    assert list(results["status"]) == ["incorrect", "ok", "ok"]
    assert results["message"][0] == "error_rms 0.4 > 0.02"
    assert results["median (µs)"].isna().tolist() == [True, False, False]


def test_choosing_a_case_writes_the_address(monkeypatch: pytest.MonkeyPatch, filled: str) -> None:
    page = visit(monkeypatch, filled)
    assert "case" not in page.query_params
    page.selectbox(key="case").select(IMPORTED).run()
    assert not page.exception
    assert page.query_params["case"] == IMPORTED
    assert "imported" in texts(page)


def test_an_address_that_names_nothing_here_warns_and_shows_the_newest(
    monkeypatch: pytest.MonkeyPatch, filled: str
) -> None:
    page = visit(monkeypatch, filled, case="no[such]", environment="x", run="`_*[a](b)", comparison="")
    assert len(page.warning) == 4
    assert box(page, "case") == PREFILL
    assert len(page.dataframe[2].value) == 12


def test_times_of_the_reference_are_labelled(monkeypatch: pytest.MonkeyPatch, filled: str) -> None:
    page = visit(
        monkeypatch, filled, run=sample_id("run laptop"), case=PREFILL, environment=LAPTOP.fingerprint
    )
    assert "say nothing about the kernels" in texts(page)
    assert "Timer: wall clock of reference, CPU" in texts(page)


def test_device_time_and_wall_clock_never_share_an_axis(monkeypatch: pytest.MonkeyPatch, filled: str) -> None:
    page = visit(monkeypatch, filled, case=PREFILL, environment="all")
    captions = [caption.value for caption in page.caption if caption.value.startswith("Runs, oldest left")]
    assert len(captions) == 2


def test_the_page_imports_neither_torch_nor_triton() -> None:
    code = (
        "import sys, dashboard.app, dashboard.command;"
        "print([m for m in ('torch', 'triton', 'github3', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout
    assert "triton" not in done.stdout
