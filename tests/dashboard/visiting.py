"""Pages over a real store, run by Streamlit's own test driver."""

from __future__ import annotations

import html

import pytest
from streamlit.testing.v1 import AppTest


def _script(path: str, module: str) -> None:
    from dashboard.data import Database
    from dashboard.pages import Page

    Page(module, module, module).show(Database.at(path))


def visit_page(path: str, module: str, **query: str | list[str]) -> AppTest:
    """The page of a module at an address; it must not raise."""
    return rerun(_at(path, module, **query))


def refused(path: str, module: str, **query: str | list[str]) -> str:
    """What a page raises that cannot be shown; the application turns it into a message."""
    (error,) = _at(path, module, **query).run().exception
    return str(error.message)


def _at(path: str, module: str, **query: str | list[str]) -> AppTest:
    page = AppTest.from_function(_script, default_timeout=60, kwargs={"path": path, "module": module})
    for key, value in query.items():
        page.query_params[key] = value
    return page


def rerun(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception, page.exception
    return page


def shown(page: AppTest) -> str:
    """Everything that the page says, as text and markup, unescaped."""
    blocks = [
        *page.markdown,
        *page.caption,
        *page.info,
        *page.error,
        *page.warning,
        *page.success,
        *page.code,
    ]
    words = [str(block.value).replace("\\", "") for block in blocks]
    return html.unescape("\n".join([*words, markup(page)]))


def markup(page: AppTest) -> str:
    """The HTML that the page puts up, as it is."""
    return "\n".join(element.proto.body for element in page.get("html"))


def visit_app(monkeypatch: pytest.MonkeyPatch, path: str, key: str, **query: str | list[str]) -> AppTest:
    """A page as the application shows it, which turns what a page raises into a message."""
    monkeypatch.setenv("PERFSUITE_DB", path)
    page = AppTest.from_function(_app, default_timeout=60, kwargs={"key": key})
    for name, value in query.items():
        page.query_params[name] = value
    return rerun(page)


def _app(key: str) -> None:
    from dashboard import app
    from dashboard.pages import PAGES

    app._show(next(page for page in PAGES if page.key == key))
