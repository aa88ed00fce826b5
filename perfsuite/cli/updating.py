"""Alerts from the series of the default branch: after a run, and for `perfsuite alerts update`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from perfsuite.cli.series import KINDS, StoredSeries, stored_series

if TYPE_CHECKING:
    from perfsuite.config import Config
    from perfsuite.model import Alert
    from perfsuite.store import Reader, Store


def update_alerts(
    store: Store,
    repository: str,
    *,
    branch: str | None = None,
    cases: Collection[str] | None = None,
    now: datetime | None = None,
) -> list[Alert]:
    """Looks for change points and series that stopped, and stores the alerts that are new or changed.

    Args:
        repository: whose runs.
        branch: its default branch, see `default_branch_of`; None: the runs of all branches.
        cases: only these, such as those of the newest run; default: all of the store.
        now: for tests.

    Returns:
        What was stored.
    """
    from perfsuite.cli.measuring import now as present

    existing: dict[str, list[Alert]] = {}
    for alert in store.reader.alerts(repository):
        existing.setdefault(alert.case, []).append(alert)
    moment = now or present()
    changed: list[Alert] = []
    for case in store.reader.cases() if cases is None else sorted(cases):
        for one in stored_series(store.reader, case, repository=repository, branch=branch):
            changed += _reconciled(existing.get(case, []), one, moment)
    store.save_alerts(changed)
    return changed


def default_branch_of(config: Config, repository: str) -> str | None:
    """The default branch where that repository is the one around us; None where it is not known."""
    from perfsuite.errors import UsageError
    from perfsuite.git import Repository

    if name_of(config) != repository:
        return None
    try:
        return Repository.discover(config.root).default_branch(config.default_branch)
    except UsageError:
        return None


def name_of(config: Config) -> str:
    """Name of the repository around us, as its runs have it."""
    from perfsuite.git import NotARepository, Repository

    try:
        return Repository.discover(config.root).name
    except NotARepository:
        return config.root.name


def known_repositories(reader: Reader) -> list[str]:
    """The repositories that have series."""
    return reader.repositories(kinds=KINDS)


def _reconciled(existing: Sequence[Alert], stored: StoredSeries, now: datetime) -> list[Alert]:
    """The alerts of one series that are new or changed."""
    from perfsuite.stats.alerts import reconcile
    from perfsuite.stats.change_points import change_points

    fingerprints = [point.run.environment.fingerprint for point in stored.points]
    mine = [alert for alert in existing if alert.fingerprint in fingerprints]
    series = stored.series
    found = reconcile(
        mine,
        change_points(series),
        series,
        repository=stored.repository,
        case=stored.case,
        fingerprints=fingerprints,
        now=now,
    )
    return [alert for alert in found if alert not in mine]
