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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sample_history import PREFILL, fill

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


@contextmanager
def served(database: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--db", database, "--port", str(port), "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", START, *arguments], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/_stcore/health", process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0, "Ctrl-C did not end it cleanly"


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(WAIT_S * 10):
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or "/usr/bin/chromium"
    # The limit of a page does not hold for expect(), whose own 5 s are too short on a busy machine.
    expect.set_options(timeout=WAIT_S * 1000)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


def watch(page: Page) -> list[str]:
    """Collects what must not happen: errors on the console, requests to another host."""
    trouble: list[str] = []
    page.on("console", lambda message: message.type == "error" and trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: _outside(request.url) and trouble.append(f"request to {request.url}"))
    return trouble


def _outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1"


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
    return parse_qs(urlsplit(url).query)


def test_a_visitor_sees_the_comparison_and_the_trend_and_can_share_a_choice(
    browser: Browser, tmp_path: Path
) -> None:
    with served(fill(tmp_path / "perfsuite.db")) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT_S * 1000)
        trouble = watch(page)
        page.goto(url)

        expect(page.get_by_text("1 case slower, 1 faster")).to_be_visible()
        charts = page.locator(".js-plotly-plot")
        expect(charts.first).to_contain_text("change (%)")
        expect(charts.first).to_contain_text(PREFILL)
        expect(charts.nth(1)).to_contain_text("device time, median (ms)")
        assert query(page.url) == {}

        select(page, "Case", "matvec_w4/matvec[n=4096]")
        expect(charts.nth(1)).to_contain_text("device time, median (µs)")
        page.wait_for_url(lambda url: query(url) == {"case": ["matvec_w4/matvec[n=4096]"]})

        shared = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="dark")
        trouble_shared = watch(shared)
        shared.goto(page.url)
        expect(shared.locator(".js-plotly-plot").nth(1)).to_contain_text("device time, median (µs)")
        wide = shared.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, "the page scrolls sideways on a telephone"

        page.go_back()
        expect(charts.nth(1)).to_contain_text("device time, median (ms)")
        assert [*trouble, *trouble_shared] == []
        page.close()
        shared.close()
