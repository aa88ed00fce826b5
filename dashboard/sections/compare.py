"""The parts of the compare page as HTML. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from dashboard.charts.forest import Address, forest, scale
from dashboard.charts.why import Code, why_table
from dashboard.links import Value
from dashboard.markup import EMPTY, link, table, text, verdict_chip
from dashboard.reads.compare import Push, address_of, pending
from dashboard.words import utc
from perfsuite.model import (
    CaseComparison,
    Comparison,
    ComparisonReport,
    Environment,
    Finding,
    Run,
    Verdict,
)
from perfsuite.report.conditions import conditions
from perfsuite.report.forest import axis_of, by_family, timed
from perfsuite.report.words import (
    CONFIRMED,
    canary_changes,
    finding_parts,
    headline,
    plain,
    reproduce,
    unfinished,
)
from perfsuite.stats.families import SEVERITY, WORDS
from perfsuite.stats.stored import STORED
from perfsuite.units import format_share

ALL = 60
"""Cases up to which each is drawn, quiet ones too."""
MOST = 200
"""Cases that are drawn at once of a larger comparison: what moved, the worst first."""
MOST_OF_FAMILY = 400
"""Of a family that is asked for."""
_OPEN_FINDINGS = 12
_OPEN_CASES = 12
"""Up to which the table has the quiet ones open."""
_TREND_CASES = 12
"""That the trends page overlays."""
_CHANGED = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.LESS_ACCURATE)
_GATE = {
    True: Markup('<span class="ps-chip ps-v-regressed"><span aria-hidden="true">✕</span> red</span>'),
    False: Markup('<span class="ps-chip ps-v-improved"><span aria-hidden="true">✓</span> green</span>'),
}
_QUIET = (Verdict.UNCHANGED, Verdict.IDENTICAL)
_GITHUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def answer(report: ComparisonReport) -> Markup:
    """The gate's colour in a word, what came of it in a sentence, and what makes either doubtful."""
    comparison = report.comparison
    chip = _GATE[report.red]
    doubts = [unfinished(comparison), report.machine, _kind(comparison)]
    return Markup('<p class="ps-answer">{} {}</p>{}').format(
        chip,
        headline(report),
        EMPTY.join(Markup('<p class="ps-warn">{}</p>').format(plain(doubt)) for doubt in doubts if doubt),
    )


def _kind(comparison: Comparison) -> str:
    if comparison.kind == STORED:
        return (
            "Two runs of different moments, judged with the noise between runs. Measured in lockstep, both "
            "show smaller changes."
        )
    return "The same commit on both sides: what moved here is noise." if comparison.kind == "noise" else ""


def facts(report: ComparisonReport) -> Markup:
    """Which commits, where, when and against what."""
    comparison = report.comparison
    head = comparison.head
    rows: list[tuple[str, Markup | str]] = [
        ("base", side(comparison.base)),
        ("head", side(head)),
        ("measured", f"{_when(comparison)} · profile {plain(head.profile)}"),
        ("machine", machine_words(head.environment)),
        ("threshold", format_share(comparison.threshold, signed=False)),
    ]
    canaries = canary_changes(report.canaries)
    if canaries:
        rows.append(("canaries", canaries.removeprefix("canaries ")))
    if _all_confirmed(report):
        rows.append(("evidence", f"each change {CONFIRMED}"))
    rows.append(("again", Markup("<code>{}</code>").format(reproduce(comparison))))
    return pairs(rows)


def _when(comparison: Comparison) -> str:
    if comparison.kind == STORED:
        return f"base {utc(comparison.base.started_at)}, head {utc(comparison.head.started_at)}"
    return utc(comparison.started_at)


def _all_confirmed(report: ComparisonReport) -> bool:
    changed = [one for one in report.comparisons if one.verdict in _CHANGED]
    return bool(changed) and all(one.confirmed for one in changed)


def pairs(rows: Sequence[tuple[str, Markup | str]]) -> Markup:
    """A list of names and values."""
    return Markup('<dl class="ps-kv">{}</dl>').format(
        EMPTY.join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in rows)
    )


