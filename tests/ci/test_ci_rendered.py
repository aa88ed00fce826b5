"""The comment as people see it: snapshots of its Markdown, and the page that a real browser makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comment_views import SNAPSHOTS, VIEWS, huge
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, Request, sync_playwright

from ci.body import pull_body
from perfsuite.report.forest import forest_svg

# Colours and sizes near to those of a comment on GitHub.
STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --page: #fff; --line: #d1d9e0; --code: #818b981f;
  --block: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --text: #f0f6fc; --page: #0d1117; --line: #3d444d; --code: #656c7633; --block: #151b23 }
}
body { margin: 16px auto; max-width: 790px; color: var(--text); background: var(--page);
  font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }
h3 { font-size: 1.25em; margin: 0 0 16px }
p, ul, table, pre, details, blockquote { margin: 0 0 16px }
table { border-collapse: collapse; display: block; width: max-content; max-width: 100%; overflow: auto }
th, td { border: 1px solid var(--line); padding: 6px 13px }
code { background: var(--code); padding: .2em .4em; border-radius: 6px; white-space: break-spaces }
code, pre { font: 85% ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }
pre { background: var(--block); padding: 16px; overflow: auto; line-height: 1.45; border-radius: 6px }
pre code { background: none; padding: 0; font-size: 100%; white-space: pre }
blockquote { border-left: .25em solid #9a6700; padding: 0 1em }
"""


def page_of(markdown: str) -> str:
    """The Markdown as a whole page; HTML in it is kept, as GitHub does before it sanitizes."""
    inner = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><body>{inner}</body>"


@pytest.mark.parametrize("name", VIEWS)
def test_the_markdown_is_what_was_reviewed(name: str) -> None:
    # `python tests/ci/comment_views.py` writes them anew: read the difference.
    body = pull_body(VIEWS[name]())
    assert body == (SNAPSHOTS / f"{name}.md").read_text(encoding="utf-8")
    assert body == pull_body(VIEWS[name]()), "the same view gives the same text"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


def opened(browser: Browser, markdown: str, folder: Path) -> tuple[Page, list[str]]:
    """The page, and what should not happen on it: requests, dialogs, errors."""
    file = folder / "comment.html"
    file.write_text(page_of(markdown), encoding="utf-8")
    page, trouble = browser.new_page(viewport={"width": 900, "height": 800}), []

    def requested(request: Request) -> None:
        if request.url != file.as_uri():
            trouble.append(request.url)

    page.on("request", requested)
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(file.as_uri())
    return page, trouble


@pytest.mark.parametrize("name", [*VIEWS, "huge"])
def test_a_browser_shows_it_whole_and_nothing_leaves_the_machine(
    browser: Browser, name: str, tmp_path: Path
) -> None:
    body = pull_body(VIEWS[name]() if name in VIEWS else huge())
    page, trouble = opened(browser, body, tmp_path)
    assert page.locator("h3").first.is_visible()
    assert page.locator("script, img, iframe, object, form, input").count() == 0
    columns = page.evaluate(
        "[...document.querySelectorAll('table')].map(t => [...t.rows].map(r => r.cells.length))"
    )
    assert all(set(rows) == {4} for rows in columns)
    for fold in page.locator("body > details").all():
        assert fold.get_attribute("open") is None
        inside = fold.locator(":scope > :not(summary)").first
        assert not inside.is_visible()
        fold.locator("summary").first.click()
        assert inside.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
    assert trouble == []
    page.close()


def test_the_picture_is_drawn_without_script_and_without_a_request(browser: Browser, tmp_path: Path) -> None:
    view = VIEWS["hostile"]()
    assert view.report is not None
    file = tmp_path / "picture.svg"
    file.write_text(forest_svg(view.report), encoding="utf-8")
    page, trouble = browser.new_page(), []
    page.on("request", lambda request: request.url != file.as_uri() and trouble.append(request.url))
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.tagName") == "svg", "it is well-formed"
    assert page.locator("circle").count() == 2 + 1
    assert page.locator("script, image, a, foreignObject").count() == 0
    assert trouble == []
    page.close()
