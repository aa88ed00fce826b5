"""The script that Streamlit runs from top to bottom at every visit and every choice."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import streamlit as st

from dashboard import data, router, style
from dashboard.pages import PAGES, Page
from dashboard.words import escape, shorten
from perfsuite.config import load_config, process_environ
from perfsuite.errors import PerfsuiteError

_log = logging.getLogger(__name__)


def main() -> None:
    st.set_page_config(page_title="perfsuite", layout="wide", initial_sidebar_state="collapsed")
    pages = [
        st.Page(
            partial(_show, page), title=f"{page.title} · perfsuite", url_path=page.key, default=not page.key
        )
        for page in PAGES
    ]
    chosen = st.navigation(pages, position="hidden")
    router.follow_links()
    style.frame(chosen.url_path)
    chosen.run()


def _show(page: Page) -> None:
    try:
        config = load_config(Path.cwd(), process_environ(), required=False)
        database = data.Database.at(config.database)
        if database.missing:
            style.nothing_measured(f"There is no database at {database.url} yet.")
        page.show(database)
    except PerfsuiteError as error:
        # Anybody can write an address, and errors tell the value.
        st.error(escape(shorten(error.what)))
        if error.next_step:
            st.markdown(f"Next: {escape(error.next_step)}")
    except Exception as error:
        # A bug: whoever runs the server needs the traceback, a visitor does not.
        _log.exception("the page %s failed", page.title)
        st.error(f"This page failed with {type(error).__name__}. The server's log has the traceback.")


if __name__ == "__main__":
    main()
