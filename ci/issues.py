"""Alerts as GitHub issues, for whoever wants to be told there: one issue an alert, open as long as it is.

The store decides, GitHub shows: an issue is found again by its label, its author and the hidden first line of
its text, is changed where its text differs, and closed when its alert was dealt with. Safe to repeat.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from ci.hub import Hub, Issue
from ci.silence import SILENT
from perfsuite.model import Alert, AlertState
from perfsuite.report.alerts import what_moved
from perfsuite.report.escape import code, fenced, literal, text
from perfsuite.units import format_share

LABEL = "perfsuite"
MOST_NEW = 20
"""Issues opened in one turn: a machine that slowed everything down shall not flood a repository at once."""
KINDS = ("slower", "missing", SILENT)
"""What somebody has to look after; what became faster is in the dashboard."""
WAITING = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
"""An acknowledged alert keeps its issue: somebody is at work on it."""
_MARKER = re.compile(r"<!-- perfsuite:alert ([0-9a-f]{32}) -->")
_SHA = re.compile(r"[0-9a-f]{40}")
_SHORT_SHA, _SHORT_ID = 10, 12
_LONGEST_CASE, _LONGEST_COMMAND = 150, 1000
_HUNDREDFOLD = 1.0
"""From this share on the decimals say nothing any more."""


def sync_issues(hub: Hub, alerts: Sequence[Alert]) -> bool:
    """Brings the issues of a repository up to date.

    Args:
        alerts: all of the repository, in any state.

    Returns:
        Whether all is told; some new ones wait for the next turn otherwise.
    """
    by_id = {alert.id: alert for alert in alerts if alert.kind in KINDS}
    told: set[str] = set()
    for issue in sorted(hub.issues(LABEL), key=lambda issue: issue.number):
        found = _MARKER.match(issue.body)
        if found is None:
            continue
        alert = by_id.get(found[1])
        if alert is None or alert.state not in WAITING or alert.id in told:
            _close(hub, issue, _closing(alert))
            continue
        told.add(alert.id)
        body = issue_body(alert)
        # GitHub keeps line ends of its own.
        if issue.body.replace("\r\n", "\n").strip() != body.strip():
            hub.change_issue(issue.number, body=body)
    new = [a for a in by_id.values() if a.state is AlertState.OPEN and a.id not in told]
    new.sort(key=lambda alert: (alert.raised_at, alert.id))
    for alert in new[:MOST_NEW]:
        hub.create_issue(issue_title(alert), issue_body(alert), LABEL)
    return len(new) <= MOST_NEW


def issue_title(alert: Alert) -> str:
    """`host/pack: 651 % slower since da7a88644e`. Nothing of a title is decoded, so nothing is escaped."""
    case = literal(alert.case, _LONGEST_CASE)
    if alert.kind == "missing":
        return f"{case}: no results any more after {literal(alert.before[:_SHORT_SHA])}"
    if alert.kind == SILENT:
        return f"{case}: silence" + (f" since {literal(alert.before[:10])}" if alert.before else "")
    size = f"{_share(alert.change)} " if alert.change is not None else ""
    return f"{case}: {size}slower since {literal(alert.after[:_SHORT_SHA])}"


def issue_body(alert: Alert) -> str:
    """Equal alerts give equal texts."""
    silent = alert.kind == SILENT
    facts = [f"- What: {text(what_moved(alert))}{_metric(alert)}"]
    facts += [f"- Commits: {_range(alert)}"] if not silent else []
    facts += [f"- Environment: {code(alert.fingerprint)}"] if alert.fingerprint else []
    facts += [f"- Raised: {alert.raised_at:%Y-%m-%d %H:%M} UTC"]
    parts = [f"<!-- perfsuite:alert {alert.id} -->\n{code(alert.case)}", "\n".join(facts)]
    parts += [f"Why: {text(alert.reason)}"] if alert.reason else []
    look = ["perfsuite ci health"] if silent else list(_commands(alert))
    parts += ["To look at it:", _block(look)]
    triage = f"perfsuite alerts set {alert.id[:_SHORT_ID]} expected --reason …"
    states = "`acknowledged`, `expected`, `fixed` or `noise`"
    parts += [f"To say what it is ({states}):", _block([triage])]
    parts += [
        "This issue is closed by itself once the alert is dealt with; closed by hand it is opened anew."
    ]
    return "\n\n".join(parts) + "\n"


def _close(hub: Hub, issue: Issue, why: str) -> None:
    hub.change_issue(issue.number, body=f"{issue.body.rstrip()}\n\n**Closed:** {why}\n", open=False)


def _closing(alert: Alert | None) -> str:
    if alert is None:
        return "this alert is not known any more."
    if alert.state in WAITING:
        return "another issue is about the same alert."
    said = f": {text(alert.reason)}" if alert.reason else "."
    by = f" by {text(alert.changed_by, 100)}" if alert.changed_by else ""
    return f"{alert.state.value}{by}{said}"


def _share(change: float) -> str:
    return f"{change * 100:.0f} %" if change >= _HUNDREDFOLD else format_share(change, signed=False)


def _metric(alert: Alert) -> str:
    return "" if alert.metric == "time" else f" ({text(alert.metric, 100)})"


def _range(alert: Alert) -> str:
    """A link to what lies between; relative, for this server's name is not known here."""
    ends = [sha for sha in (alert.before, alert.after) if sha]
    shown = code("...".join(sha[:_SHORT_SHA] for sha in ends))
    if len(ends) < 2:
        return f"after {shown}"
    whole = all(_SHA.fullmatch(sha) for sha in ends)
    return f"[{shown}](../compare/{ends[0]}...{ends[1]})" if whole else shown


def _commands(alert: Alert) -> list[str]:
    case = shlex.quote(alert.case)
    found = [f"perfsuite history {case}"]
    if alert.after:
        before, after = (shlex.quote(sha[:_SHORT_SHA]) for sha in (alert.before, alert.after))
        found.append(f"perfsuite bisect {case} {before} {after}")
    return found


def _block(commands: Sequence[str]) -> str:
    return fenced("\n".join(literal(command, _LONGEST_COMMAND) for command in commands), "sh")
