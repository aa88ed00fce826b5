"""The dashboard as a person gets it: the real command, a real server, a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

import dashboard

ROOT = Path(dashboard.__file__).parents[1]
START = """
import typer
from dashboard.command import register
app = typer.Typer()
register(app)
app(prog_name="perfsuite")
"""
WAIT_S = 60
"""Long enough for a machine that does other things: nothing here is a statement about speed."""
PHONE = {"width": 400, "height": 800}
DESK = {"width": 1440, "height": 900}


@contextmanager
def served(database: str, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a running dashboard. `options` are those of `perfsuite dashboard`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--db", database, "--port", str(port), "--no-browser", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})}
    process = subprocess.Popen([sys.executable, "-c", START, *arguments], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/_stcore/health", process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 0, "Ctrl-C did not end it cleanly"


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(WAIT_S * 10):
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium of this machine. Tests take the fixture `browser`."""
    path = shutil.which("chromium") or "/usr/bin/chromium"
    # The limit of a page does not hold for expect(), whose own 5 s are too short on a busy machine.
    expect.set_options(timeout=WAIT_S * 1000)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@contextmanager
def visitor(
    browser: Browser, *, viewport: Mapping[str, int] = DESK, color_scheme: str = "light", **options: object
) -> Iterator[tuple[Page, list[str]]]:
    """A page of a visitor's own and the list of what must not happen (see `watch`)."""
    page = browser.new_page(viewport=dict(viewport), color_scheme=color_scheme, **options)  # type: ignore[arg-type]
    page.set_default_timeout(WAIT_S * 1000)
    trouble = watch(page)
    try:
        yield page, trouble
    finally:
        page.close()


def watch(page: Page) -> list[str]:
    """Collects what must not happen: errors on the console, requests to another host, answers that fail."""
    trouble: list[str] = []
    page.on("console", lambda message: message.type == "error" and trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: _outside(request.url) and trouble.append(f"request to {request.url}"))
    page.on("response", lambda response: _failed(response) and trouble.append(f"no {response.url}"))
    page.on("dialog", lambda dialog: (trouble.append(f"dialog {dialog.message}"), dialog.dismiss()))
    return trouble


def _outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1"


def _failed(response: Response) -> bool:
    return response.status >= 400


def settled(page: Page) -> None:
    """Waits until Streamlit has drawn the page and runs nothing any more."""
    page.wait_for_function(
        """() => {
          const app = document.querySelector('[data-testid="stApp"]');
          return app && app.getAttribute("data-test-script-state") === "notRunning"
            && app.getAttribute("data-test-connection-state") === "CONNECTED"
            && document.querySelector('[data-testid="stMain"] [data-testid="stElementContainer"]');
        }"""
    )


def sideways(page: Page) -> int:
    """Pixels by which a page is wider than its window: what scrolls, scrolls inside itself."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def select(page: Page, label: str, option: str) -> None:
    """Chooses as a person does, who has stopped scrolling before the click.

    A click of Playwright scrolls by itself, and Streamlit closes an open list on scrolling: on a busy machine
    the event of that scroll comes after the list was opened.
    """
    box = page.get_by_role("combobox", name=label)
    box.scroll_into_view_if_needed()
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box.click()
    page.get_by_role("option", name=option).click()


def query(url: str) -> dict[str, list[str]]:
    """The parameters of an address."""
    return parse_qs(urlsplit(url).query)


def follow(page: Page, address: str) -> None:
    """Goes to an address as a click on a link of ours does: without loading the page anew."""
    page.evaluate(
        """address => {
          const link = document.createElement("a");
          link.className = "ps";
          link.setAttribute("href", address);
          document.body.append(link);
          link.click();
          link.remove();
        }""",
        address,
    )
    page.wait_for_url(lambda url: _same(url, address))
    settled(page)


def _same(url: str, address: str) -> bool:
    pages = [urlsplit(one).path.rpartition("/")[2].strip(".") for one in (url, address)]
    return pages[0] == pages[1] and query(url) == query(address)
