"""What the tests of the dashboard share."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from browser import chromium, served
from playwright.sync_api import Browser
from sample_history import fill

sys.path.insert(0, str(Path(__file__).parents[1]))

from postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(autouse=True)
def no_cache_between_tests() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample history in a SQLite file. For reading only: who writes takes `own_history`."""
    return fill(tmp_path_factory.mktemp("history") / "perfsuite.db")


@pytest.fixture
def own_history(history: str, tmp_path: Path) -> str:
    """A copy of it for one test."""
    return str(shutil.copy(history, tmp_path / "perfsuite.db"))


@pytest.fixture(scope="session")
def url(history: str) -> Iterator[str]:
    """The address of a server that shows the sample history, read-only."""
    with served(history) as address:
        yield address


# Of a module, not of the session: Playwright's event loop would be in the way of other tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made
