"""What people asked for in comments, as parts of the one comment."""

from __future__ import annotations

from ci.body import Extra
from perfsuite.model import ComparisonReport, Job, JobKind, JobState
from perfsuite.report.escape import code, text
from perfsuite.report.markdown import comparison_markdown

_ROOM = 12_000
"""Bytes of one extra: the comment's own findings come first."""


def asked_extra(job: Job, report: ComparisonReport | None) -> Extra:
    """A job that a comment asked for: where it stands, or what came of it."""
    what = f"bisect {job.pattern}" if job.kind is JobKind.BISECT else f"-k {job.pattern}"
    title = f"{what}, asked for by {job.requested_by}: {_state(job)}"
    return Extra(title, _result(job, report))


def _state(job: Job) -> str:
    if job.state is JobState.RUNNING and job.total:
        return f"measuring {job.done}/{job.total}"
    return "done" if job.state is JobState.SUCCEEDED else job.state.value


def _result(job: Job, report: ComparisonReport | None) -> str:
    if report is not None:
        return comparison_markdown(report, limit=_ROOM)
    outcome = job.facts.get("result")
    if job.kind is JobKind.BISECT and isinstance(outcome, dict):
        from perfsuite.report.bisect import outcome_markdown

        return outcome_markdown(outcome)
    if "nothing" in job.facts:
        return text(str(job.facts["nothing"]))
    return code(job.message) if job.message else f"{job.state.value} at {code(job.head[:10])}"
