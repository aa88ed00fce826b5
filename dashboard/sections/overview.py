"""The sections of the overview: values → HTML. Pure; what time it is, is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from markupsafe import Markup

from dashboard.charts.grid import Links, commit_told, grid, told
from dashboard.charts.sparkline import sparkline
from dashboard.derive.health import Column, Family, Health, Mark
from dashboard.links import href
from dashboard.markup import EMPTY, link, table, text, verdict_chip
from dashboard.reads.overview import Window, Work
from dashboard.words import utc
from perfsuite.model import Alert, AlertState, Comparison, Job, Status, Verdict
from perfsuite.report.alerts import what_moved
from perfsuite.stats.alerts import DAY_S, MISSING_GAPS
from perfsuite.store.trends import Machine
from perfsuite.units import format_ns, format_share

SILENT_AFTER = timedelta(seconds=MISSING_GAPS * DAY_S)
"""As long as a series may be without results before it counts as missing."""
_TOLD = 3
"""Cases that are named in a line about several."""
_CASES_A_CHART = 12
"""As many as the trends page lays over one another."""
_AGES = ((86_400, "day"), (3_600, "hour"), (60, "minute"))
_MOST_WORKERS = 8
_WORKER_AWAY = timedelta(minutes=15)
"""A worker says every few seconds that it lives."""
Address = Mapping[str, str]
"""Repository and machine, for links."""


def ago(now: datetime, then: datetime) -> str:
    """`3 days ago`, in the largest unit that fits."""
    seconds = (now - then).total_seconds()
    for size, name in _AGES:
        if seconds >= size:
            return f"{counted(int(seconds // size), name)} ago"
    return "just now"


def counted(number: int, noun: str, many: str = "") -> str:
    """`1 case`, `2 cases`."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def moment(now: datetime, then: datetime) -> Markup:
    """How long ago, with the time itself on hovering and for machines."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        then.isoformat(), utc(then), ago(now, then)
    )


def heading(words: str) -> Markup:
    return Markup("<h2>{}</h2>").format(words)


def answer(health: Health, window: Window, shown: Sequence[Column], here: Address, now: datetime) -> Markup:
    """One sentence on how the main branch is, and what is wrong, the worst first."""
    name = told(window.branch, 40) or "main"
    newest = shown[-1]
    troubles = _troubles(health, newest, here)
    lead = Markup('<b class="{}">{} {} {}.</b>').format(
        "ok" if health.healthy else "bad",
        "✓" if health.healthy else "▲",
        name,
        "is healthy" if health.healthy else "needs attention",
    )
    at = link(
        newest.place.commit.label,
        "commit",
        title=" · ".join(commit_told(newest)[:2]),
        sha=newest.place.commit.sha,
        **here,
    )
    facts = [f"{counted(health.ok, 'case')} ok", *_moved(health, len(shown))]
    if not health.open and not health.acknowledged:
        facts.append("no open alerts")
    said = Markup("{} at {}, measured {}; {}.").format(
        facts[0], at, moment(now, newest.place.started_at), ", ".join(facts[1:])
    )
    listed = EMPTY.join(Markup("<li>{}</li>").format(line) for line in troubles)
    return Markup('<p class="ps-health">{} {}</p>{}').format(
        lead, said, Markup('<ul class="ps-facts">{}</ul>').format(listed) if listed else EMPTY
    )


def _moved(health: Health, commits: int) -> list[str]:
    window = counted(commits, "commit")
    if not health.timed:
        return [f"nothing is timed here in {window}: no GPU, so correctness and machine code only"]
    if not health.slower and not health.faster:
        return [f"nothing moved in {window}"]
    parts = [(health.slower, "slower"), (health.faster, "faster")]
    words = [counted(number, f"step {word}", f"steps {word}") for number, word in parts if number]
    return [f"{' and '.join(words)} in {window}"]


def _troubles(health: Health, newest: Column, here: Address) -> list[Markup]:
    found = [
        Markup("✕ {} {}: {}").format(counted(len(cases), "case"), word, _named(cases, here))
        for word, cases in (("incorrect", health.incorrect), ("failed", health.failed))
        if cases
    ]
    if health.open:
        worst = health.open[0]
        all_ = link(
            counted(len(health.open), "open alert"), "alerts", state="open", repository=here["repository"]
        )
        acknowledged = f", {health.acknowledged} acknowledged" if health.acknowledged else ""
        found.append(
            Markup("▲ {}{}; worst: {} {}").format(all_, acknowledged, what_moved(worst), _alert_link(worst))
        )
    elif health.acknowledged:
        label = counted(health.acknowledged, "acknowledged alert")
        found.append(link(label, "alerts", state="acknowledged", repository=here["repository"]))
    if health.unsettled:
        told_ = Markup(", ").join(
            Markup("{} {}").format(link(told(case), "trends", case=case, **here), format_share(change))
            for case, change in health.unsettled[:_TOLD]
        )
        found.append(Markup("? off its level at the newest commits, too new to tell: {}").format(told_))
    return found


def _named(cases: Sequence[str], here: Address) -> Markup:
    named = Markup(", ").join(link(told(case), "trends", case=case, **here) for case in cases[:_TOLD])
    more = len(cases) - _TOLD
    return Markup("{} and {} more").format(named, more) if more > 0 else named


def _alert_link(alert: Alert) -> Markup:
    return link(told(alert.case), "alerts", alert=alert.id, repository=alert.repository)


def family_table(rows: Sequence[Family], columns: Sequence[Column], here: Address) -> Markup:
    """A row a family: how it is, its line, its longest case now, alerts."""
    headings = (
        "family",
        "newest",
        f"last {counted(len(columns), 'commit')}",
        "change",
        "longest case now",
        "",
        "alerts",
    )
    return table(
        headings,
        [_family_row(row, columns, here) for row in rows],
        numbers=(3, 5, 6),
        label="Families",
    )


def _family_row(row: Family, columns: Sequence[Column], here: Address) -> list[str | Markup]:
    newest = row.newest
    mark = row.marks[newest] if newest is not None else None
    chip = EMPTY if mark is None else verdict_chip(mark.verdict)
    behind = 0 if newest is None else len(columns) - 1 - newest
    if behind:
        chip += Markup(' <span class="ps-muted">{} ago</span>').format(counted(behind, "commit"))
    marks = {
        at: one.verdict
        for at, one in enumerate(row.marks)
        if one is not None and one.verdict in (Verdict.REGRESSED, Verdict.IMPROVED)
    }
    line = sparkline(row.line, told(row.name), breaks=row.breaks, marks=marks)
    alerts = (
        link(str(len(row.waiting)), "alerts", alert=[alert.id for alert in row.waiting[:_CASES_A_CHART]])
        if row.waiting
        else Markup('<span class="ps-muted">0</span>')
    )
    return [
        link(
            told(row.name, 60),
            "trends",
            title=counted(len(row.cases), "case"),
            **trends_of(row.cases),
            **here,
        ),
        chip,
        line or Markup('<span class="ps-muted">no times</span>'),
        "" if row.change is None else format_share(row.change),
        EMPTY if newest is None else _longest(row, columns[newest], here),
        "" if row.longest is None else format_ns(row.longest[1]),
        alerts,
    ]


def _longest(row: Family, column: Column, here: Address) -> Markup:
    if row.longest is None:
        return EMPTY
    case = row.longest[0]
    label = told(_axes(case, row.name), 40)
    return link(label, "case", title=told(case), case=case, run=_run_of(column, case), **here)


def _axes(case: str, family: str) -> str:
    """What a case's id says beyond its family."""
    return case.removeprefix(family).strip("[]") or case


