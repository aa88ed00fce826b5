"""What all pages share: the menu, the style sheet, the empty state."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import streamlit as st
from markupsafe import Markup

from dashboard.links import COMMON, href
from dashboard.markup import EMPTY, show
from dashboard.pages import PAGES
from dashboard.router import LINK

_STYLE = Path(__file__).with_name("styles") / "common.css"
_MENU = Markup('<nav class="ps-menu" aria-label="Pages"><b>perfsuite</b><ul>{}</ul></nav>')


def frame(current: str) -> None:
    """The style sheet and the menu, which keeps the visitor's repository and machine."""
    st.html(_STYLE)
    kept = {name: st.query_params.get(name) for name in COMMON}
    entries = [
        Markup('<li><a class="{}" href="{}"{}>{}</a></li>').format(
            LINK,
            href(page.key, **kept),
            Markup(' aria-current="page"') if page.key == current else EMPTY,
            page.title,
        )
        for page in PAGES
        if page.in_menu
    ]
    show(_MENU.format(EMPTY.join(entries)))


def nothing_measured(what: str = "Nothing has been measured yet.") -> NoReturn:
    """Ends the page: there is nothing to show, so it says how to get something."""
    empty(what, "Measure the working tree, and come back:", "perfsuite run")


def empty(what: str, how: str, commands: str) -> NoReturn:
    """Ends a page that has nothing to show: what is missing, and the commands that bring it."""
    st.info(what)
    # Not st.code, which brings a highlighter for two hundred languages with it.
    show(Markup('<div class="ps-empty"><p>{}</p><pre>{}</pre></div>').format(how, commands))
    st.stop()
