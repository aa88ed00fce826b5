"""The parts of a commit's page as HTML. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from dashboard.markup import EMPTY, link, table, verdict_chip
from dashboard.reads.commit import Neighbours, Results
from dashboard.sections.compare import UNNAMED, github, machine_words, pairs
from dashboard.words import KINDS, utc
from perfsuite.model import Alert, Commit, Comparison, Result, Run, Status, Verdict
from perfsuite.report.alerts import commits_of, what_moved
from perfsuite.report.words import (
    canaries_of,
    canary_name,
    cases_of,
    commit_line,
    error_cell,
    machine_note,
    plain,
    resources_cell,
    roofline_cell,
    run_answer,
    timer_label,
)
from perfsuite.summary import TimeSummary
from perfsuite.units import NS_PER_US, format_ns

if TYPE_CHECKING:
    import pandas as pd

AGAIN = Markup("<h3>Measure it again</h3>")
_HEADINGS = ("case", "status", "time", "95 % interval", "error", "roofline", "regs/spills/shared", "timer")
_NUMBERS = (2, 3, 4, 5)
_OPEN = 60
"""Cases up to which all families are open."""
_MOST_ALERTS = 50
_FOLD = Markup(
    '<details class="ps-fold"{}><summary><b>{}</b> <span class="ps-muted">{}</span></summary>{}</details>'
)
_CHIPS = {
    Status.OK: (Verdict.UNCHANGED, "ok"),
    Status.INCORRECT: (Verdict.INCORRECT, ""),
    Status.FAILED: (Verdict.FAILED, ""),
    Status.SKIPPED: (Verdict.INCONCLUSIVE, "skipped"),
}


def several(ref: str, found: Sequence[tuple[str, Commit]]) -> Markup:
    """The commits that a beginning may mean."""
    rows = [
        (link(commit.label, "commit", sha=commit.sha, repository=name), plain(commit.subject), plain(name))
        for name, commit in found
    ]
    return Markup("<h2>{} commits begin with {}</h2>{}").format(
        len(rows), plain(ref), table(("commit", "subject", "repository"), rows, label="Commits")
    )


def heading(run: Run, around: Neighbours) -> Markup:
    """The commit, who wrote it, and its neighbours in the history."""
    commit = run.commit
    rows: list[tuple[str, Markup | str]] = [("commit", Markup("<code>{}</code>").format(commit.sha))]
    written = " · ".join(
        part
        for part in (plain(commit.author), utc(commit.committed_at) if commit.committed_at else "")
        if part
    )
    outside = github(run.repository, f"commit/{commit.sha}", "on GitHub")
    rows += [("author", written)] if written else []
    rows.append(("repository", Markup("{} {}").format(plain(run.repository), outside)))
    if commit.branch or commit.position is not None:
        place = f"number {commit.position}" if commit.position is not None else ""
        rows.append(("branch", " · ".join(part for part in (plain(commit.branch or ""), place) if part)))
    rows += [
        (name, _neighbour(run, other))
        for name, other in (("before", around.before), ("after", around.after))
        if other
    ]
    return Markup("<h2>{}</h2>{}").format(plain(commit.subject) or commit.label, pairs(rows))


def _neighbour(run: Run, other: Commit) -> Markup:
    where = {"repository": run.repository, "machine": run.environment.fingerprint}
    earlier = link(commit_line(other), "commit", sha=other.sha, **where)
    base, head = (other.sha, run.commit.sha)
    return Markup("{} · {}").format(earlier, link("compare", "compare", base=base, head=head, **where))


def runs_table(runs: Sequence[Run], counts: Mapping[str, Mapping[str, int]], shown: Run) -> Markup:
    """The runs of the commit, the newest first, with how their cases ended."""
    rows = [
        (
            _run_link(run, shown),
            plain(run.environment.label),
            plain(run.profile),
            KINDS.get(run.kind, plain(run.kind)) + ("" if run.finished_at else ", not finished"),
            ", ".join(f"{number} {status}" for status, number in sorted(counts.get(run.id, {}).items())),
        )
        for run in runs
    ]
    headings = ("run", "machine", "profile", "kind", "results")
    return Markup("<h3>Runs</h3>{}").format(table(headings, rows, label="Runs of this commit"))


def _run_link(run: Run, shown: Run) -> Markup:
    when = utc(run.started_at)
    if run.id == shown.id:
        return Markup("<b>{} · shown below</b>").format(when)
    return link(when, "commit", sha=run.commit.sha, repository=run.repository, run=run.id)


def results(run: Run, measured: Results) -> Markup:
    """What the run measured: what is not ok first, with its message, then family after family."""
    cases = cases_of(measured.results)
    if not cases:
        return Markup("<h3>Results</h3><p>No case of this run has a result.</p>")
    note = machine_note(run, cases)
    red = [one for one in cases if one.status is not Status.OK]
    groups: dict[str, list[Result]] = {}
    for one in cases:
        groups.setdefault(one.family, []).append(one)
    opened = Markup(" open") if len(cases) <= _OPEN else EMPTY
    folds = EMPTY.join(
        _FOLD.format(
            opened, plain(family) or UNNAMED, run_answer(members), _table(run, members, measured.times)
        )
        for family, members in groups.items()
    )
    return Markup("<h3>Results</h3><p>{} {}</p>{}{}{}{}").format(
        run_answer(cases),
        Markup('<span class="ps-muted">{}</span>').format(machine_words(run.environment)),
        Markup('<p class="ps-warn">{}</p>').format(note) if note else EMPTY,
        _red(run, red),
        Markup('<div class="ps-results">{}</div>').format(folds),
        _canaries(measured),
    )


def _table(run: Run, members: Sequence[Result], times: Mapping[str, TimeSummary]) -> Markup:
    rows = [_row(run, one, times) for one in members]
    return table(_HEADINGS, rows, numbers=_NUMBERS, label=f"Results of {plain(members[0].family)}")


def _red(run: Run, cases: Sequence[Result]) -> Markup:
    rows = [
        (_case(run, one), _status(one.status), error_cell(one), plain(one.message.strip().partition("\n")[0]))
        for one in sorted(cases, key=lambda one: (list(_CHIPS).index(one.status), one.case))
    ]
    return table(("case", "status", "error", "message"), rows, label="What is not ok") if rows else EMPTY


def _row(run: Run, one: Result, times: Mapping[str, TimeSummary]) -> tuple[Markup | str, ...]:
    # A red gate shows no time, even if there were one.
    time = times.get(one.case) if one.status is Status.OK else None
    return (
        _case(run, one),
        _status(one.status),
        format_ns(time.median_ns) if time else "–",
        f"{format_ns(time.low_ns)} … {format_ns(time.high_ns)}" if time else "–",
        error_cell(one),
        roofline_cell(one),
        resources_cell(one),
        timer_label(one.timer),
    )


def _case(run: Run, one: Result) -> Markup:
    where = {"repository": run.repository, "machine": run.environment.fingerprint}
    return link(plain(one.case), "case", case=one.case, run=run.id, **where)


def _status(status: Status) -> Markup:
    return verdict_chip(*_CHIPS[status])


def _canaries(measured: Results) -> Markup:
    shown = [
        f"{canary_name(one.case)} {format_ns(measured.times[one.case].median_ns)}"
        for one in canaries_of(measured.results)
        if one.case in measured.times
    ]
    return Markup('<p class="ps-muted">canaries: {}</p>').format(", ".join(shown)) if shown else EMPTY


def comparisons(sha: str, found: Sequence[Comparison]) -> Markup:
    """The comparisons that the commit was a side of."""
    rows = [
        (
            link(f"{one.base.commit.label} → {one.head.commit.label}", "compare", comparison=one.id),
            "base and head"
            if one.base.commit.sha == one.head.commit.sha
            else "head"
            if one.head.commit.sha == sha
            else "base",
            utc(one.started_at),
            plain(one.head.environment.label),
            one.kind + ("" if one.finished_at else ", not finished"),
        )
        for one in found
    ]
    if not rows:
        return EMPTY
    headings = ("comparison", "this commit is", "when", "machine", "kind")
    return Markup("<h3>Comparisons</h3>{}").format(table(headings, rows, label="Comparisons"))


def alerts(found: Sequence[Alert]) -> Markup:
    """Alerts whose range begins or ends at the commit."""
    rows = [
        (
            link(plain(one.case), "alerts", alert=one.id, repository=one.repository),
            what_moved(one),
            commits_of(one),
            one.state.value,
            plain(one.reason),
        )
        for one in found[:_MOST_ALERTS]
    ]
    if not rows:
        return EMPTY
    left = len(found) - len(rows)
    more = Markup("<p>… {} more</p>").format(left) if left else EMPTY
    headings = ("alert", "what moved", "between", "state", "why")
    return Markup("<h3>Alerts</h3>{}{}").format(table(headings, rows, label="Alerts"), more)


def reproduce(run: Run, around: Neighbours, measured: Results) -> str:
    """Commands for a shell in the repository; of a case that is not ok also what finds the commit."""
    sha = run.commit.sha[:10]
    chosen = ["-k", plain(run.pattern)] if run.pattern else []
    lines = [shlex.join(["perfsuite", "run", "--revision", sha, *chosen, "--profile", plain(run.profile)])]
    before = around.before.sha[:10] if around.before else f"{sha}~1"
    lines.append(shlex.join(["perfsuite", "compare", before, sha, *chosen]))
    red = [one.case for one in cases_of(measured.results) if one.status in (Status.INCORRECT, Status.FAILED)]
    if red and around.before:
        lines.append(shlex.join(["perfsuite", "bisect", plain(red[0]), before, sha]))
    lines.append(shlex.join(["perfsuite", "report", run.id[:12]]))
    return "\n".join(lines)


def results_frame(measured: Results) -> pd.DataFrame:
    """The results for a spreadsheet: times in µs."""
    import pandas as pd

    cases = cases_of(measured.results)
    times = [measured.times.get(one.case) if one.status is Status.OK else None for one in cases]
    return pd.DataFrame(
        {
            "case": [one.case for one in cases],
            "family": [one.family for one in cases],
            "status": [one.status.value for one in cases],
            "median (µs)": [time and time.median_ns / NS_PER_US for time in times],
            "low (µs)": [time and time.low_ns / NS_PER_US for time in times],
            "high (µs)": [time and time.high_ns / NS_PER_US for time in times],
            "error (RMS)": [one.error_rms for one in cases],
            "tolerance": [one.tolerance for one in cases],
            "roofline": [one.roofline_fraction for one in cases],
            "registers/spills/shared": [resources_cell(one) for one in cases],
            "timer": [timer_label(one.timer) for one in cases],
            "message": [one.message.partition("\n")[0] for one in cases],
        }
    )