def trends_of(cases: Sequence[str]) -> dict[str, list[str]]:
    """Parameters of a trends page of these."""
    return {"case": list(cases[:_CASES_A_CHART])}


def commit_grid(columns: Sequence[Column], rows: Sequence[Family], here: Address) -> Markup:
    """The grid; cells that are not quiet lead to what made them so."""
    repository = here["repository"]

    def cell(column: Column, row: Family, mark: Mark) -> str:
        place = {"repository": repository, "machine": column.fingerprint}
        if mark.verdict in (Verdict.INCORRECT, Verdict.FAILED):
            return href("case", case=mark.cases[0], run=_run_of(column, mark.cases[0]), **place)
        sha = column.place.commit.sha
        return href("trends", **trends_of(mark.cases), pin=sha, **place)

    links = Links(
        commit=lambda column: href(
            "commit", sha=column.place.commit.sha, repository=repository, machine=column.fingerprint
        ),
        cell=cell,
        family=lambda row: href("trends", **trends_of(row.cases), **here),
    )
    return grid(columns, rows, links)


def _run_of(column: Column, case: str) -> str:
    return column.cells[case].run_id if case in column.cells else column.place.run_id


def alert_list(alerts: Sequence[Alert], here: Address, now: datetime, most: int = 6) -> Markup:
    """The newest that are open."""
    found = [alert for alert in alerts if alert.state is AlertState.OPEN]
    if not found:
        return Markup('<p class="ps-muted">No open alerts.</p>')
    lines = [
        Markup("{} {} <span class=ps-muted>{}</span>").format(
            what_moved(alert), _alert_link(alert), moment(now, alert.raised_at)
        )
        for alert in found[:most]
    ]
    if len(found) > most:
        lines.append(link(f"all {len(found):,}", "alerts", state="open", repository=here["repository"]))
    return listed(lines)


