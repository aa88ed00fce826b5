"""The series of the default branch as they are stored, in the form that rules on histories take."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from perfsuite.model import Environment, Status, Timer
from perfsuite.report.conditions import is_untrusted
from perfsuite.report.environments import differences, machine_model
from perfsuite.stats.rules import Series

if TYPE_CHECKING:
    from perfsuite.store import Reader, SeriesPoint

KINDS = ("run", "import")
"""The sides of comparisons are no part of a series: a second process on the GPU makes short ops faster."""
_TIMED = (Timer.GRAPH, Timer.EVENTS, Timer.WALL, Timer.IMPORTED)


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """The times of one case on one GPU model (or CPU), joined over its environments."""

    repository: str
    case: str
    points: tuple[SeriesPoint, ...]
    boundaries: Mapping[int, str]
    """First point of each further environment, version or timer → what changed there."""

    @property
    def environment(self) -> Environment:
        """The newest."""
        return self.points[-1].run.environment

    @property
    def series(self) -> Series:
        """In ns, as rules take it."""
        known = [(p.median_ns or 0.0, p.low_ns, p.high_ns) for p in self.points]
        return Series(
            id=self.case,
            values=tuple(value for value, _, _ in known),
            low=tuple(value if low is None else low for value, low, _ in known),
            high=tuple(value if high is None else high for value, _, high in known),
            times=tuple(p.run.started_at.timestamp() for p in self.points),
            commits=tuple(p.run.commit.sha for p in self.points),
            boundaries=tuple(self.boundaries),
        )


def stored_series(
    reader: Reader, case: str, *, repository: str | None = None, branch: str | None = None
) -> list[StoredSeries]:
    """All series of a case: one a repository and GPU model; those of the newest runs last.

    Runs of dirty trees and of strangers' code are left out, and those of which it is known that they are of
    another branch.

    Args:
        repository: only its runs.
        branch: the default branch, `main` or `origin/main`; None takes the runs of all branches.
    """
    groups: dict[tuple[str, object], list[SeriesPoint]] = {}
    for point in reader.series(case, repository=repository, kinds=KINDS):
        if _counts(point, branch):
            groups.setdefault((point.run.repository, machine_model(point.run.environment)), []).append(point)
    found = [_joined(repository, case, points) for (repository, _), points in groups.items()]
    return sorted(found, key=lambda one: max(point.run.started_at for point in one.points))


def _counts(point: SeriesPoint, branch: str | None) -> bool:
    commit = point.run.commit
    if is_untrusted(point.run.environment):
        return False
    if commit.dirty or point.status is not Status.OK or point.timer not in _TIMED:
        return False
    if not point.median_ns or point.median_ns <= 0:
        return False
    return branch is None or not commit.branch or commit.branch == branch.removeprefix("origin/")


def _joined(repository: str, case: str, points: Sequence[SeriesPoint]) -> StoredSeries:
    """Environment after environment, each in the order of its commits.

    Commits measured anew in a later environment follow it: else the series would change its environment to
    and fro, and every boundary forgets what came before.
    """
    parts: dict[object, list[SeriesPoint]] = {}
    for point in points:
        parts.setdefault((point.run.environment.fingerprint, point.version, point.timer), []).append(point)
    ordered = sorted(parts.values(), key=_begin)
    boundaries, joined = {}, list(ordered[0])
    for before, after in itertools.pairwise(ordered):
        boundaries[len(joined)] = _difference(before[-1], after[0])
        joined += after
    return StoredSeries(repository, case, tuple(joined), boundaries)


def _begin(points: Iterable[SeriesPoint]) -> tuple[datetime, str]:
    return min((point.run.started_at, point.run.id) for point in points)


def _difference(before: SeriesPoint, after: SeriesPoint) -> str:
    """`driver 580.1 → 590.2, triton 3.6.0 → 3.7.1`, or another reason not to compare."""
    changes = differences(before.run.environment, after.run.environment)
    if before.version != after.version:
        changes.append("benchmark changed")
    if before.timer is not after.timer:
        changes.append(f"timed by {before.timer} → {after.timer}")
    return ", ".join(changes) or "another environment"
