"""How long people wait for the dashboard, measured by the browser, on a database that is there.

`python tests/benchmarks/dashboard_speed.py URL`: the real command serves the database, a headless Chromium
opens it (from the start of the navigation), changes pages (from a click) and ten at once walk around. Each
time ends two frames after everything that the page shows is there: its tables, its charts with all their
traces, the last button; and its script has ended. Fails where a limit is broken or a browser had an error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from playwright.async_api import Browser
from speed.targets import Change, Targets
from speed.visitor import Visitor, chromium, visitor

from dashboard.data import FRESH_S

START_S = 60
FIRST_MS, CHANGE_MS, CROWD_MS = 1500, 1000, 2000
"""Limits: the median of the overview from its navigation, the median of every page change, the 95th
percentile of the page changes of ten people at once."""
NONE = float("inf")
LAPS = 2
"""Of each of the people, over seven pages."""
THINK_S = (1.0, 3.0)
PHASE_S = 7 * THINK_S[1]
"""Within which people begin to walk, a slow lap: they are no choir."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table, in ms."""

    what: str
    times: tuple[float, ...]
    limit: float
    of: str = "median"
    """Which of its figures the limit is for."""
    load: float = 0.0
    """How many processes of the machine wanted to run in the last minute."""

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, round(0.95 * len(ordered) + 0.5) - 1)]

    @property
    def passed(self) -> bool:
        return (self.median if self.of == "median" else self.p95) < self.limit


@contextmanager
def served(database: str) -> Iterator[str]:
    """The address of `perfsuite dashboard` on this database."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("perfsuite")
    arguments = ["dashboard", "--db", database, "--port", str(port), "--no-browser"]
    process = subprocess.Popen([program, *arguments], stdout=sys.stderr)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/healthz", process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_S)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("the server ended")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer")


class Measurement:
    """All figures of one server."""

    def __init__(self, browser: Browser, url: str, targets: Targets, repeat: int) -> None:
        self._browser = browser
        self._url = url
        self._targets = targets
        self._repeat = repeat
        self.rows: list[Row] = []
        self.trouble: list[str] = []

    def note(self, what: str, times: Sequence[float], limit: float, of: str = "median") -> None:
        row = Row(what, tuple(times), limit, of, os.getloadavg()[0])
        self.rows.append(row)
        print(_line(row), flush=True)

    async def walk(self) -> None:
        """The first visits, which warm the server; not held against a limit."""
        async with visitor(self._browser, self._url) as one:
            pages = self._targets.pages(0)
            first = [await one.load(pages[0][1])] + [await one.follow(visit) for _, visit in pages[1:]]
            self.note("first walk over a server just started (no limit)", first, NONE)
            self.trouble += one.trouble

    async def first_page(self) -> None:
        """The overview from the start of its navigation."""
        cold, warm = [], []
        for _ in range(self._repeat):
            async with visitor(self._browser, self._url) as one:
                cold.append(await one.load(self._targets.overview()))
                self.trouble += one.trouble
        async with visitor(self._browser, self._url) as one:
            await one.load(self._targets.overview())
            for _ in range(self._repeat):
                await one.load(self._targets.pages(0)[6][1])
                warm.append(await one.load(self._targets.overview()))
            self.trouble += one.trouble
        self.note("overview from navigation, empty browser cache", cold, FIRST_MS)
        self.note("overview from navigation, warm browser cache", warm, FIRST_MS)

    async def change(self, one: Visitor, change: Change) -> None:
        """A page change, each time of another view where there are several."""
        times = []
        for number in range(self._repeat):
            await one.follow(change.starts[number % len(change.starts)])
            times.append(await one.follow(change.targets[number % len(change.targets)]))
        self.note(change.name, times, CHANGE_MS)

    async def changes(self, only: str) -> None:
        async with visitor(self._browser, self._url) as one:
            await one.load(self._targets.overview())
            for change in self._targets.changes():
                if only in change.name:
                    await self.change(one, change)
            self.trouble += one.trouble

    async def expired(self) -> None:
        """Page changes of somebody who comes when nobody was there for a while: caches of lists are old."""
        times = []
        async with visitor(self._browser, self._url) as one:
            await one.load(self._targets.overview())
            for _, visit in [*self._targets.pages(1)[1:], *self._targets.pages(2)[:1]]:
                await asyncio.sleep(FRESH_S + 1)
                times.append(await one.follow(visit))
            self.trouble += one.trouble
        self.note(
            f"each page after {FRESH_S + 1} s of nobody there (limit for the worst)", times, CHANGE_MS, "p95"
        )

    async def crowd(self, people: int) -> None:
        """People at once, each in a browser of their own: all have the overview open, then all walk."""
        start = asyncio.Barrier(people)
        found = await asyncio.gather(*(self._person(number, start) for number in range(people)))
        came = [first for first, _ in found]
        self.note(f"{people} people come within {THINK_S[1]:.0f} s: overview", came, NONE)
        walked = [change for _, changes in found for change in changes]
        for name in dict.fromkeys(name for name, _ in walked):
            self.note(f"{people} people at once: → {name}", [time for to, time in walked if to == name], NONE)
        times = [time for _, time in walked]
        self.note(f"{people} people at once: {len(times)} page changes", times, CROWD_MS, "p95")

    async def _person(self, number: int, start: asyncio.Barrier) -> tuple[float, list[tuple[str, float]]]:
        """Time of the first page; name and time of each change."""
        chance = random.Random(number)
        async with visitor(self._browser, self._url) as one:
            await asyncio.sleep(chance.uniform(0, THINK_S[1]))
            first = await one.load(self._targets.overview())
            await one.rest()
            await start.wait()
            await asyncio.sleep(chance.uniform(0, PHASE_S))
            times = []
            for lap in range(LAPS):
                pages = self._targets.pages(number + 10 * lap)
                for name, visit in pages[1:] + pages[:1]:
                    await asyncio.sleep(chance.uniform(*THINK_S))
                    times.append((name, await one.follow(visit)))
            await start.wait()
            self.trouble += one.trouble
        return first, times


def _line(row: Row) -> str:
    held = "" if row.limit == NONE else f"{row.limit:6.0f} ({row.of})"
    said = "" if row.limit == NONE else "passed" if row.passed else "BROKEN"
    figures = f"{row.median:7.0f} {row.p95:7.0f} {max(row.times):7.0f}"
    return f"{row.what:58} {figures}  {held:16} {said}  load {row.load:.1f}"


async def measure(url: str, targets: Targets, given: argparse.Namespace) -> Measurement:
    async with chromium() as browser:
        found = Measurement(browser, url, targets, given.repeat)
        print(f"{'ms':58} {'median':>7} {'p95':>7} {'max':>7}  {'limit':16}", flush=True)
        await found.walk()
        parts = given.parts.split(",")
        if "first" in parts:
            await found.first_page()
        if "changes" in parts:
            await found.changes(given.only)
        if "expired" in parts:
            await found.expired()
        if "crowd" in parts:
            await found.crowd(given.people)
        return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--parts", default="first,changes,expired,crowd")
    parser.add_argument("--only", default="", help="page changes with this in their name")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    with served(given.url) as url:
        found = asyncio.run(measure(url, Targets.of(given.url), given))
    if given.json:
        rows = [{**asdict(row), "median": row.median, "p95": row.p95} for row in found.rows]
        given.json.write_text(json.dumps({"rows": rows, "trouble": found.trouble}, indent=1))
    for trouble in found.trouble:
        print(f"error: {trouble}")
    if found.trouble or not all(row.passed for row in found.rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
