"""What the compare page reads: the comparison that an address names, its machine code, a pull's pushes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard import data
from dashboard.data import Database
from perfsuite.config import load_config, process_environ
from perfsuite.errors import UsageError
from perfsuite.model import (
    Comparison,
    ComparisonReport,
    Job,
    JobKind,
    JobState,
    Result,
    Run,
    Status,
    Verdict,
)
from perfsuite.report.words import plain, resources_cell
from perfsuite.stats.between_runs import LONGEST_HISTORY
from perfsuite.stats.stored import STORED, stored_comparison
from perfsuite.stats.unpaired import unpaired_report
from perfsuite.store.trends import HISTORY, Cell, Place

_BATCH = 50
_MOST_BATCHES = 8
"""Of runs before base that are looked through for the history of each case: one that is measured in one run
of ten still has 40 times."""
_NEAR = 1000
"""Runs of the newest history that are read before all of it is."""
COUNTED_PUSHES = 5
"""Of a pull request, the newest, whose verdicts are counted: judging one takes about 0.05 s."""


@dataclass(frozen=True, slots=True)
class Push:
    """One comparison of a pull request: what was asked for, and what came of it."""

    job: Job
    comparison: Comparison | None
    """None as long as there is none."""
    counts: Mapping[Verdict, int] | None
    """None where nobody counted."""


@st.cache_resource(ttl=data.FRESH_S, max_entries=64, show_spinner=False)
def named(database: Database, ref: str) -> Comparison:
    """The comparison of an id or of its beginning.

    Raises:
        UsageError: no such comparison, or the beginning of several; names the nearest.
    """
    return data.reader(database).comparison(ref)


def machine_code(database: Database, run: Run) -> Mapping[str, str]:
    """Case → registers, spills and shared memory of its heaviest kernel, in words."""
    return _machine_code(database, run.id, data.stamp(run))


@st.cache_resource(max_entries=128, show_spinner=False)
def _machine_code(database: Database, run_id: str, stamp: str) -> Mapping[str, str]:
    results = data.reader(database).results(run_id, samples=False)
    return {result.case: resources_cell(result) for result in results}


def between(database: Database, base: str, head: str, repository: str, machine: str) -> ComparisonReport:
    """Two commits or runs: their newest comparison in lockstep on this machine, else two runs of different
    moments, judged with the noise between runs.

    Args:
        base: a run's id, a commit's sha, or the beginning of either.
        head: likewise.
        repository: of both.
        machine: fingerprint of the environment in which both were measured.

    Raises:
        UsageError: not measured there, one run on both sides, or different environments.
    """
    earlier, later = (run_of(database, ref, repository, machine) for ref in (base, head))
    lockstep = [
        one
        for one in comparisons_of(database, later.commit.sha, repository)
        if one.kind == "compare" and _means(base, one.base, earlier) and _means(head, one.head, later)
    ]
    whole = [one for one in lockstep if one.finished_at is not None]
    if lockstep:
        return data.report(database, (whole or lockstep)[0])
    config = load_config(Path.cwd(), process_environ(), required=False)
    rules = tuple(config.case_thresholds.items())
    stamps = data.stamp(earlier) + data.stamp(later)
    return _unpaired(database, earlier.id, later.id, config.threshold, rules, stamps)


def _means(ref: str, side: Run, run: Run) -> bool:
    """Whether a comparison's side is what the address names: that very run, or a run of that commit."""
    if run.id.startswith(ref.lower()):
        return side.id == run.id
    same = (side.commit.sha, side.commit.dirty) == (run.commit.sha, "")
    return same and side.environment.fingerprint == run.environment.fingerprint


@st.cache_resource(ttl=data.FRESH_S, max_entries=64, show_spinner=False)
def comparisons_of(database: Database, sha: str, repository: str) -> Sequence[Comparison]:
    """The newest comparisons of a commit, on whichever side, first."""
    return tuple(data.reader(database).trends.comparisons_of(sha=sha, repository=repository))


@st.cache_resource(ttl=data.FRESH_S, max_entries=64, show_spinner=False)
def run_of(database: Database, ref: str, repository: str, machine: str) -> Run:
    """The run of an id; of a commit its newest run on this machine, those of a history first.

    Raises:
        UsageError: there is none; says where the commit was measured.
    """
    reader = data.reader(database)
    found = reader.run(ref)
    if found.id.startswith(ref.lower()):
        return found
    runs = reader.runs(shas={found.commit.sha}, repository=repository, limit=None)
    here = [run for run in runs if run.environment.fingerprint == machine and not run.commit.dirty]
    if here:
        return max(here, key=lambda run: (run.kind in HISTORY, run.finished_at is not None, run.started_at))
    elsewhere = sorted({plain(run.environment.label) for run in runs}) or [f"repository {found.repository}"]
    raise UsageError(
        f"{found.commit.label} was not measured on this machine in {repository}, but: {'; '.join(elsewhere)}",
        "choose another machine, or another commit",
    )


