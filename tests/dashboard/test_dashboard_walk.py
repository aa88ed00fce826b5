"""The way of a link in a comment: comparison → case → trends → alert → acknowledged → and back again."""

from __future__ import annotations

from pathlib import Path

from browser import query, served, settled, visitor
from playwright.sync_api import Browser, Page, expect
from sample_history import DECODE, PREFILL, fill, sample_alerts, sample_id

from dashboard.serving.access import SECRET
from perfsuite.model import AlertState
from perfsuite.store import open_store

COMPARISON = sample_id("comparison")
ALERT = sample_alerts()[0]


def click(page: Page, kind: str, *parts: str) -> dict[str, list[str]]:
    """Clicks the first link of the page to a view of this kind whose address has these parts."""
    wanted = "".join(f'[href*="{part}"]' for part in parts)
    # Not those of the menu.
    link = page.locator(f'[data-testid="stMain"] a.ps[href^="{kind}?"]{wanted}').first
    link.click()
    page.wait_for_url(f"**/{kind}?*")
    settled(page)
    return query(page.url)


def test_from_a_comment_to_the_triage_and_back(browser: Browser, tmp_path: Path) -> None:
    database = fill(tmp_path / "perfsuite.db")
    with (
        served(database, environ={SECRET: "open sesame"}) as url,
        visitor(browser) as (page, trouble),
    ):
        # Comments of earlier versions name the first page.
        page.goto(f"{url}/?comparison={COMPARISON}")
        page.wait_for_url("**/compare?*")
        settled(page)
        assert query(page.url) == {"comparison": [COMPARISON]}
        expect(page.get_by_text("1 case slower, 1 faster").first).to_be_visible()

        address = click(page, "case", "prefill", COMPARISON)
        assert address["case"] == [PREFILL]
        assert address["comparison"] == [COMPARISON]

        address = click(page, "trends", "prefill")
        assert address["case"] == [PREFILL]

        address = click(page, "alerts", ALERT.id[:12])
        assert ALERT.id.startswith(address["alert"][0])
        expect(page.get_by_role("heading", name=PREFILL)).to_be_visible()

        _acknowledge(page)
        with open_store(database) as store:
            kept = store.reader.alert(ALERT.id)
        assert (kept.state, kept.changed_by, kept.reason) == (AlertState.ACKNOWLEDGED, "Grace", "on it")

        # Back over every page of the way, each as it was.
        for kind, part in (("trends", "case"), ("case", "comparison"), ("compare", "comparison")):
            page.go_back()
            page.wait_for_url(f"**/{kind}?*")
            settled(page)
            assert query(page.url)[part] == ([PREFILL] if part == "case" else [COMPARISON])
        expect(page.get_by_text("1 case slower, 1 faster").first).to_be_visible()
        assert trouble == []


def _acknowledge(page: Page) -> None:
    page.get_by_label("Your name").fill("Grace")
    page.get_by_label("Secret of this dashboard").fill("open sesame")
    page.get_by_role("button", name="Sign in to triage").click()
    page.get_by_text("Acknowledged: somebody looks at it").click()
    page.get_by_label("Why").fill("on it")
    page.get_by_role("button", name="Save for this alert").click()
    expect(page.get_by_text("1 alert is acknowledged now, as Grace says.")).to_be_visible()
    expect(page.locator(".ps-a-acknowledged").first).to_be_visible()


def test_a_finding_is_triaged_whole_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    database = fill(tmp_path / "perfsuite.db")
    with (
        served(database, environ={SECRET: "open sesame"}) as url,
        visitor(browser) as (page, trouble),
    ):
        page.goto(f"{url}/alerts")
        page.get_by_role("link", name="triage these 2 together").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="2 cases slower")).to_be_visible()
        page.get_by_label("Your name").fill("Grace")
        page.get_by_label("Secret of this dashboard").fill("open sesame")
        page.keyboard.press("Enter")
        page.get_by_text("Expected: wanted, or accepted").click()
        page.get_by_label("Why").fill("traded for accuracy")
        page.get_by_role("button", name="Save for these 2 alerts").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("2 alerts are expected now")).to_be_visible()
        assert trouble == []
    with open_store(database) as store:
        found = store.reader.alerts(states=[AlertState.EXPECTED])
    assert {alert.case for alert in found} >= {PREFILL, DECODE}
