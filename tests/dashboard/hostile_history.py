"""A history in which everything that others name is hostile: a page must show it as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from sample_history import START, result, sample_alert, sample_id, sample_run

from perfsuite.model import (
    AlertState,
    Comparison,
    Environment,
    Job,
    JobKind,
    JobState,
    Result,
    Run,
    Status,
    Worker,
)
from perfsuite.store import Store, open_store

MARKER = "pwned"
"""What runs sets `window.pwned`; what is taken for markup has it as its id or class."""
NAMES = (
    "<script>window.pwned=1</script>",
    '<img src=x class=pwned onerror="window.pwned=1">',
    "\"><svg class=pwned onload='window.pwned=1'>",
    "' onmouseover='window.pwned=1' autofocus onfocus='window.pwned=1",
    "[pwned](javascript:window.pwned=1) **b** `c` $x^2$ :red[d] # e\n- f | g",
    "</td></table></div><style>body{display:none}</style><h1 class=pwned>",
    "<a href='https://example.org/' class=pwned>x</a><b>y</b>",
    "\u202eevil\u2066 \u200b\ufeff name",
    "日本語 عربى हिन्दी 👩‍👩‍👧 𝕏",
    "{x!r} {0} %s %(a)d ${y} \\u003cb\\u003e",
    "line\r\nbreak\ttab",
    "long " + "n" * 4000,
)
REPOSITORY = '<script>window.pwned=1</script>/"><img src=x class=pwned onerror=window.pwned=1>\u202e'
MACHINE = Environment(
    NAMES[1], f"GPU {NAMES[0]} {NAMES[2]}", driver=NAMES[4], cuda=NAMES[6], torch=NAMES[7], triton=NAMES[11]
)
CASES = tuple(f"{name}/family{place}[{name},m={place}]" for place, name in enumerate(NAMES))
COMPARISON = sample_id("hostile comparison")
SHA = "<b class=pwned onclick=window.pwned=1>\u202e"
"""Not a hash: imports may bring any name of a commit."""
_PARAMETERS = """repository machine case comparison base head run sha state kind q alert page unit pin from to
part family commits pull image"""


def fill_hostile(path: Path) -> str:
    """Writes it into a new database; returns its path as the command line takes it."""
    with open_store(str(path)) as store:
        runs = [_run(day, "run") for day in range(4)]
        sides = [_run(10, "base"), _run(11, "head")]
        results = {run.id: list(_results(place)) for place, run in enumerate([*runs, *sides])}
        comparison = Comparison(
            COMPARISON, sides[0], sides[1], 0.02, START, START, case_thresholds={NAMES[0]: 0.1}
        )
        store.save_all([*runs, *sides], results, [comparison])
        _alerts(store, runs)
        _jobs(store)
    return str(path)


def addresses() -> Iterator[tuple[str, dict[str, str | list[str]]]]:
    """Key of a page and the parameters of a view; of every page at least one."""
    here: dict[str, str | list[str]] = {"repository": REPOSITORY, "machine": MACHINE.fingerprint}
    alerts = [sample_id(f"alert {case} slower (1, 2)") for case in CASES]
    yield "", here
    yield "trends", {**here, "case": list(CASES[:3]), "pin": SHA, "from": "", "to": NAMES[0]}
    yield "compare", {"comparison": COMPARISON}
    yield "compare", {**here, "pull": "7"}
    yield "case", {**here, "case": CASES[0], "comparison": COMPARISON}
    yield "case", {**here, "case": CASES[11], "part": "code"}
    yield "alerts", {**here, "state": "all"}
    yield "alerts", {**here, "alert": alerts[1]}
    yield "alerts", {**here, "alert": alerts}
    yield "noise", here
    yield "commit", {"sha": SHA, "repository": REPOSITORY}
    # Anybody can write an address.
    anything: dict[str, str | list[str]] = {
        name: NAMES[place % len(NAMES)] for place, name in enumerate(_PARAMETERS.split())
    }
    for page in ("trends", "compare", "case", "alerts", "noise", "commit"):
        yield page, anything
    # There a comparison leads elsewhere, as links of old comments do.
    yield "", {name: value for name, value in anything.items() if name != "comparison"}


def injected(markup: str) -> list[str]:
    """What in a page's HTML could run, load from elsewhere, or is an element that a name made."""
    found = _Found()
    found.feed(markup)
    return found.bad


class _Found(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        loads = named.get("src", "")
        if tag in ("script", "iframe", "object", "embed", "svg", "base", "meta", "link"):
            self.bad.append(f"<{tag}>")
        if any(name.startswith("on") for name in named) or MARKER in named.get("class", ""):
            self.bad.append(f"<{tag} {attrs}>")
        if loads and not loads.startswith("data:image/"):
            self.bad.append(f"src={loads}")
        target = named.get("href", "").strip().casefold()
        if target.startswith(("javascript:", "data:", "//")) or "example.org" in target.partition("?")[0]:
            self.bad.append(f"href={target}")


def _run(day: int, kind: str) -> Run:
    name = NAMES[day % len(NAMES)]
    run = sample_run(f"hostile {kind} {day}", day, MACHINE, kind=kind, repository=REPOSITORY)
    commit = replace(run.commit, subject=name * 2, author=NAMES[(day + 1) % len(NAMES)], branch=NAMES[3])
    if day == 3:
        commit = replace(commit, sha=SHA)
    return replace(run, commit=commit, profile=NAMES[5], pattern=NAMES[0], suite=NAMES[6], version=NAMES[9])


def _results(place: int) -> Iterator[Result]:
    for number, case in enumerate(CASES):
        name = NAMES[number]
        made = result(case, 1e5 * (1 + 0.05 * (place > 4)), place, code=place // 2)
        kernel = replace(made.launches.kernels[0], name=name, arguments={name: name}, listing=f"L0: {name}\n")
        launches = replace(made.launches, kernels=(kernel,), order=(f"{name}#{kernel.hash}",))
        made = replace(made, params={name: name, "m": number}, launches=launches, extra={"note": name})
        if number == place % len(CASES):
            made = replace(made, status=Status.FAILED, blocks=(), message=f"{name}\n{name}")
        yield made


def _alerts(store: Store, runs: list[Run]) -> None:
    alerts = []
    for number, case in enumerate(CASES):
        made = sample_alert(
            case, "slower", (1, 2), 0.05, list(AlertState)[number % 5], NAMES[number], NAMES[number]
        )
        alerts.append(
            replace(
                made,
                repository=REPOSITORY,
                fingerprint=MACHINE.fingerprint,
                before=runs[1].commit.sha,
                after=runs[2 + number % 2].commit.sha,
                metric=NAMES[number],
            )
        )
    store.save_alerts(alerts)


def _jobs(store: Store) -> None:
    for number, state in enumerate((JobState.SUCCEEDED, JobState.RUNNING, JobState.FAILED)):
        name = NAMES[number]
        made = Job(
            sample_id(f"hostile job {number}"),
            REPOSITORY,
            JobKind.COMPARE,
            f"pull/7/{name}",
            SHA,
            START,
            pull=7,
            pattern=name,
            profile=name,
            state=state,
            requested_by=name,
            worker=name,
            started_at=START,
            comparison=COMPARISON if state is JobState.SUCCEEDED else "",
            message=name,
            facts={name: name},
        )
        store.jobs.add(made)
    store.jobs.beat(Worker(NAMES[1], REPOSITORY, START, START, gpu=NAMES[2]))
