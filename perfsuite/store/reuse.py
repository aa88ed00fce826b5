"""Which comparisons timed the same machine code before: what they measured need not be measured again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import aliased

from perfsuite.model import Launches, Status
from perfsuite.store.queries import is_of
from perfsuite.store.rows import Batch
from perfsuite.store.tables import ComparisonRow, EnvironmentRow, ResultRow, RunRow


@dataclass(frozen=True, slots=True)
class SameCode:
    """A case to be timed, and where: everything that decides what it would show.

    Args:
        base: launches of its base side; `head`: of the other.
        since: comparisons that began before it do not count.
    """

    case: str
    version: str
    base: Launches
    head: Launches
    repository: str
    fingerprint: str
    profile: str
    since: datetime


def timed_before(wanted: SameCode) -> Select[str]:
    """The ids of finished comparisons that timed exactly that code on both sides, newest first."""
    base, head = aliased(RunRow), aliased(RunRow)
    of_base, of_head = aliased(ResultRow), aliased(ResultRow)
    query = (
        select(ComparisonRow.id)
        .join(base, ComparisonRow.base_id == base.id)
        .join(head, ComparisonRow.head_id == head.id)
        .join(EnvironmentRow, head.environment_id == EnvironmentRow.id)
        .join(of_base, of_base.run_id == base.id)
        .join(of_head, of_head.run_id == head.id)
        .where(
            ComparisonRow.finished_at.is_not(None),
            ComparisonRow.started_at >= wanted.since,
            ComparisonRow.kind == "compare",
            is_of(wanted.repository, head),
            head.profile == wanted.profile,
            EnvironmentRow.fingerprint == wanted.fingerprint,
        )
        .order_by(ComparisonRow.started_at.desc(), ComparisonRow.id.desc())
    )
    batch = Batch()
    for row, launches in ((of_base, wanted.base), (of_head, wanted.head)):
        query = query.where(
            row.case_id == wanted.case,
            row.version == wanted.version,
            row.status == Status.OK.value,
            row.rounds > 0,
            # Equal ids are equal lists of launches.
            row.launches_id == batch.add_launches(launches),
        )
    return query
