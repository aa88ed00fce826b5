"""Which of a pull request's cases are its own doing: one class a case, and only a new regression is red.

As PyTorch's Dr. CI sorts failed tests, for speed: what main has too, what noise or the machine explains and
what a person accepted does not stand in the way of this pull request. Where in doubt a case stays new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from perfsuite.cases import match_cases
from perfsuite.model import (
    Alert,
    AlertState,
    CaseComparison,
    Command,
    ComparisonReport,
    Result,
    Verdict,
)
from perfsuite.units import format_share

NOISE_WINDOW = timedelta(days=30)
"""What was triaged as noise longer ago says little of the machine, driver and benchmark of today."""
NOISE_ALERTS = 2
"""One alert triaged as noise is a coincidence."""
_STANDING = (AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.EXPECTED)
"""Alerts whose change main still has."""
_ALREADY = ("already incorrect at base", "already failed at base")
_BROKEN_BASE = ("incorrect at base", "failed at base")
"""How `stats.judge` begins its sentences of cases whose base was no better, or is no baseline."""


class Class(StrEnum):
    """What a case means for the pull request. The values are the words people read."""

    NEW = "new regression"
    """Regressed, incorrect or failed, and none of the others. The only one that is red."""
    ON_MAIN = "already on main"
    NOISY = "noisy"
    MACHINE = "machine changed"
    NO_BASELINE = "no baseline"
    INCONCLUSIVE = "inconclusive"
    ACCEPTED = "accepted"
    OTHER = "other"
    """No trouble: improved, less accurate, unchanged, identical, removed."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """What the main series knows beyond the merge base."""

    alerts: Sequence[Alert] = ()
    """Alerts of the series of main, in any state."""
    launches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Case → launches of main's newest run (`launch_orders`), provided that it is of a commit after the merge
    base: at the merge base itself, or before it, equal code says nothing."""
    failing: Collection[str] = ()
    """Cases that are incorrect or failed in main's newest run."""
    commits: Collection[str] = ()
    """Shas of main after the merge base. Only alerts that one of them raised tell of a change that this pull
    request does not have in its base: without them, no alert excuses a case."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """Class of every case of a report, and why it is not simply new."""

    classes: Mapping[str, Class]
    reasons: Mapping[str, str]
    """Case → one sentence, plain text with words from outside in it; only where there is something to say."""

    @property
    def red(self) -> bool:
        return Class.NEW in self.classes.values()

    def count(self, wanted: Class) -> int:
        return Counter(self.classes.values())[wanted]

    def cases(self, report: ComparisonReport, wanted: Class) -> tuple[CaseComparison, ...]:
        """Those of a class, in the order of the report."""
        return tuple(c for c in report.comparisons if self.classes.get(c.case) is wanted)


def launch_orders(results: Sequence[Result]) -> dict[str, tuple[str, ...]]:
    """Case → its launches, of the cases whose launches prove what the device did."""
    return {result.case: result.launches.order for result in results if result.launches.comparable}


def sort_cases(
    report: ComparisonReport,
    head_launches: Mapping[str, tuple[str, ...]],
    trunk: Trunk,
    accepted: Sequence[Command],
    now: datetime,
) -> Sorted:
    """The class of every case.

    Args:
        head_launches: `launch_orders` of head's results.
        accepted: commands of this pull request; those with another verb than `accept` are passed over.
        now: aware; what was triaged as noise before `NOISE_WINDOW` no longer counts.
    """
    scene = _Scene(report, head_launches, trunk, [c for c in accepted if c.verb == "accept"], now)
    found = {compared.case: _class_of(compared, scene) for compared in report.comparisons}
    return Sorted(
        {case: kind for case, (kind, _) in found.items()},
        {case: reason for case, (_, reason) in found.items() if reason},
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    report: ComparisonReport
    head_launches: Mapping[str, tuple[str, ...]]
    trunk: Trunk
    accepted: Sequence[Command]
    now: datetime

    def alerts(self, case: str) -> list[Alert]:
        """Of that case's time on this kind of machine: other environments have other levels."""
        here = self.report.comparison.head.environment.fingerprint
        return [
            alert
            for alert in self.trunk.alerts
            if alert.case == case and alert.fingerprint == here and alert.metric == "time"
        ]


_Sorting = tuple[Class, str]


