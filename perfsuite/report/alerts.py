"""Alerts as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from perfsuite.model import Alert, AlertState
from perfsuite.report.columns import columns
from perfsuite.report.words import plain
from perfsuite.units import format_share

_SHA, _ID = 10, 12
_MINUTE = len("2025-06-01T12:00")
_SILENCES = {"missing": "no results any more", "silent": "silence"}
"""Alerts of what did not come."""


def alerts_text(alerts: Sequence[Alert]) -> str:
    """A line an alert, in the order given; why it has its state below, where somebody said so."""
    if not alerts:
        return "No alerts.\n"
    rows = [
        (
            alert.id[:_ID],
            alert.state.value,
            plain(alert.case),
            what_moved(alert),
            commits_of(alert),
            f"{alert.raised_at:%Y-%m-%d}",
            _said(alert),
        )
        for alert in alerts
    ]
    headings = ("alert", "state", "case", "what", "commits", "raised", "why")
    return "\n".join([_answer(alerts), *columns(headings, rows)]) + "\n"


def alerts_json(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Plain values; shares are fractions, times ISO 8601."""
    return {"schema": 1, "alerts": [_plain(alert) for alert in alerts]}


def what_moved(alert: Alert) -> str:
    """`+4.10 % [+3.20 … +5.00]`, `faster`, `no results any more` or `silence`."""
    if alert.kind in _SILENCES:
        return _SILENCES[alert.kind]
    if alert.change is None:
        return alert.kind
    change = format_share(alert.change)
    if alert.low is None or alert.high is None:
        return change
    low, high = (format_share(value).removesuffix(" %") for value in (alert.low, alert.high))
    return f"{change} [{low} … {high}]"


def commits_of(alert: Alert) -> str:
    """`1a2b3c4d5e..6f7a8b9c0d`: the change lies between. Of a silence, which has no commits: since when."""
    if alert.kind == "silent":
        return f"since {plain(alert.before[:_MINUTE]).replace('T', ' ')}" if alert.before else ""
    before, after = (plain(sha[:_SHA]) for sha in (alert.before, alert.after))
    return f"{before}..{after}" if after else f"after {before}"


def _said(alert: Alert) -> str:
    by = f"{plain(alert.changed_by)}: " if alert.changed_by and alert.reason else ""
    return by + plain(alert.reason)


def _answer(alerts: Sequence[Alert]) -> str:
    counts = {state: sum(alert.state is state for alert in alerts) for state in AlertState}
    told = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
    return f"{len(alerts)} {'alert' if len(alerts) == 1 else 'alerts'}: {told}."


def _plain(alert: Alert) -> dict[str, Any]:
    values = {field.name: getattr(alert, field.name) for field in fields(alert)}
    for name in ("raised_at", "changed_at"):
        values[name] = values[name].isoformat() if values[name] is not None else None
    return {**values, "state": alert.state.value}
