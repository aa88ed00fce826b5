"""Pieces of the alerts page as HTML. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from dashboard.charts.around import around_change
from dashboard.links import Value
from dashboard.markup import EMPTY, link, text
from dashboard.reads.alerts import Around
from dashboard.sections.alert_groups import Group
from dashboard.words import utc
from perfsuite.model import Alert, AlertState, Commit
from perfsuite.report.alerts import commits_of, what_moved

SIGNS = {
    AlertState.OPEN: "●",
    AlertState.ACKNOWLEDGED: "◐",
    AlertState.EXPECTED: "✓",
    AlertState.FIXED: "✔",
    AlertState.NOISE: "≈",
}
"""Beside the word, so that nothing is told by colour alone."""
LONGEST = 160
"""Letters of a name in a cell; the rest is in its title."""
CASES_SHOWN = 5
"""Of a finding in the list; its own view has all."""
SHOWN_BESIDE = 50
"""Other alerts of the same commits, below one alert."""
_OPEN_BESIDE = 4
"""Of them, up to which they are open."""
MOST_TOGETHER = 100
"""Alerts in one address, which proxies cut beyond some thousand letters; more are told apart by a search."""
UNDECIDED = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
_SHA, _ID = 10, 12
_GITHUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
_HASH = re.compile(r"[0-9a-f]{7,64}")
_COLUMNS = ("case", "machine", "change", "state", "who, when, why", "leads to")

Params = Mapping[str, Value]


def state_chip(state: AlertState) -> Markup:
    return Markup('<span class="ps-chip ps-a-{}"><span aria-hidden="true">{}</span> {}</span>').format(
        state.value, SIGNS[state], state.value
    )


def short(words: str) -> Markup:
    """A name of others, cut where it is very long; whole in its title."""
    shown = text(words)
    if len(shown.striptags()) <= LONGEST:
        return shown
    return Markup('<span title="{}">{}…</span>').format(shown, text(words[:LONGEST]))


def choices(label: str, key: str, current: str, entries: Iterable[tuple[str, str]], params: Params) -> Markup:
    """Links of which one is current: value and what it is called."""
    items = [
        Markup("<li{}>{}</li>").format(
            Markup(' aria-current="true"') if value == current else EMPTY,
            link(short(shown), "alerts", "", **{**params, key: value}),
        )
        for value, shown in entries
    ]
    return Markup('<nav class="ps-menu ps-choices" aria-label="{}"><ul>{}</ul></nav>').format(
        label, EMPTY.join(items)
    )


def findings(
    found: Sequence[Group], commits: Mapping[str, Commit], machines: Mapping[str, str], params: Params
) -> Markup:
    """One table, each finding a heading in it and its first cases below."""
    bodies = EMPTY.join(_finding(group, commits, machines, params) for group in found)
    return _table(bodies, "findings, newest first")


def _finding(
    group: Group, commits: Mapping[str, Commit], machines: Mapping[str, str], params: Params
) -> Markup:
    first, count = group.first, len(group.alerts)
    label = "look, and triage" if count == 1 else f"triage these {count} together"
    heading = Markup("<strong>{}</strong> · {} · raised {} · {}").format(
        short(group.title),
        range_of(first, commits),
        utc(first.raised_at),
        triage_link(label, group.alerts, params),
    )
    left = f"… and {count - CASES_SHOWN} more" if count > CASES_SHOWN else ""
    return Markup("<tbody>{}{}{}</tbody>").format(
        _across(heading, heads=True),
        EMPTY.join(_row(alert, machines, params) for alert in group.alerts[:CASES_SHOWN]),
        _across(text(left)) if left else EMPTY,
    )


def rows(alerts: Sequence[Alert], machines: Mapping[str, str], params: Params) -> Markup:
    """A table, a row an alert."""
    return _table(
        Markup("<tbody>{}</tbody>").format(EMPTY.join(_row(alert, machines, params) for alert in alerts)),
        "alerts",
    )


def _table(bodies: Markup, label: str) -> Markup:
    heads = EMPTY.join(Markup("<th scope=col>{}</th>").format(name) for name in _COLUMNS)
    return Markup(
        '<div class="ps-scroll" tabindex=0 role=region aria-label="{}"><table class="ps-table">'
        "<thead><tr>{}</tr></thead>{}</table></div>"
    ).format(label, heads, bodies)


def _across(content: Markup, *, heads: bool = False) -> Markup:
    """A row of one cell."""
    cell = Markup("<th scope=rowgroup colspan={}>{}</th>" if heads else "<td colspan={}>{}</td>")
    return Markup("<tr>{}</tr>").format(cell.format(len(_COLUMNS), content))


def _row(alert: Alert, machines: Mapping[str, str], params: Params) -> Markup:
    cells = (
        triage_link(short(alert.case), [alert], params),
        short(machines.get(alert.fingerprint, alert.fingerprint)),
        Markup('<span style="white-space:nowrap">{}</span>').format(what_moved(alert)),
        state_chip(alert.state),
        said(alert),
        leads(alert),
    )
    return Markup("<tr>{}</tr>").format(EMPTY.join(Markup("<td>{}</td>").format(cell) for cell in cells))


def triage_link(label: str | Markup, alerts: Sequence[Alert], params: Params) -> Markup:
    """To exactly these alerts, up to MOST_TOGETHER."""
    return link(
        label, "alerts", "", **{**params, "alert": [alert.id[:_ID] for alert in alerts[:MOST_TOGETHER]]}
    )


def together(
    alerts: Sequence[Alert], commits: Mapping[str, Commit], machines: Mapping[str, str], params: Params
) -> Markup:
    """Several alerts, of one range or not."""
    one_range = len({(alert.repository, alert.before, alert.after) for alert in alerts}) == 1
    told = Markup("<p>{} {}</p>").format(range_of(alerts[0], commits), outside(alerts[0]))
    return Markup("<h2>{}</h2>{}{}").format(
        short(Group(tuple(alerts)).title), told if one_range else EMPTY, rows(alerts, machines, params)
    )


def alone(
    alert: Alert,
    others: Sequence[Alert],
    seen: Around | None,
    commits: Mapping[str, Commit],
    machines: Mapping[str, str],
    params: Params,
) -> Markup:
    """One alert: its facts, the series about it, and what else its commit range moved."""
    picture, zoom = EMPTY, {}
    if seen is not None:
        picture = around_change(
            seen.values_ns, seen.statuses, seen.commits, seen.low, seen.high, alert.repository
        )
        zoom = {"from": seen.commits[0].sha, "to": seen.commits[-1].sha}
    ways = [way for way in (leads(alert, **zoom), _comparison(alert), outside(alert)) if way]
    return Markup("<h2>{}</h2>{}<p>{}</p>{}{}").format(
        short(alert.case),
        picture,
        Markup(" · ").join(ways),
        details(alert, commits, machines),
        _others(alert, others, machines, params) if others else EMPTY,
    )


def _others(alert: Alert, others: Sequence[Alert], machines: Mapping[str, str], params: Params) -> Markup:
    waiting = [one for one in (alert, *others) if one.state in UNDECIDED]
    label = f"triage the {len(waiting)} that are open or acknowledged together"
    together = triage_link(label, waiting, params) if len(waiting) > 1 else EMPTY
    # The form stands below: a long list must not push it out of sight.
    return Markup(
        "<h3>The same commits also moved</h3>"
        '<details class="ps-fold"{}><summary>{} more</summary>{}</details><p>{}</p>'
    ).format(
        Markup(" open") if len(others) <= _OPEN_BESIDE else EMPTY,
        f"{len(others):,}",
        rows(others[:SHOWN_BESIDE], machines, params),
        together,
    )


def _comparison(alert: Alert) -> Markup:
    if not alert.after or not alert.before:
        return EMPTY
    ends = {"base": alert.before, "head": alert.after}
    return link("compare", "compare", **ends, repository=alert.repository, machine=alert.fingerprint)


def said(alert: Alert) -> Markup:
    """Who set the state, when, and why."""
    parts = [short(alert.changed_by), text(utc(alert.changed_at)) if alert.changed_at else EMPTY]
    told = Markup(", ").join(part for part in parts if part)
    return Markup(": ").join(part for part in (told, short(alert.reason)) if part)


def leads(alert: Alert, **more: Value) -> Markup:
    """To the series and the case; nowhere from what is no case."""
    if alert.kind == "silent":
        return EMPTY
    here = {"case": alert.case, "repository": alert.repository, "machine": alert.fingerprint}
    links = (link("trends", "trends", "", **here, **more), link("case", "case", "", **here))
    return Markup('<span class="ps-wide">{} · {}</span>').format(*links)


def range_of(alert: Alert, commits: Mapping[str, Commit]) -> Markup:
    """`before..after subject`, each leading to its commit."""
    if alert.kind == "silent" or not alert.before:
        return text(commits_of(alert))
    if not alert.after:
        return Markup("after {}").format(commit_link(alert, alert.before, commits))
    ends = (commit_link(alert, sha, commits) for sha in (alert.before, alert.after))
    subject = commits[alert.after].subject if alert.after in commits else ""
    return Markup("{}..{} {}").format(*ends, Markup("<i>{}</i>").format(short(subject)) if subject else EMPTY)


def commit_link(alert: Alert, sha: str, commits: Mapping[str, Commit]) -> Markup:
    title = commits[sha].subject[:LONGEST] if sha in commits else "not in this store"
    return link(sha[:_SHA], "commit", title, sha=sha, repository=alert.repository)


def outside(alert: Alert) -> Markup:
    """The range at GitHub, where the repository and both ends look like they were there."""
    ends = (alert.before, alert.after)
    if not _GITHUB.fullmatch(alert.repository) or not all(_HASH.fullmatch(sha) for sha in ends):
        return EMPTY
    address = f"https://github.com/{alert.repository}/compare/{alert.before}...{alert.after}"
    return Markup('<a href="{}" rel="noopener noreferrer" target="_blank">the range at GitHub ↗</a>').format(
        address
    )


def details(alert: Alert, commits: Mapping[str, Commit], machines: Mapping[str, str]) -> Markup:
    """One alert's facts as a definition list."""
    facts = [
        ("what", text(what_moved(alert))),
        ("of", text(f"{alert.metric}, {alert.kind}")),
        ("between", range_of(alert, commits)),
        ("repository", short(alert.repository)),
        ("machine", short(machines.get(alert.fingerprint, alert.fingerprint))),
        ("raised", text(utc(alert.raised_at))),
        ("state", state_chip(alert.state)),
        ("who, when, why", said(alert)),
        ("id", text(alert.id)),
    ]
    return Markup('<dl class="ps-kv">{}</dl>').format(
        EMPTY.join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts if value)
    )