def _class_of(compared: CaseComparison, scene: _Scene) -> _Sorting:
    if compared.verdict.red:
        return _accepted(compared, scene) or _on_main(compared, scene) or _noisy(compared, scene) or _NEW
    if compared.verdict is Verdict.NEW:
        return Class.NO_BASELINE, ""
    if compared.verdict is Verdict.INCONCLUSIVE:
        return _undecided(compared, scene)
    return Class.OTHER, ""


_NEW: _Sorting = (Class.NEW, "")


def _accepted(compared: CaseComparison, scene: _Scene) -> _Sorting | None:
    """The newest acceptance that covers a case.

    Slowness is accepted up to the limit written down with the acceptance, at this head and at later ones.
    What has no limit, because it had no time (incorrect, failed) or was not measured yet, is accepted as it
    is at the head that the person saw: what a later head computes nobody has looked at.
    """
    for command in reversed(scene.accepted):
        pattern = str(command.arguments.get("case", "")).strip()
        if pattern and match_cases(pattern, [compared.case]) and _covers(command, compared, scene):
            reason = str(command.arguments.get("reason", "")).strip() or "no reason given"
            return Class.ACCEPTED, f"accepted by {command.author}: {reason}"
    return None


def _covers(command: Command, compared: CaseComparison, scene: _Scene) -> bool:
    limits = command.arguments.get("limits")
    limit = limits.get(compared.case) if isinstance(limits, Mapping) else None
    if limit is None:
        return command.head == scene.report.comparison.head.commit.sha
    if compared.verdict is not Verdict.REGRESSED or compared.low is None:
        # A limit was given to a slow-down; wrong results are something else.
        return False
    return compared.low <= float(limit)


def _on_main(compared: CaseComparison, scene: _Scene) -> _Sorting | None:
    case, trunk = compared.case, scene.trunk
    if compared.verdict is not Verdict.REGRESSED:
        already = next((line for line in compared.why if line.startswith(_ALREADY)), None)
        if already or case in trunk.failing:
            return Class.ON_MAIN, already or "its newest run on main is red too"
        return None
    ours = scene.head_launches.get(case)
    if ours and ours == trunk.launches.get(case):
        return Class.ON_MAIN, "main launches the same machine code by now"
    for alert in scene.alerts(case):
        if _tells_of(alert, compared, trunk):
            return (
                Class.ON_MAIN,
                f"main has it since {alert.after[:10]} (alert {alert.id[:12]}, {alert.state})",
            )
    return None


def _tells_of(alert: Alert, compared: CaseComparison, trunk: Trunk) -> bool:
    """Whether main slowed down by as much since the merge base: the intervals have a change in common."""
    if alert.kind != "slower" or alert.state not in _STANDING or alert.after not in trunk.commits:
        return False
    edges = (alert.low, alert.high, compared.low, compared.high)
    if any(edge is None for edge in edges):
        return False
    low, high, our_low, our_high = (float(edge) for edge in edges if edge is not None)
    return low <= our_high and our_low <= high


def _noisy(compared: CaseComparison, scene: _Scene) -> _Sorting | None:
    """Only times are noisy: what is wrong or fails is so whatever its series does."""
    if compared.change is None or compared.verdict in (Verdict.INCORRECT, Verdict.FAILED):
        return None
    if compared.floor is not None and abs(compared.change) < compared.floor:
        floor = format_share(compared.floor, signed=False)
        return Class.NOISY, f"nearer to zero than its noise floor of {floor}"
    since = scene.now - NOISE_WINDOW
    noise = [
        alert
        for alert in scene.alerts(compared.case)
        if alert.state is AlertState.NOISE and (alert.changed_at or alert.raised_at) >= since
    ]
    # A change larger than all that was called noise is none of it.
    largest = max((abs(alert.change or 0.0) for alert in noise), default=0.0)
    if len(noise) >= NOISE_ALERTS and (compared.low or 0.0) <= largest:
        share = format_share(largest, signed=False)
        return (
            Class.NOISY,
            f"{len(noise)} alerts of up to {share} were noise in the last {NOISE_WINDOW.days} days",
        )
    return None


def _undecided(compared: CaseComparison, scene: _Scene) -> _Sorting:
    """Why a case is inconclusive: nothing to compare with, the machine, its noise, or too little measured."""
    if any(line.startswith(_BROKEN_BASE) for line in compared.why):
        return Class.NO_BASELINE, ""
    if scene.report.machine and compared.change is not None:
        return Class.MACHINE, ""
    hidden = compared.floor is not None and compared.floor >= (compared.threshold or 0.0)
    noisy = _noisy(compared, scene) if hidden else None
    return noisy or (Class.INCONCLUSIVE, "")