@st.cache_resource(max_entries=32, show_spinner=False)
def _unpaired(
    database: Database,
    base_id: str,
    head_id: str,
    threshold: float,
    rules: Sequence[tuple[str, float]],
    stamps: str,
) -> ComparisonReport:
    reader = data.reader(database)
    comparison = stored_comparison(reader.run(base_id), reader.run(head_id), threshold, dict(rules))
    base, head = reader.results(base_id), reader.results(head_id)
    return unpaired_report(comparison, base, head, _history(database, comparison, base))


def _history(
    database: Database, comparison: Comparison, results: Sequence[Result]
) -> Mapping[str, list[float]]:
    """Case → median times in ns of runs before base in its environment, the oldest first."""
    found: dict[str, list[float]] = {result.case: [] for result in results}
    wanted = {result.case: (result.version, result.timer) for result in results}
    trends = data.reader(database).trends
    left = _before(database, comparison)
    for _ in range(_MOST_BATCHES):
        batch, left = left[-_BATCH:], left[:-_BATCH]
        if not batch or all(len(times) >= LONGEST_HISTORY for times in found.values()):
            break
        order = {place.run_id: number for number, place in enumerate(batch)}
        times: dict[str, list[float]] = {case: [] for case in found}
        for cell in sorted(trends.cells(list(order)), key=lambda cell: order[cell.run_id]):
            if _counts(cell, wanted) and cell.median_ns is not None:
                times[cell.case].append(cell.median_ns)
        found = {case: times[case] + found[case] for case in found}
    return found


def _before(database: Database, comparison: Comparison) -> list[Place]:
    """The trusted runs of the history before base, the oldest first: all that are looked through."""
    base, head = comparison.base, comparison.head
    for newest in (_NEAR, None):
        places = data.places(database, base.repository, base.environment.fingerprint, newest)
        at = next((number for number, place in enumerate(places) if place.run_id == base.id), None)
        # A base that is in no history itself, a dirty tree's, has the runs that were measured before it.
        before = places[:at] if at is not None else [p for p in places if p.started_at < base.started_at]
        usable = [p for p in before if p.trusted and not p.commit.dirty and p.run_id != head.id]
        placed = at is not None or base.kind not in HISTORY
        if len(places) < _NEAR or (placed and len(usable) >= _BATCH * _MOST_BATCHES):
            break
    return usable


def _counts(cell: Cell, wanted: Mapping[str, tuple[str, str]]) -> bool:
    return cell.status is Status.OK and wanted.get(cell.case) == (cell.version, cell.timer)


@st.cache_resource(ttl=data.FRESH_S, max_entries=32, show_spinner=False)
def pushes(database: Database, repository: str, pull: int) -> Sequence[Push]:
    """The comparisons of a pull request, the newest first, with those that are still to come."""
    reader = data.reader(database)
    made = {job.id: comparison for job, comparison in reader.trends.pull_comparisons(repository, pull)}
    jobs = reader.jobs.jobs(repository, pull, kind=JobKind.COMPARE)
    counted = [made[job.id] for job in jobs if job.id in made][:COUNTED_PUSHES]
    counts = {one.id: _counted(data.report(database, one)) for one in counted}
    return tuple(
        Push(job, one, counts.get(one.id) if one else None) for job in jobs for one in [made.get(job.id)]
    )


def pull_repository(database: Database, pull: int) -> str | None:
    """The repository whose pull request of this number was measured last; None where there is none."""
    jobs = data.reader(database).jobs.jobs(pull=pull, kind=JobKind.COMPARE, limit=1)
    return jobs[0].repository if jobs else None


def _counted(report: ComparisonReport) -> Mapping[Verdict, int]:
    return Counter(one.verdict for one in report.comparisons)


def address_of(comparison: Comparison) -> dict[str, str]:
    """Parameters by which a page finds it again."""
    where = {
        "repository": comparison.head.repository,
        "machine": comparison.head.environment.fingerprint,
    }
    if comparison.kind == STORED:
        return {"base": comparison.base.id, "head": comparison.head.id, **where}
    return {"comparison": comparison.id, **where}


def pending(push: Push) -> str:
    """What a push without verdicts waits for; empty where it waits for nothing."""
    job = push.job
    if job.state is JobState.RUNNING and job.total:
        return f"measuring {job.done}/{job.total}"
    return plain(job.message)