def side(run: Run) -> Markup:
    """`1a2b3c4d5e subject · Ada`, the commit as a link."""
    commit = run.commit
    label = link(commit.label, "commit", sha=commit.sha, repository=run.repository)
    rest = " · ".join(plain(part) for part in (commit.subject, commit.author) if part)
    return Markup("{} {}").format(label, rest)


def machine_words(environment: Environment) -> Markup:
    """The environment, and under which circumstances it was measured."""
    lines = [plain(environment.label), *conditions(environment)]
    return Markup("<br>").join(map(text, lines))


def github(repository: str, path: str, label: str) -> Markup:
    """A link to a repository on GitHub; nothing where its name is not `owner/name`."""
    if not _GITHUB_NAME.fullmatch(repository):
        return EMPTY
    address = f"https://github.com/{repository}/{path}"
    return Markup('<a href="{}" rel="noopener noreferrer" target="_blank">{}</a>').format(address, label)


def findings(report: ComparisonReport) -> Markup:
    """A line for each finding, the worst first; many are folded."""
    lines = [_finding(report, one) for one in report.findings]
    if not lines:
        return EMPTY
    shown, rest = lines[:_OPEN_FINDINGS], lines[_OPEN_FINDINGS:]
    more = (
        Markup('<details class="ps-fold"><summary>{} more findings</summary>{}</details>').format(
            len(rest), _list(rest)
        )
        if rest
        else EMPTY
    )
    return Markup("<h3>Findings</h3>{}{}").format(_list(shown), more)


def _list(lines: Sequence[Markup]) -> Markup:
    return Markup('<ul class="ps-findings">{}</ul>').format(EMPTY.join(lines))


def _finding(report: ComparisonReport, finding: Finding) -> Markup:
    subject, rest = finding_parts(finding)
    shown = trends_link(report, finding.cases, subject or UNNAMED)
    return Markup("<li>{} {}: {}</li>").format(verdict_chip(finding.verdict), shown, rest)


UNNAMED = "(no family)"


def trends_link(report: ComparisonReport, cases: Sequence[str], label: str) -> Markup:
    """To the trends of some cases on the machine of the comparison."""
    head = report.comparison.head
    return link(
        label,
        "trends",
        title="Trends of these cases",
        case=list(cases[:_TREND_CASES]),
        repository=head.repository,
        machine=head.environment.fingerprint,
    )


def select(report: ComparisonReport, family: str | None) -> tuple[CaseComparison, ...]:
    """The cases that are drawn, in the order of the report: all of a small comparison; of a large one what
    moved, and the family that is asked for."""
    cases = report.comparisons
    if len(cases) <= ALL:
        return cases
    moved = {one.case for one in [one for one in cases if one.verdict not in _QUIET][:MOST]}
    asked = {one.case for one in [one for one in cases if one.family == family][:MOST_OF_FAMILY]}
    return tuple(one for one in cases if one.case in moved or one.case in asked)


def families(
    report: ComparisonReport, drawn: Sequence[CaseComparison], address: Address, here: Mapping[str, Value]
) -> Markup:
    """The forest, a fold for each family: the one that is asked for, then that of the worst case first; open
    where something moved.

    Args:
        drawn: of `select`.
        address: makes the link of a case.
        here: the address of this view, to which `family` is added.
    """
    axis = axis_of(timed(report))
    shown = dict(by_family(drawn))
    ordered = sorted(by_family(report.comparisons), key=lambda item: item[0] != here.get("family"))
    parts = [
        _family(
            report, family, members, shown.get(family, []), forest(shown.get(family, []), axis, address), here
        )
        for family, members in ordered
    ]
    if not parts:
        return EMPTY
    above = scale(axis) if any(one.change is not None for one in drawn) else EMPTY
    return Markup("<h3>Changes</h3>{}{}").format(above, EMPTY.join(parts))


