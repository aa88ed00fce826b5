"""What a comparison of two stored runs is called, wherever it is made. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from perfsuite.errors import UsageError
from perfsuite.model import Comparison, Run

STORED = "stored"
"""Kind of such a comparison; it is not stored itself: it can be made again at any time."""


def stored_comparison(
    base: Run, head: Run, threshold: float, case_thresholds: Mapping[str, float]
) -> Comparison:
    """The comparison of two runs of different moments, for `unpaired_report`.

    Raises:
        UsageError: base and head are one run.
    """
    if base.id == head.id:
        raise UsageError(
            f"base and head are one run, {base.id[:12]} of {base.commit.label}",
            "name two runs by the beginning of their ids",
        )
    return Comparison(
        id=hashlib.sha256(f"{base.id} {head.id}".encode()).hexdigest()[:32],
        base=base,
        head=head,
        threshold=threshold,
        started_at=head.started_at,
        finished_at=head.finished_at,
        case_thresholds=dict(case_thresholds),
        kind=STORED,
    )
