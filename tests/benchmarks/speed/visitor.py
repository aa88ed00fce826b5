"""Visitors of the dashboard in a real Chromium, who measure what they wait for."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Page, Response, async_playwright
from speed.targets import Visit

LIMIT_MS = 30_000
"""After which a page is given up."""
REST_MS = 3000
"""Longer than the dashboard waits before it fetches what other pages need."""
_PROBE = Path(__file__).with_name("probe.js").read_text(encoding="utf-8")
_DESK = {"width": 1440, "height": 900}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium of this machine."""
    path = shutil.which("chromium") or "/usr/bin/chromium"
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"], timeout=60_000
        )
        yield made
        await made.close()


class Visitor:
    """One browser page, with the list of what must not happen."""

    def __init__(self, page: Page, url: str, trouble: list[str]) -> None:
        self._page = page
        self._url = url
        self.trouble = trouble

    @classmethod
    async def of(cls, context: BrowserContext, url: str) -> Visitor:
        page = await context.new_page()
        page.set_default_timeout(2 * LIMIT_MS)
        await page.add_init_script(_PROBE)
        trouble: list[str] = []
        page.on("console", lambda one: trouble.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda one: trouble.append(f"request to {one.url}") if _outside(one.url) else None)
        page.on("response", lambda one: trouble.append(_told(one)) if one.status >= 400 else None)
        return cls(page, url, trouble)

    async def load(self, visit: Visit) -> float:
        """Milliseconds from the start of a navigation to the painted page."""
        await self._page.goto(f"{self._url}/{visit.address.removeprefix('./')}", wait_until="commit")
        script = "([end, limit]) => window.perfsuiteProbe.loaded(end, limit)"
        return self._known(await self._page.evaluate(script, [visit.end.plain(), LIMIT_MS]), visit)

    async def follow(self, visit: Visit) -> float:
        """Milliseconds from a click on a link to the painted page."""
        script = "([address, end, limit]) => window.perfsuiteProbe.followed(address, end, limit)"
        found = await self._page.evaluate(script, [visit.address, visit.end.plain(), LIMIT_MS])
        return self._known(found, visit)

    async def rest(self) -> None:
        """Returns when the browser has nothing to do any more, as after a moment of reading."""
        await self._page.wait_for_load_state("networkidle")
        await self._page.evaluate(
            "ms => new Promise(done => setTimeout(() => requestIdleCallback(done), ms))", REST_MS
        )

    async def close(self) -> None:
        await self._page.close()

    def _known(self, found: float | str, visit: Visit) -> float:
        if isinstance(found, str):
            self.trouble.append(f"{visit.address} lacks after {LIMIT_MS} ms: {found}")
            return float("inf")
        return found


@asynccontextmanager
async def visitor(browser: Browser, url: str) -> AsyncIterator[Visitor]:
    """A visitor whose browser has nothing of the dashboard yet."""
    context = await browser.new_context(viewport=_DESK)  # type: ignore[arg-type]
    try:
        yield await Visitor.of(context, url)
    finally:
        await context.close()


def _outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1"


def _told(response: Response) -> str:
    return f"{response.status} {response.url}"
