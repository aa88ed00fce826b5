"""The server as it is started: its messages, its routes, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import quote

import pytest
from browser import PHONE, ROOT, START, WAIT_S, settled, sideways, visitor
from playwright.sync_api import Browser, expect
from sample_history import NEW_DRIVER, PREFILL, REPOSITORY

from dashboard.pages import PAGES
from dashboard.serving.server import Settings


@contextmanager
def started(database: str, *options: str, end: signal.Signals = signal.SIGINT) -> Iterator[tuple[int, str]]:
    """Port and first line of a server, which has to end well when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--db", database, "--port", str(port), "--no-browser", *options]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", START, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield port, process.stdout.readline()
    finally:
        process.send_signal(end)
        try:
            out, trouble = process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert (process.returncode, out, trouble) == (0, "dashboard ended\n", "")


def get(port: int, path: str, **headers: str) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


@pytest.fixture(scope="module")
def port(history: str) -> Iterator[int]:
    with started(history) as (port, line):
        assert line == f"dashboard: http://127.0.0.1:{port}/  (Ctrl-C ends it)\n"
        yield port


def test_every_page_begins_with_our_first_page(port: int) -> None:
    for page in PAGES:
        answer, text = get(port, f"/{page.key}")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "window.__streamlit" in text


def test_the_first_page_is_sent_once(port: int) -> None:
    answer, _ = get(port, "/")
    again, text = get(port, "/", If_None_Match=answer.headers["ETag"])
    assert (again.status, text) == (304, "")


@pytest.mark.parametrize("path", ["/", "/no-such-page", "/metrics", "/static/none.js"])
def test_no_other_site_may_frame_it(port: int, path: str) -> None:
    answer, _ = get(port, path)
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]


def test_links_of_earlier_comments_lead_to_their_comparison(port: int) -> None:
    answer, _ = get(port, "/?comparison=a%2Fb%26c&x=y")
    assert (answer.status, answer.headers["Location"]) == (307, "compare?comparison=a%2Fb%26c")


@pytest.mark.parametrize("page", ["trends", "commit"])
def test_what_lies_below_a_page_leads_to_the_page(port: int, page: str) -> None:
    answer, _ = get(port, f"/{page}/no/such")
    assert (answer.status, answer.headers["Location"]) == (307, f"/{page}")


def test_it_says_that_it_lives(port: int) -> None:
    assert get(port, "/healthz")[1] == "ok\n"


def test_a_badge_is_a_picture_that_may_be_kept_for_a_minute(port: int) -> None:
    where = f"?repository={quote(REPOSITORY)}&machine={NEW_DRIVER.fingerprint}"
    answer, text = get(port, f"/badge/{quote(PREFILL)}.svg{where}")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert PREFILL.rpartition("/")[2] in text
    path = f"/badge/{quote(PREFILL)}.svg{where}"
    assert get(port, path, If_None_Match=answer.headers["ETag"])[0].status == 304


def test_a_badge_of_an_unknown_case_is_not_kept(port: int) -> None:
    answer, text = get(port, f"/badge/{quote('no<b>/such', safe='')}.svg")
    assert (answer.status, answer.headers["Cache-Control"]) == (404, "no-cache")
    assert "unknown case" in text


def test_metrics_are_text_for_prometheus(port: int) -> None:
    answer, text = get(port, "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "\nperfsuite_store_up 1.0\n" in text


def test_nobody_is_asked_and_nothing_is_told_outside(port: int) -> None:
    """Streamlit's host page may talk to frames of other sites, and programs may drive the pages: not here."""
    config = json.loads(get(port, "/_stcore/host-config")[1])
    assert not config["metricsUrl"]
    assert get(port, "/_stcore/agent/interact")[0].status >= 400


@pytest.fixture(scope="module")
def proxied(history: str) -> Iterator[int]:
    options = ["--base-path", "/team/perf/", "--user-header", "X-User", "--trusted-proxy", "10.0.0.0/8"]
    options += ["--allowed-host", "perf.example.com"]
    with started(history, *options, end=signal.SIGTERM) as (port, line):
        assert f"http://127.0.0.1:{port}/team/perf/ " in line
        yield port


def test_behind_a_proxy_everything_has_its_prefix(proxied: int) -> None:
    assert "window.__streamlit" in get(proxied, "/team/perf/trends")[1]
    assert get(proxied, "/team/perf/_stcore/health")[0].status == 200
    assert get(proxied, "/team/perf/healthz", Host="perf.example.com")[0].status == 200
    assert get(proxied, "/team/perf/healthz", Host="example.com")[0].status == 400
    assert "perfsuite_store_up 1.0" in get(proxied, "/team/perf/metrics")[1]
    assert get(proxied, "/team/perf/badge/x.svg")[0].status == 404
    assert get(proxied, "/healthz")[0].status == 404


@pytest.mark.parametrize("path", ["/", "/metrics", "/badge/x.svg", "/_stcore/stream", "/_stcore/health"])
def test_a_name_that_leads_here_by_somebody_elses_doing_is_refused(port: int, path: str) -> None:
    """A page of that name would be of one origin with ours, for the browser."""
    assert get(port, path, Host="rebound.example")[0].status == 400
    assert get(port, path, Host=f"rebound.example:{port}", Upgrade="websocket")[0].status == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_this_machine_calls_it_by_its_own_names(port: int, host: str) -> None:
    assert get(port, "/healthz", Host=f"{host}:{port}")[0].status == 200


def test_names_are_those_that_were_given() -> None:
    assert "perf.example.com" in Settings("127.0.0.1", 8501, "x.db", allowed=("perf.example.com",)).names
    assert "*" not in Settings("::1", 8501, "x.db").names
    # Shown to the network: nobody knows under which name, unless it is said.
    assert Settings("0.0.0.0", 8501, "x.db").names == ("*",)
    assert "*" not in Settings("0.0.0.0", 8501, "x.db", allowed=("perf.example.com",)).names


@pytest.mark.parametrize(
    ("host", "base", "url"),
    [
        ("0.0.0.0", "", "http://localhost:8501/"),
        ("::1", "perf", "http://[::1]:8501/perf/"),
        ("192.0.2.7", "", "http://192.0.2.7:8501/"),
    ],
)
def test_the_address_is_one_that_a_browser_opens(host: str, base: str, url: str) -> None:
    assert Settings(host, 8501, "x.db", base).url == url


def test_the_first_visitor_of_any_page_sees_it(proxied: int, browser: Browser) -> None:
    """Streamlit would run the module of a page as a script of its own before `/` was ever opened."""
    with visitor(browser, viewport=PHONE, color_scheme="dark") as (page, trouble):
        page.goto(f"http://127.0.0.1:{proxied}/team/perf/alerts")
        current = page.locator('.ps-menu a[aria-current="page"]')
        expect(current).to_have_text("Alerts")
        settled(page)
        assert sideways(page) <= 0
        page.get_by_role("link", name="Overview", exact=True).first.click()
        expect(current).to_have_text("Overview")
        assert page.url.split("?")[0] == f"http://127.0.0.1:{proxied}/team/perf/"
        assert trouble == []