def listed(lines: Sequence[Markup]) -> Markup:
    return Markup('<ul class="ps-list">{}</ul>').format(
        EMPTY.join(Markup("<li>{}</li>").format(line) for line in lines)
    )


def machine_table(machines: Sequence[Machine], repository: str, now: datetime) -> Markup:
    """When each last reported; environments that another took over on the same hosts are folded away."""
    seen: set[tuple[str | None, str]] = set()
    present: list[Machine] = []
    former: list[Machine] = []
    for machine in machines:
        places = {(machine.environment.gpu, host) for host in machine.hosts}
        (former if places <= seen else present).append(machine)
        seen |= places
    shown = _machines(present, repository, now, silence=True)
    if not former:
        return shown
    return Markup('{}<details class="ps-fold"><summary>{}</summary>{}</details>').format(
        shown,
        counted(len(former), "earlier environment"),
        _machines(former, repository, now, silence=False),
    )


def _machines(machines: Sequence[Machine], repository: str, now: datetime, *, silence: bool) -> Markup:
    rows = [
        (
            link(
                told(machine.environment.label),
                "",
                title=told(", ".join(machine.hosts)),
                repository=repository,
                machine=machine.fingerprint,
            ),
            Markup("{}{}").format(
                moment(now, machine.newest),
                Markup(' <span class="ps-chip ps-v-inconclusive">silent</span>')
                if silence and now - machine.newest > SILENT_AFTER
                else EMPTY,
            ),
            f"{machine.runs:,}",
        )
        for machine in machines
    ]
    return table(("machine", "last report", "runs"), rows, numbers=(2,), label="Machines")


def work_list(work: Work, repository: str, now: datetime) -> Markup:
    """What runs and waits, and who works; empty where no service uses this store."""
    lines = [_job(job, repository) for job in work.running]
    if work.queued:
        lines.append(Markup("{} queued").format(counted(work.queued, "job")))
    for worker in work.workers[:_MOST_WORKERS]:
        away = now - worker.seen_at > _WORKER_AWAY
        sign = Markup(' <span class="ps-chip ps-v-inconclusive">silent</span>') if away else EMPTY
        lines.append(
            Markup("worker {} <span class=ps-muted>{}</span>{}").format(
                text(told(worker.name)), moment(now, worker.seen_at), sign
            )
        )
    left = len(work.workers) - _MOST_WORKERS
    if left > 0:
        lines.append(Markup("and {}").format(counted(left, "more worker")))
    return listed(lines) if lines else EMPTY


def _job(job: Job, repository: str) -> Markup:
    about = f"pull request {job.pull}" if job.pull is not None else told(job.head[:10])
    target = (
        link(about, "compare", pull=job.pull, repository=repository)
        if job.pull is not None
        else link(about, "commit", sha=job.head, repository=repository)
    )
    progress = f", {job.done}/{job.total}" if job.total else ""
    return Markup("running {} {}{}").format(job.kind.value, target, progress)


def comparison_list(found: Sequence[Comparison], now: datetime, most: int = 6) -> Markup:
    """The newest comparisons."""
    lines = [
        Markup("{} <span class=ps-muted>{} {}{}</span>").format(
            link(
                f"{told(one.base.commit.label, 20)} → {told(one.head.commit.label, 20)}",
                "compare",
                comparison=one.id,
            ),
            told(one.head.commit.subject, 60),
            moment(now, one.started_at),
            "" if one.finished_at else ", not finished",
        )
        for one in found[:most]
    ]
    return listed(lines) if lines else EMPTY


def pull_list(work: Work, repository: str, now: datetime, most: int = 6) -> Markup:
    """Pull requests that were measured, the newest first."""
    lines = [
        Markup("{} <span class=ps-muted>at {}, {}</span>").format(
            link(f"pull request {job.pull}", "compare", pull=job.pull, repository=repository),
            told(job.head[:10]),
            moment(now, job.created_at),
        )
        for job in work.pulls[:most]
    ]
    return listed(lines) if lines else EMPTY


def unfinished(columns: Sequence[Column]) -> str:
    """A word on a newest run that is not through, or has skipped cases."""
    newest = columns[-1]
    parts = []
    if newest.place.finished_at is None:
        parts.append("The newest run is not finished.")
    skipped = sum(cell.status is Status.SKIPPED for cell in newest.cells.values())
    if skipped:
        parts.append(f"It skipped {counted(skipped, 'case')}.")
    return " ".join(parts)
