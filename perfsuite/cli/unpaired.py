"""Comparing two stored runs: `perfsuite compare --stored BASE HEAD`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfsuite.config import Config
    from perfsuite.model import ComparisonReport, Result, Run
    from perfsuite.store import Reader


def compare_stored(
    config: Config,
    reader: Reader,
    base_reference: str,
    head_reference: str,
    threshold: float | None = None,
    controls: Collection[str] = (),
    pattern: str = "",
) -> ComparisonReport:
    """Two runs of different moments, judged with the noise between runs.

    Args:
        config: thresholds.
        reader: the store that has both.
        base_reference: id, beginning of an id or of a commit's sha, or `latest`.
        head_reference: likewise.
        threshold: relevant change; default: the configured one.
        controls: patterns (as `-k`) of cases of which the user knows that their code is the same.
        pattern: only these cases are judged (as `-k`); the others still serve as controls.

    Raises:
        UsageError: no such run, twice the same one, or runs of different environments.
    """
    from perfsuite.stats.stored import stored_comparison
    from perfsuite.stats.unpaired import unpaired_report

    base, head = reader.run(base_reference), reader.run(head_reference)
    share = config.threshold if threshold is None else threshold
    comparison = stored_comparison(base, head, share, config.case_thresholds)
    base_results, head_results = reader.results(base.id), reader.results(head.id)
    names = list(dict.fromkeys(result.case for result in (*head_results, *base_results)))
    named = {case for one in controls for case in _chosen(one, names)}
    history = {result.case: _earlier(reader, base, head, result) for result in base_results}
    report = unpaired_report(comparison, base_results, head_results, history, named)
    chosen = set(_chosen(pattern, names))
    return replace(
        report,
        comparisons=tuple(c for c in report.comparisons if c.case in chosen),
        findings=tuple(f for f in report.findings if chosen.issuperset(f.cases)),
    )


def _chosen(pattern: str, names: Sequence[str]) -> list[str]:
    """Raises: NoCases."""
    from perfsuite.cases import NoCases, match_cases

    found = match_cases(pattern, names)
    if not found:
        raise NoCases(pattern, names)
    return found


def _earlier(reader: Reader, base: Run, head: Run, result: Result) -> list[float]:
    """Median times of the case in the runs before base, the oldest first; ns."""
    from perfsuite.cli.series import KINDS
    from perfsuite.model import Status
    from perfsuite.report.conditions import is_untrusted

    points = reader.series(result.case, base.environment.fingerprint, repository=base.repository, kinds=KINDS)
    place = next((index for index, point in enumerate(points) if point.run.id == base.id), None)
    # A base that is in no series itself, a dirty tree's, has the runs that were measured before it.
    before = (
        points[:place] if place is not None else [p for p in points if p.run.started_at < base.started_at]
    )
    return [
        point.median_ns
        for point in before
        if point.run.id != head.id
        and not point.run.commit.dirty
        and not is_untrusted(point.run.environment)
        and point.status is Status.OK
        and (point.version, point.timer) == (result.version, result.timer)
        and point.median_ns is not None
    ]
