"""What a page asks of the store is bounded: it does not grow with the number of results."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import streamlit as st
from sqlalchemy import event
from visiting import visit_page

from dashboard import data
from dashboard.data import Database

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import big_history
from big import around, history
from big.history import Size
from speed.targets import Targets

SHORT, LONG = Size(100, 20, 2, 1), Size(500, 20, 2, 1)
"""4,000 and 20,000 results, of 100 and 500 runs on each of two machines."""
MORE_RUNS = 800
MOST_QUERIES = 70
"""Of one page of which nothing is kept."""
STEPS_A_RUN = 70
"""Of SQLite's machine, for a run more: it is counted, and its place and one point of it may be read. To
go over the results would be 20 of them a run, four steps each at least."""


@dataclass(slots=True)
class Asked:
    """What one visit to a page, of which nothing was kept, asked of the store."""

    queries: int = 0
    steps: int = 0
    """Instructions of SQLite's virtual machine: each row that is looked at takes some."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A short history, and one five times as long."""
    folder = tmp_path_factory.mktemp("large")
    paths = [str(folder / name) for name in ("short.db", "long.db")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(around, "PULLS", 3)
        patch.setattr(around, "NOISE", 2)
        patch.setattr(history, "_RESULTS_OF_A_POOL", 3)
        for path, size in zip(paths, (SHORT, LONG), strict=True):
            big_history.fill(path, size)
    return paths


@contextmanager
def counted(path: str) -> Iterator[Asked]:
    """Counts what the dashboard's reader asks."""
    st.cache_resource.clear()
    asked = Asked()
    engine = data.reader(Database.at(path))._engine

    def query(*_: object) -> None:
        asked.queries += 1

    def step() -> int:
        asked.steps += 1
        return 0

    # The reader opens the file anew for each of its transactions.
    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.set_progress_handler(step, 1)

    event.listen(engine, "after_cursor_execute", query)
    event.listen(engine, "connect", connected)
    try:
        yield asked
    finally:
        event.remove(engine, "after_cursor_execute", query)
        event.remove(engine, "connect", connected)


def visited(path: str, name: str) -> Asked:
    address = dict(Targets.of(path).pages(1))[name].address
    query = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    with counted(path) as asked:
        visit_page(path, name, **query)
    return asked


@pytest.mark.parametrize("name", ["overview", "trends", "compare", "case", "alerts", "noise", "commit"])
def test_a_long_history_asks_no_more_than_a_short_one(stores: list[str], name: str) -> None:
    short, long = (visited(path, name) for path in stores)
    assert 0 < long.queries <= MOST_QUERIES
    assert long.queries <= short.queries + 4
    assert long.steps <= short.steps + STEPS_A_RUN * MORE_RUNS
