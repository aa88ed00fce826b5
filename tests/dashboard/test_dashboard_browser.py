"""Every page as a person gets it: on a desk and on a telephone, light and dark."""

from __future__ import annotations

import re

import pytest
from browser import DESK, PHONE, follow, query, settled, sideways, visitor
from playwright.sync_api import Browser, expect
from sample_history import (
    DECODE,
    GPU,
    MATVEC,
    PREFILL,
    PULL,
    REPOSITORY,
    sample_alerts,
    sample_id,
    sample_sha,
)

from dashboard.links import href
from dashboard.pages import PAGES

HERE = {"repository": REPOSITORY, "machine": GPU.fingerprint}
VIEWS = (
    href("", **HERE),
    href("trends", **HERE, case=[PREFILL, DECODE]),
    href("compare", comparison=sample_id("comparison")),
    href("compare", repository=REPOSITORY, pull=PULL),
    href("case", **HERE, case=PREFILL),
    href("case", case=DECODE, comparison=sample_id("comparison")),
    href("alerts", state="all"),
    href("alerts", alert=[alert.id for alert in sample_alerts()[:2]]),
    href("noise", **HERE),
    href("commit", sha=sample_sha("day 5"), repository=REPOSITORY),
)


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_every_page_fits_a_desk_and_a_telephone_and_asks_nobody_else(
    browser: Browser, url: str, color_scheme: str
) -> None:
    with visitor(browser, color_scheme=color_scheme) as (page, trouble):
        page.goto(f"{url}/")
        settled(page)
        for view in VIEWS:
            follow(page, view)
            for viewport in (PHONE, DESK):
                page.set_viewport_size(viewport)  # type: ignore[arg-type]
                assert sideways(page) <= 0, (view, viewport)
            expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
            # A bug, in Streamlit's words or ours.
            assert page.locator('[data-testid="stException"]').count() == 0, view
            assert "The server's log has the traceback" not in page.locator("body").inner_text(), view
        assert trouble == []


def test_every_page_opens_by_its_address_alone(browser: Browser, url: str) -> None:
    with visitor(browser) as (page, trouble):
        for key in (entry.key for entry in PAGES):
            page.goto(f"{url}/{key}")
            settled(page)
            menu = page.get_by_role("navigation", name="Pages")
            title = next(entry.title for entry in PAGES if entry.key == key)
            expect(menu.locator('[aria-current="page"]')).to_have_text(title)
        assert trouble == []


def test_who_goes_back_faster_than_pages_come_gets_where_they_want(browser: Browser, url: str) -> None:
    views = [VIEWS[place] for place in (0, 2, 4, 6, 8)]
    sent: list[bytes] = []
    with visitor(browser) as (page, trouble):
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(bytes(frame))))
        page.goto(f"{url}/{views[0].removeprefix('./')}")
        settled(page)
        first = page.url
        for view in views[1:]:
            follow(page, view)
        for _ in views[1:]:
            page.go_back()
        expect(page.locator('.ps-menu a[aria-current="page"]')).to_have_text("Overview")
        settled(page)
        expect(page).to_have_url(first)
        assert trouble == []
    # Messages that the browser says it keeps (field 7 of a rerun): it may forget one before it is named.
    assert sent and not any(re.search(rb": [0-9a-f]{32}", frame) for frame in sent)


def test_a_filter_is_in_the_address_and_the_back_button_takes_it_out(browser: Browser, url: str) -> None:
    with visitor(browser) as (page, trouble):
        page.goto(f"{url}/alerts")
        page.get_by_role("link", name="noise 1").click()
        page.wait_for_url(lambda address: query(address) == {"state": ["noise"]})
        expect(page.get_by_text("not confirmed")).to_be_visible()
        search = page.get_by_role("textbox", name="Search")
        search.fill("matvec")
        search.press("Enter")
        page.wait_for_url(lambda address: query(address) == {"state": ["noise"], "q": ["matvec"]})
        expect(page.get_by_role("link", name=MATVEC)).to_be_visible()
        with visitor(browser) as (other, other_trouble):
            # What was chosen is what a colleague sees who is sent the link.
            other.goto(page.url)
            expect(other.get_by_role("link", name=MATVEC)).to_be_visible()
            expect(other.get_by_role("textbox", name="Search")).to_have_value("matvec")
            assert other_trouble == []
        page.go_back()
        page.wait_for_url(lambda address: query(address) == {"state": ["noise"]})
        page.go_back()
        page.wait_for_url(lambda address: query(address) == {})
        expect(page.get_by_text("fell silent")).to_be_visible()
        assert trouble == []