def _family(
    report: ComparisonReport,
    family: str,
    members: Sequence[CaseComparison],
    drawn: Sequence[CaseComparison],
    picture: Markup,
    here: Mapping[str, Value],
) -> Markup:
    left = len(members) - len(drawn)
    name = plain(family) or UNNAMED
    worst = min((one.verdict for one in members), key=SEVERITY.index)
    untimed = Markup('<p class="ps-muted">None of these was timed.</p>') if drawn else EMPTY
    rest = Markup("<p>{}</p>").format(_rest(left, family, here)) if left else EMPTY
    return Markup(
        '<details class="ps-fold"{}><summary>{} <b>{}</b> '
        '<span class="ps-muted">{}</span> {}</summary>{}</details>'
    ).format(
        Markup(" open") if picture or any(one.verdict not in _QUIET for one in drawn) else EMPTY,
        verdict_chip(worst),
        name,
        counted(Counter(one.verdict for one in members)),
        trends_link(report, [one.case for one in members], "trends →"),
        (picture or untimed) + rest,
    )


def _rest(left: int, family: str, here: Mapping[str, Value]) -> Markup:
    if here.get("family") == family or not family:
        return Markup('<span class="ps-muted">{} more are in the saved table</span>').format(left)
    return _here(f"Draw {left} more →", {**here, "family": family})


def _here(label: str, params: Mapping[str, Value]) -> Markup:
    """A link to another view of this page."""
    return link(label, "compare", "", **params)


def counted(counts: Mapping[Verdict, int]) -> str:
    """`2 slower, 3 unchanged`."""
    return ", ".join(f"{counts[verdict]} {WORDS[verdict]}" for verdict in SEVERITY if counts.get(verdict))


def cases(
    report: ComparisonReport, drawn: Sequence[CaseComparison], base: Code, head: Code, address: Address
) -> Markup:
    """The why table of what is drawn, and how many cases are not in it."""
    left = len(report.comparisons) - len(drawn)
    note = (
        Markup(
            '<p class="ps-muted">{} more cases are in their families above, and in the saved table.</p>'
        ).format(left)
        if left
        else EMPTY
    )
    if not drawn:
        return note
    loud = [one for one in drawn if one.verdict not in _QUIET]
    quiet = [one for one in drawn if one.verdict in _QUIET]
    folded = (
        Markup('<details class="ps-fold"{}><summary>{}</summary>{}</details>').format(
            Markup(" open") if len(drawn) <= _OPEN_CASES else EMPTY,
            counted(Counter(one.verdict for one in quiet)),
            why_table(quiet, base, head, address),
        )
        if quiet
        else EMPTY
    )
    return Markup("<h3>Why</h3>{}{}{}").format(why_table(loud, base, head, address), folded, note)


def pull_history(repository: str, pull: int, pushes: Sequence[Push], shown: str) -> Markup:
    """A pull request's pushes, the newest first.

    Args:
        shown: id of the comparison below.
    """
    rows = [
        (
            link(push.job.head[:10], "commit", sha=push.job.head, repository=repository),
            utc(push.job.created_at),
            _outcome(push),
            push.job.state.value,
            _open(push, repository, pull, shown),
        )
        for push in pushes
    ]
    outside = github(repository, f"pull/{pull}", "on GitHub")
    return Markup("<h2>Pull request {} of {} <small>{}</small></h2>{}").format(
        f"#{pull}",
        plain(repository),
        outside,
        table(("head", "asked for", "verdicts", "state", ""), rows, label="Pushes, the newest first"),
    )


def _outcome(push: Push) -> Markup | str:
    if push.counts is None:
        return pending(push)
    worst = min(push.counts, key=SEVERITY.index, default=Verdict.UNCHANGED)
    return Markup("{} {}").format(verdict_chip(worst), counted(push.counts))


def _open(push: Push, repository: str, pull: int, shown: str) -> Markup | str:
    if push.comparison is None:
        return ""
    if push.comparison.id == shown:
        return Markup("<b>shown below</b>")
    return link("show", "compare", pull=pull, repository=repository, comparison=push.comparison.id)


def case_address(comparison: Comparison) -> Address:
    """Makes links of cases to the case page, with this comparison."""
    params = address_of(comparison)

    def made(compared: CaseComparison, label: str) -> Markup:
        return link(label, "case", title=compared.case, case=compared.case, **params)

    return made
