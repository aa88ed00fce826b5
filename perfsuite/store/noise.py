"""What comparisons of unchanged code showed of each case's noise: sums, kept by comparison, read added up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.orm import Session

from perfsuite.errors import StoreError
from perfsuite.model import Noise
from perfsuite.store.rows import Values
from perfsuite.store.statements import execute, insert
from perfsuite.store.tables import ComparisonRow, EnvironmentRow, NoiseRow, RunRow

Known = Mapping[str, tuple[str, Noise]]
"""Case → version of the benchmark, and its noise."""
_SUMS = tuple(field.name for field in fields(Noise))


def put_noise(connection: Connection, label: str, comparison_id: str, noise: Known) -> None:
    """Stores what a comparison showed, in place of what it showed before.

    Raises:
        StoreError: there is no such comparison, or a sum is not a finite number.
    """
    rows = [_values(comparison_id, case, version, shown) for case, (version, shown) in noise.items()]
    origin = (
        select(RunRow.repository, EnvironmentRow.fingerprint)
        .join(ComparisonRow, ComparisonRow.head_id == RunRow.id)
        .join(EnvironmentRow, RunRow.environment_id == EnvironmentRow.id)
        .where(ComparisonRow.id == comparison_id)
    )
    found = connection.execute(origin).first()
    if found is None:
        raise StoreError(f"{label}: there is no comparison {comparison_id}", "start_comparison comes first")
    connection.execute(delete(NoiseRow).where(NoiseRow.comparison_id == comparison_id))
    for row in rows:
        row |= {"repository": found[0], "fingerprint": found[1]}
    execute(connection, insert(connection, NoiseRow), rows)


def read_noise(session: Session, repository: str, fingerprint: str) -> dict[str, tuple[str, Noise]]:
    """Case → its newest version and the sums over all comparisons of that version."""
    sums = [func.sum(getattr(NoiseRow, name)) for name in _SUMS]
    query = (
        select(NoiseRow.case_id, NoiseRow.version, *sums)
        .join(ComparisonRow, NoiseRow.comparison_id == ComparisonRow.id)
        .where(NoiseRow.repository == repository, NoiseRow.fingerprint == fingerprint)
        .group_by(NoiseRow.case_id, NoiseRow.version)
        # The newest version of a case comes last and stays.
        .order_by(NoiseRow.case_id, func.max(ComparisonRow.started_at), NoiseRow.version)
    )
    return {case: (version, _noise(sums)) for case, version, *sums in session.execute(query)}


def _noise(sums: list[float]) -> Noise:
    # PostgreSQL adds whole numbers up to decimals.
    between, pairs, within, freedom, comparisons = sums
    return Noise(float(between), int(pairs), float(within), int(freedom), int(comparisons))


def _values(comparison_id: str, case: str, version: str, noise: Noise) -> Values:
    if not (math.isfinite(noise.between) and math.isfinite(noise.within)):
        raise StoreError(
            f"the noise of {case} is no number: {noise}",
            "this is a mistake of what computed it; please report it",
        )
    return {"comparison_id": comparison_id, "case_id": case, "version": version, **asdict(noise)}
