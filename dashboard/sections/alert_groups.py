"""Alerts that belong together: one commit range that moved forty cases is one finding. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfsuite.model import Alert, AlertState
from perfsuite.units import format_share

ALL = "all"
STATES = (*(state.value for state in AlertState), ALL)
KINDS = (ALL, "slower", "faster", "missing", "silent")
_TOLD = {"missing": "stopped arriving", "silent": "fell silent"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address asks for."""

    state: str = AlertState.OPEN.value
    kind: str = ALL
    repository: str = ALL
    words: str = ""
    """All of them, in any order, somewhere in an alert."""

    def takes(self, alert: Alert) -> bool:
        return self.state in (ALL, alert.state.value) and self.takes_in_any_state(alert)

    def takes_in_any_state(self, alert: Alert) -> bool:
        if self.kind not in (ALL, alert.kind) or self.repository not in (ALL, alert.repository):
            return False
        told = (alert.case, alert.reason, alert.changed_by, alert.before, alert.after, alert.id, alert.kind)
        text = "\n".join(told).casefold()
        return all(word in text for word in self.words.casefold().split())


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts of one commit range of one repository, the largest change first."""

    alerts: tuple[Alert, ...]

    @property
    def first(self) -> Alert:
        return self.alerts[0]

    @property
    def title(self) -> str:
        """`3 cases slower, +3.80 to +4.10 %`."""
        kinds = {kind: [alert for alert in self.alerts if alert.kind == kind] for kind in _kinds(self.alerts)}
        return "; ".join(_told(kind, alerts) for kind, alerts in kinds.items())


def groups(alerts: Sequence[Alert]) -> list[Group]:
    """The group of the newest alert first."""
    found: dict[tuple[str, ...], list[Alert]] = {}
    for alert in alerts:
        found.setdefault(key(alert), []).append(alert)
    return [Group(tuple(sorted(items, key=_by_size))) for items in found.values()]


def key(alert: Alert) -> tuple[str, ...]:
    """Alerts of equal keys are one group."""
    # Two things that fell silent at the same time are two findings.
    alone = (alert.id,) if alert.kind == "silent" else ()
    return (alert.repository, alert.before, alert.after, *alone)


def _by_size(alert: Alert) -> tuple[float, str, str]:
    return (-abs(alert.change or 0.0), alert.case, alert.id)


def _kinds(alerts: Sequence[Alert]) -> list[str]:
    return list(dict.fromkeys(alert.kind for alert in alerts))


def _told(kind: str, alerts: Sequence[Alert]) -> str:
    cases = len({alert.case for alert in alerts})
    named = alerts[0].case if kind == "silent" else f"{cases} {'case' if cases == 1 else 'cases'}"
    changes = [alert.change for alert in alerts if alert.change is not None]
    return f"{named} {_TOLD.get(kind, kind)}" + (f", {_span(changes)}" if changes else "")


def _span(changes: Sequence[float]) -> str:
    low, high = format_share(min(changes)), format_share(max(changes))
    return low if low == high else f"{low.removesuffix(' %')} to {high}"
