"""The way of a link in a comment: comparison → case → trends → alert → acknowledged → and back again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from browser import query, served, settled, visitor
from playwright.sync_api import Browser, Page, expect
from sample_history import DECODE, PREFILL, PULL, REPOSITORY, sample_alerts, sample_id, sample_sha

from ci.body import pull_body
from ci.hub import PullRequest
from ci.publish import Place, Publisher
from dashboard.serving.access import SECRET
from perfsuite.model import AlertState
from perfsuite.store import open_store

COMPARISON = sample_id("push 1")
"""In which the pull request's first push made decode slower."""
ALERT = sample_alerts()[1]
"""That decode became slower on main."""
HEAD = PullRequest(
    PULL, "Faster", "ada", sample_sha("push 1"), "fast", REPOSITORY, "main", sample_sha("merge base"), True
)


class NoSources:
    """Nothing is known of git."""

    def commits_after(self, base: str, branch: str) -> list[str]:
        return []

    def definitions(self, sha: str, names: set[str]) -> dict[str, tuple[str, int, int]]:
        return {}

    def subject(self, sha: str) -> str:
        return ""

    def headlines(self, base: str) -> list[Any]:
        return []


@pytest.fixture(scope="module")
def database(history: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A history that is written to."""
    return str(shutil.copy(history, tmp_path_factory.mktemp("triaged") / "perfsuite.db"))


@pytest.fixture(scope="module")
def open_url(database: str) -> Iterator[str]:
    """The address of a dashboard in which who knows the secret may triage."""
    with served(database, environ={SECRET: "open sesame"}) as address:
        yield address


def links_of_the_comment(database: str, address: str) -> list[str]:
    """Where the comment on the pull request leads, as the service writes it that knows this dashboard."""
    hub: Any = SimpleNamespace(repository=REPOSITORY)
    with open_store(database) as store:
        publisher = Publisher(hub, store, NoSources(), lambda: datetime.now(UTC), Place(address))
        body = pull_body(publisher.view(HEAD, approved=True))
    return re.findall(r"\]\((http[^)]+)\)", body)


def click(page: Page, kind: str, *parts: str) -> None:
    """Clicks the first link of the page to a view of this kind whose address has these parts."""
    wanted = "".join(f'[href*="{part}"]' for part in parts)
    # Not those of the menu.
    page.locator(f'[data-testid="stMain"] a.ps[href^="{kind}?"]{wanted}').first.click()
    page.wait_for_url(f"**/{kind}?*")
    settled(page)


def test_from_a_comment_to_the_triage_and_back(browser: Browser, open_url: str, database: str) -> None:
    of_case, of_comparison = links_of_the_comment(database, open_url)
    with visitor(browser) as (page, trouble):
        page.goto(of_comparison)
        settled(page)
        answer = page.get_by_text("1 case slower").first
        expect(answer).to_be_visible()
        way = [page.url]
        assert way[0] == of_comparison == f"{open_url}/compare?comparison={COMPARISON}"

        click(page, "case", "decode", COMPARISON)
        way.append(page.url)
        assert (query(page.url)["case"], query(page.url)["comparison"]) == ([DECODE], [COMPARISON])

        click(page, "trends", "decode")
        way.append(page.url)
        assert query(page.url)["case"] == [DECODE]

        click(page, "alerts", ALERT.id[:12])
        way.append(page.url)
        (named,) = query(page.url)["alert"]
        assert ALERT.id.startswith(named)
        expect(page.get_by_role("heading", name=DECODE)).to_be_visible()

        _acknowledge(page)
        # What was said is in the store, not in the address.
        assert page.url == way[-1]
        with open_store(database) as store:
            kept = store.reader.alert(ALERT.id)
        assert (kept.state, kept.changed_by, kept.reason) == (AlertState.ACKNOWLEDGED, "Grace", "on it")

        # Back over every page of the way, each with one press and as it was.
        for address in reversed(way[:-1]):
            page.go_back()
            settled(page)
            expect(page).to_have_url(address)
        expect(answer).to_be_visible()

        page.goto(of_case)
        settled(page)
        expect(page.get_by_role("heading", name=DECODE)).to_be_visible()
        assert page.url == of_case
        assert trouble == []


def _acknowledge(page: Page) -> None:
    _sign_in(page)
    page.get_by_role("button", name="Sign in to triage").click()
    page.get_by_text("Acknowledged: somebody looks at it").click()
    page.get_by_label("Why").fill("on it")
    page.get_by_role("button", name="Save for this alert").click()
    expect(page.get_by_text("1 alert is acknowledged now, as Grace says.")).to_be_visible()
    expect(page.locator(".ps-a-acknowledged").first).to_be_visible()


def _sign_in(page: Page) -> None:
    page.get_by_label("Your name").fill("Grace")
    page.get_by_label("Secret of this dashboard").fill("open sesame")


def test_a_link_of_an_earlier_comment_leads_to_the_comparison(browser: Browser, open_url: str) -> None:
    with visitor(browser) as (page, trouble):
        page.goto(f"{open_url}/?comparison={COMPARISON}")
        settled(page)
        expect(page).to_have_url(f"{open_url}/compare?comparison={COMPARISON}")
        expect(page.get_by_text("1 case slower").first).to_be_visible()
        assert trouble == []


def test_a_finding_is_triaged_whole_by_keyboard(browser: Browser, open_url: str, database: str) -> None:
    with visitor(browser) as (page, trouble):
        page.goto(f"{open_url}/alerts?state=all")
        page.get_by_role("link", name="triage these 3 together").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="3 cases slower")).to_be_visible()
        _sign_in(page)
        page.keyboard.press("Enter")
        page.get_by_text("Expected: wanted, or accepted").click()
        page.get_by_label("Why").fill("traded for accuracy")
        page.get_by_role("button", name="Save for these 3 alerts").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("3 alerts are expected now")).to_be_visible()
        assert trouble == []
    with open_store(database) as store:
        found = store.reader.alerts(states=[AlertState.EXPECTED])
    assert {alert.case for alert in found} >= {PREFILL, DECODE}
