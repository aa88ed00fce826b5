"""What is kept of a store, and under which key."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

from dashboard.data import Database


def held() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_made_anew_is_another_database(tmp_path: Path) -> None:
    file = tmp_path / "perfsuite.db"
    seen = []
    for number in range(4):
        file.write_text(str(number))
        seen.append(Database.at(str(file)))
        file.unlink()
    assert len(set(seen)) == 4


def test_files_that_are_gone_are_let_go(tmp_path: Path) -> None:
    st.cache_resource.clear()
    before = held()
    for number in range(40):
        file = tmp_path / f"{number}.db"
        file.write_text("")
        Database.at(str(file))
    assert held() <= before + 5
    st.cache_resource.clear()
    assert held() <= before


def test_a_server_is_never_missing() -> None:
    assert not Database.at("postgresql://user@host/name").missing
    assert Database.at("sqlite:///no/such/file.db").missing
