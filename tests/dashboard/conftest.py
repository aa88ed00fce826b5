"""What the tests of the dashboard share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamlit as st
from browser import chromium
from playwright.sync_api import Browser
from sample_history import fill


@pytest.fixture(autouse=True)
def no_cache_between_tests() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample history in a SQLite file. For reading only: who writes makes one of their own by `fill`."""
    return fill(tmp_path_factory.mktemp("history") / "perfsuite.db")


# Of a module, not of the session: Playwright's event loop would be in the way of other tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made
