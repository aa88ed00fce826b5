"""Alerts: raised by change points, triaged by people. What a person said is never overwritten by a machine
that had not heard of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select, update
from sqlalchemy.orm import Session

from perfsuite.errors import StoreError
from perfsuite.model import Alert, AlertState
from perfsuite.store.rows import Values
from perfsuite.store.statements import column_names, insert
from perfsuite.store.tables import AlertRow

_KEY = ("repository", "case_id", "fingerprint", "metric", "kind", "before", "after")
_STATE = ("state", "reason", "changed_by", "changed_at")
_CHANGING = tuple(name for name in column_names(AlertRow) if name not in ("id", "raised_at", *_STATE))


def put_alerts(connection: Connection, alerts: Iterable[Alert]) -> None:
    """Stores alerts, by id in place of former ones. Of two states the one set later stays; an alert whose
    change another one has already is left out."""
    # Sorted, so that two writers of the same alerts wait for each other instead of deadlocking.
    for alert in sorted(alerts, key=lambda item: item.id):
        values = _values(alert)
        same = and_(*(getattr(AlertRow, name) == values[name] for name in _KEY))
        if connection.execute(select(AlertRow.id).where(same, AlertRow.id != alert.id)).first():
            continue
        stored = update(AlertRow).where(AlertRow.id == alert.id)
        changed = connection.execute(stored.values({name: values[name] for name in _CHANGING}))
        if changed.rowcount == 0:
            # Another process may raise the same alert at this moment: one of them is enough.
            connection.execute(insert(connection, AlertRow).on_conflict_do_nothing(), values)
        elif alert.changed_at is not None:
            newer = or_(AlertRow.changed_at.is_(None), AlertRow.changed_at <= alert.changed_at)
            connection.execute(stored.where(newer).values({name: values[name] for name in _STATE}))


def change_alert(
    connection: Connection, label: str, alert_id: str, state: AlertState, reason: str, by: str, at: datetime
) -> None:
    """Sets the state of an alert.

    Raises:
        StoreError: there is no such alert.
    """
    values = {"state": state.value, "reason": reason, "changed_by": by, "changed_at": at}
    statement = update(AlertRow).where(AlertRow.id == alert_id).values(values)
    if connection.execute(statement).rowcount != 1:
        raise _unknown(label, alert_id)


def change_alerts(
    connection: Connection,
    label: str,
    seen: Iterable[Alert],
    state: AlertState,
    reason: str,
    by: str,
    at: datetime,
) -> list[Alert]:
    """Sets the state of all these alerts, or of none where somebody changed one of them since it was `seen`.

    Returns:
        Those that somebody changed, as they are now.

    Raises:
        StoreError: there is no such alert.
    """
    others: list[Alert] = []
    # Sorted, so that two writers of the same alerts wait for each other instead of deadlocking.
    wanted = {alert.id: alert for alert in sorted(seen, key=lambda item: item.id)}
    for alert_id, alert in wanted.items():
        # Locked where the database has locks of rows; SQLite's writer is alone from the beginning.
        query = select(AlertRow.__table__).where(AlertRow.id == alert_id).with_for_update()
        row = connection.execute(query).first()
        if row is None:
            raise _unknown(label, alert_id)
        now = to_alert(row)
        if (now.state, now.changed_at) != (alert.state, alert.changed_at):
            others.append(now)
    if not others:
        for alert_id in wanted:
            change_alert(connection, label, alert_id, state, reason, by, at)
    return others


def read_alerts(session: Session, query: Select[AlertRow]) -> list[Alert]:
    """The alerts of a query."""
    return [to_alert(row) for row in session.scalars(query)]


def newest_alerts() -> Select[AlertRow]:
    """All, the newest first."""
    return select(AlertRow).order_by(AlertRow.raised_at.desc(), AlertRow.id.desc())


def given(
    repository: str | None, case: str | None, states: Sequence[AlertState] | None, kind: str | None
) -> Iterator[ColumnElement[bool]]:
    """Conditions for what is given."""
    if repository is not None:
        yield AlertRow.repository == repository
    if case is not None:
        yield AlertRow.case_id == case
    if states is not None:
        yield AlertRow.state.in_([state.value for state in states])
    if kind is not None:
        yield AlertRow.kind == kind


def to_alert(row: AlertRow | Row[Any]) -> Alert:
    """The alert of a row.

    Raises:
        StoreError: the row is damaged.
    """
    try:
        state = AlertState(row.state)
    except ValueError as error:
        raise StoreError(
            f"the stored alert {row.id} is damaged: {error}", "`perfsuite db check` lists all damage"
        ) from error
    return Alert(
        id=row.id,
        repository=row.repository,
        case=row.case_id,
        fingerprint=row.fingerprint,
        kind=row.kind,
        before=row.before,
        after=row.after,
        change=row.change,
        low=row.low,
        high=row.high,
        raised_at=row.raised_at,
        state=state,
        reason=row.reason,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
        metric=row.metric,
    )


def _unknown(label: str, alert_id: str) -> StoreError:
    return StoreError(f"{label}: there is no alert {alert_id}", "`perfsuite alerts --all` lists them")


def _values(alert: Alert) -> Values:
    return {
        "id": alert.id,
        "repository": alert.repository,
        "case_id": alert.case,
        "fingerprint": alert.fingerprint,
        "metric": alert.metric,
        "kind": alert.kind,
        "before": alert.before,
        "after": alert.after,
        "change": _finite(alert.change),
        "low": _finite(alert.low),
        "high": _finite(alert.high),
        "raised_at": alert.raised_at,
        "state": alert.state.value,
        "reason": alert.reason,
        "changed_by": alert.changed_by,
        "changed_at": alert.changed_at,
    }


def _finite(value: float | None) -> float | None:
    """A size that is no number is unknown, as SQLite would have it anyway."""
    return value if value is not None and math.isfinite(value) else None
