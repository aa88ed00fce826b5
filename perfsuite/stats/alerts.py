"""Alerts from change points: the same change stays the same alert while points arrive.

Pure: what is stored, who triages and what time it is are given.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median

from perfsuite.model import Alert, AlertState
from perfsuite.stats.change_points import ChangePoint, Kind
from perfsuite.stats.rules import SAME_EVENT_POINTS, Series
from perfsuite.units import format_share

US = "perfsuite"
"""Who changed a state that no person did."""
MISSING = "missing"
DAY_S = 86_400.0
"""What is measured on one day arrives together: a backfill, a batch or a busy morning says nothing of how
long a silence is usual. So gaps are between days, and none is below one."""
MISSING_GAPS = 5
"""A series is missing after so many times its usual gap. Nothing is usual more often than daily, so five days
are the least silence that asks for a person: a long weekend, from Thursday's last run to Tuesday's first, is
no outage. That nothing at all is measured is told sooner, by who measures."""
MISSING_LONGEST = 1.5
"""… and after so many times its longest gap of late: weekends of a busy series are in there."""
GAPS = 50
"""How many gaps are "of late"."""
LEAST_GAPS = 3
"""Fewer do not say what is usual."""
SURE = 1.5
"""`ChangePoint.margin` that raises an alert. A history is looked at anew with each point: at 1, one look in a
hundred sees a step in noise that later points take back; at 1.5, one or two in a thousand."""
RETURNED = 0.5
"""A level has returned when it is nearer to the old level than to the new one."""
_UNDECIDED = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
"""Nobody has said yet what it was: these may be fixed by a level that returns. What a person called expected,
noise or fixed stays so."""


@dataclass(frozen=True, slots=True)
class _Context:
    """What the alerts of one series have in common."""

    series: Series
    points: Sequence[ChangePoint]
    repository: str
    case: str
    fingerprints: Sequence[str]
    now: datetime
    metric: str

    def place(self, commit: str) -> int | None:
        """Newest index of a commit; None where the series does not have it."""
        commits = self.series.commits
        return len(commits) - 1 - commits[::-1].index(commit) if commit in commits else None

    def kind(self, change: float) -> str:
        return "slower" if (change > 0) == self.series.lower_is_better else "faster"


def reconcile(
    existing: Sequence[Alert],
    change_points: Sequence[ChangePoint],
    series: Series,
    *,
    repository: str,
    case: str,
    fingerprints: Sequence[str],
    now: datetime,
    metric: str = "time",
) -> list[Alert]:
    """The alerts of one series as they should be now: those that exist, then those that are new.

    A change point near an alert of its direction is that alert: it takes the new range, size and interval,
    and keeps its id, its time and what a person said of it. An undecided alert whose level returned becomes
    *fixed*, an open one whose change more points do not confirm *noise*, each with the reason. A series that
    stopped arriving is an alert as well. What lies outside the series is left as it is.

    Args:
        existing: alerts of this series, in any state.
        change_points: as `change_points(series)` finds them.
        series: with its commits and, where missing points shall be noticed, its times.
        fingerprints: the environment of each point.
        now: with a time zone.
        metric: what the series is of.
    """
    context = _Context(series, change_points, repository, case, fingerprints, now, metric)
    steps = [point for point in change_points if point.kind is Kind.STEP]
    known, fresh = _matched([alert for alert in existing if alert.kind != MISSING], steps, context)
    kept = [_updated(alert, known.get(alert.id), context) for alert in existing if alert.kind != MISSING]
    sure = [point for point in fresh if point.margin >= SURE and not _is_return(point, context)]
    raised = [_raised(point, context) for point in sure]
    missing = _missing([alert for alert in existing if alert.kind == MISSING], context)
    return [*kept, *(_settled(alert, point, context) for alert, point in raised), *missing]


def _matched(
    alerts: Sequence[Alert], steps: Sequence[ChangePoint], context: _Context
) -> tuple[dict[str, ChangePoint], list[ChangePoint]]:
    """Alert id → its change point, the nearest first; and the change points that are new."""
    near = sorted(
        (distance, i, alert.id)
        for i, point in enumerate(steps)
        for alert in alerts
        if (distance := _distance(alert, point, context)) is not None
    )
    known: dict[str, ChangePoint] = {}
    taken: set[int] = set()
    for _, i, alert_id in near:
        if alert_id not in known and i not in taken:
            known[alert_id] = steps[i]
            taken.add(i)
    return known, [point for i, point in enumerate(steps) if i not in taken]


def _distance(alert: Alert, point: ChangePoint, context: _Context) -> int | None:
    """Points between an alert's range and a change point's; None where they are not the same change."""
    before, after = context.place(alert.before), context.place(alert.after)
    if before is None or after is None or alert.kind != context.kind(point.change):
        return None
    if alert.fingerprint != context.fingerprints[point.index]:
        return None
    apart = max(point.low_index - after, before - point.high_index, 0)
    return apart if apart <= SAME_EVENT_POINTS else None


def _updated(alert: Alert, point: ChangePoint | None, context: _Context) -> Alert:
    """An alert that exists, with what its change point says now."""
    if point is not None:
        if alert.state is AlertState.NOISE and alert.changed_by == US:
            alert = _changed(alert, AlertState.OPEN, "more points show the change again", context)
        moved = replace(
            alert,
            before=context.series.commits[point.low_index],
            after=context.series.commits[point.high_index],
            change=point.change,
            low=point.low,
            high=point.high,
        )
        return _settled(moved, point, context)
    place = context.place(alert.after)
    gone = alert.state is AlertState.OPEN and place is not None and not _near(place, context)
    if not gone:
        return alert
    return _changed(alert, AlertState.NOISE, "more points do not confirm the change", context)


def _near(place: int, context: _Context) -> bool:
    """Whether any change point, a drift or a boundary too, lies about a place."""
    reach = SAME_EVENT_POINTS
    return any(p.low_index - reach <= place <= p.high_index + reach for p in context.points)


def _raised(point: ChangePoint, context: _Context) -> tuple[Alert, ChangePoint]:
    commits, kind = context.series.commits, context.kind(point.change)
    fingerprint = context.fingerprints[point.index]
    after = commits[point.high_index]
    alert = Alert(
        id=_id(context, fingerprint, kind, after),
        repository=context.repository,
        case=context.case,
        fingerprint=fingerprint,
        kind=kind,
        before=commits[point.low_index],
        after=after,
        change=point.change,
        low=point.low,
        high=point.high,
        raised_at=context.now,
        metric=context.metric,
    )
    return alert, point


def _settled(alert: Alert, point: ChangePoint, context: _Context) -> Alert:
    """Fixed where a person has not decided and the level is back; else as it is."""
    if alert.kind != "slower" or alert.state not in _UNDECIDED:
        return alert
    back = _return_of(point, context)
    if back is None:
        return alert
    commit = context.series.commits[back.high_index][:10]
    left = format_share(back.after / point.before - 1)
    return _changed(alert, AlertState.FIXED, f"the level returned at {commit}, {left} of before", context)


def _return_of(point: ChangePoint, context: _Context) -> ChangePoint | None:
    """The later step after which the level has stayed nearer to what it was before `point`."""
    later = [p for p in context.points if p.index > point.index]
    end = next((i for i, p in enumerate(later) if p.kind is Kind.BOUNDARY), len(later))
    moves = later[:end]
    if not moves or not _back(point, moves[-1].after):
        return None
    # The first of the moves since which it never left again.
    first = len(moves) - 1
    while first > 0 and _back(point, moves[first - 1].after):
        first -= 1
    return moves[first]


def _back(point: ChangePoint, level: float) -> bool:
    moved = point.after - point.before
    return moved != 0 and (level - point.before) / moved < RETURNED


def _is_return(point: ChangePoint, context: _Context) -> bool:
    """Whether a faster step only undoes a slower one: that is said there, and is no news of its own."""
    if context.kind(point.change) != "faster":
        return False
    slower = (
        p
        for p in context.points
        if p.kind is Kind.STEP and p.index < point.index and context.kind(p.change) == "slower"
    )
    return any(_return_of(p, context) is point and _undoes(p, point) for p in slower)


def _undoes(slower: ChangePoint, faster: ChangePoint) -> bool:
    """It does not end much below where the slower one began: that would be an improvement."""
    moved = abs(slower.after - slower.before)
    return abs(faster.after - slower.before) < RETURNED * moved


def _missing(existing: Sequence[Alert], context: _Context) -> list[Alert]:
    """The alerts of a series that stopped arriving: raised, kept, or fixed because it is back."""
    times, commits = context.series.times, context.series.commits
    if not times or not commits:
        return list(existing)
    newest = max(range(len(times)), key=lambda i: (times[i], i))
    last, stopped = commits[newest], _has_stopped(times, context.now)
    found = []
    for alert in existing:
        if alert.before != last and alert.state in _UNDECIDED:
            alert = _changed(alert, AlertState.FIXED, f"results arrive again: {last[:10]}", context)
        found.append(alert)
    if stopped and not any(alert.before == last for alert in existing):
        found.append(_stopped(last, context.fingerprints[newest], context))
    return found


def _has_stopped(times: Sequence[float], now: datetime) -> bool:
    """Whether the newest point is much older than the gaps between days let expect. `times` in seconds."""
    days = sorted({time // DAY_S for time in times})
    gaps = [after - before for before, after in itertools.pairwise(days)][-GAPS:]
    if len(gaps) < LEAST_GAPS:
        return False
    allowed = max(MISSING_GAPS * median(gaps), MISSING_LONGEST * max(gaps))
    return now.timestamp() - max(times) > allowed * DAY_S


def _stopped(last: str, fingerprint: str, context: _Context) -> Alert:
    since = datetime.fromtimestamp(max(context.series.times), UTC)
    return Alert(
        id=_id(context, fingerprint, MISSING, last),
        repository=context.repository,
        case=context.case,
        fingerprint=fingerprint,
        kind=MISSING,
        before=last,
        after="",
        change=None,
        low=None,
        high=None,
        raised_at=context.now,
        reason=f"no result since {since:%Y-%m-%d %H:%M} UTC",
        metric=context.metric,
    )


def _changed(alert: Alert, state: AlertState, reason: str, context: _Context) -> Alert:
    return replace(alert, state=state, reason=reason, changed_by=US, changed_at=context.now)


def _id(context: _Context, fingerprint: str, kind: str, commit: str) -> str:
    """The same alert has the same id wherever it is raised."""
    key = (context.repository, context.case, fingerprint, context.metric, kind, commit)
    return hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
