"""What the measurement visits: addresses of a database's views, and how to tell that each is all there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from dashboard.links import Value, href
from perfsuite.model import JobKind
from perfsuite.store import open_reader

_TABLE = '[data-testid="stMain"] .ps-table td'
_BUTTON = '[data-testid="stDownloadButton"] button'
_PARTS = ("samples", "clocks", "roofline", "code", "accuracy", "reproduce")
"""Of the case page."""


@dataclass(frozen=True, slots=True)
class End:
    """What must be visible on a page before it counts as painted, besides: the script has ended, nothing of
    the page before is left, each chart has drawn all of its traces."""

    selectors: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    charts: int = 0
    trace: str = ""
    """Name of a trace that a chart must have."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Visit:
    """A view and its end."""

    address: str
    end: End


@dataclass(frozen=True, slots=True)
class Change:
    """A page change that is measured, with other targets each time where there are some."""

    name: str
    starts: tuple[Visit, ...]
    targets: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class Targets:
    """The views of one database."""

    repository: str
    machine: str
    """Fingerprint of the one that compares pull requests."""
    points: int
    """Of a case on the axis of its trends: runs of this machine, in its earlier environments too."""
    cases: tuple[str, ...]
    pulls: tuple[int, ...]
    shas: tuple[str, ...]
    """Of the newest commits there."""

    @staticmethod
    def of(database: str) -> Targets:
        with open_reader(database) as reader:
            comparison = reader.comparisons(limit=1)[0]
            repository, fingerprint = comparison.head.repository, comparison.head.environment.fingerprint
            places = reader.trends.places(repository, fingerprint, limit=200)
            shas = tuple(dict.fromkeys(place.commit.sha for place in reversed(places)))
            # Those of which every page and section has something to show.
            newest = reader.results(places[-1].run_id, samples=False)
            cases = tuple(sorted(one.case for one in newest if one.roofline_fraction and one.error_rms))
            jobs = reader.jobs.jobs(repository, kind=JobKind.COMPARE, limit=100)
            pulls = tuple(dict.fromkeys(job.pull for job in jobs if job.pull is not None))
            machine = comparison.head.environment
            alike = [
                one
                for one in reader.trends.machines(repository)
                if (one.environment.gpu, one.environment.host) == (machine.gpu, machine.host)
            ]
            return Targets(repository, fingerprint, sum(one.runs for one in alike), cases, pulls, shas)

    def overview(self) -> Visit:
        words = ("Commits and families", "Open alerts", "Machines")
        return self._visit("", End((".ps-grid", _TABLE, _BUTTON), words))

    def trends(self, case: str, **params: Value) -> Visit:
        return self._visit("trends", End((_TABLE, _BUTTON), (), 1, case), case=case, **params)

    def pull(self, pull: int) -> Visit:
        end = End((_TABLE, ".ps-forest", _BUTTON), (f"Pull request #{pull} of",))
        return self._visit("compare", end, pull=pull)

    def two(self, base: str, head: str) -> Visit:
        end = End((_TABLE, ".ps-forest", _BUTTON), (base[:7], head[:7]))
        return self._visit("compare", end, base=base, head=head)

    def case(self, case: str, part: str) -> Visit:
        current = f'.ps-choices [aria-current="true"] a[href*="part={part}"]'
        ends = {
            "samples": End((current, _BUTTON), (case,), 2),
            "clocks": End((current,), (case,), 1),
            "roofline": End((current, _TABLE), (case,), 1),
            "code": End((current, ".ps-sass"), (case, "Instructions of"), 2),
            "accuracy": End((current,), (case, "Error (RMS)")),
            "reproduce": End((current, _TABLE, "pre"), (case,)),
        }
        return self._visit("case", ends[part], case=case, part=part)

    def alerts(self, state: str = "open") -> Visit:
        current = f'.ps-choices [aria-current="true"] a[href*="state={state}"]'
        return self._visit("alerts", End((current, ".ps-chip", _BUTTON)), state=state)

    def noise(self) -> Visit:
        return self._visit("noise", End((_TABLE, _BUTTON), ("Did the machine move", "canary")))

    def commit(self, sha: str) -> Visit:
        return self._visit("commit", End((_TABLE, _BUTTON, "code"), (sha[:10],)), sha=sha)

    def _visit(self, page: str, end: End, **params: Value) -> Visit:
        scope = {"repository": self.repository, "machine": self.machine}
        current = f'.ps-menu a[aria-current="page"][href^="{page or "./"}"]'
        end = replace(end, selectors=(current, *end.selectors))
        return Visit(href(page, **scope, **params), end)

    def pages(self, number: int) -> list[tuple[str, Visit]]:
        """One view of each page; another number has other cases, commits and pull requests."""
        case = self.cases[number % len(self.cases)]
        shas = self.shas
        return [
            ("overview", self.overview()),
            ("trends", self.trends(case)),
            ("compare", self.pull(self.pulls[number % len(self.pulls)])),
            ("case", self.case(case, "samples")),
            ("alerts", self.alerts()),
            ("noise", self.noise()),
            ("commit", self.commit(shas[number % len(shas)])),
        ]

    def changes(self) -> list[Change]:
        """All page changes that are measured."""
        home = (self.overview(),)
        cases = self.cases
        every = {
            name: tuple(dict(self.pages(number))[name] for number in range(len(cases)))
            for name, _ in self.pages(0)[1:]
        }
        found = [Change(f"overview → {name}", home, targets) for name, targets in every.items()]
        found += [Change(f"{name} → overview", targets, home) for name, targets in every.items()]
        default = tuple(self.trends(case) for case in cases)
        whole = tuple(self.trends(case, newest="all") for case in cases)
        found += [
            Change("trends: case → case", default, default[1:] + default[:1]),
            Change(f"trends: case → case, {self.points:,} points", whole, whole[1:] + whole[:1]),
            Change("trends: newest 500 → all", default, whole),
        ]
        pairs = [(self.shas[at + 1], self.shas[at]) for at in range(min(len(self.shas) - 1, 20))]
        found.append(Change("overview → compare of two commits", home, tuple(self.two(*p) for p in pairs)))
        for part, after in zip(_PARTS, (*_PARTS[1:], _PARTS[0]), strict=True):
            starts = tuple(self.case(case, part) for case in cases)
            found.append(Change(f"case: {part} → {after}", starts, tuple(self.case(c, after) for c in cases)))
        found.append(Change("alerts: open → all", (self.alerts(),), (self.alerts(state="all"),)))
        return found
