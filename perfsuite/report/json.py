"""Reports as JSON values, `"schema": 1`. Times in ns, shares as fractions, slower is positive.

More keys may come, none goes. A number that is not finite becomes null: JSON knows no NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from perfsuite.model import (
    CaseComparison,
    Commit,
    ComparisonReport,
    Environment,
    Finding,
    Kernel,
    Result,
    Run,
)
from perfsuite.report import exit_code, run_exit_code
from perfsuite.report.words import canaries_of, cases_of, headline, time_summary

SCHEMA = 1


def run_json(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    """One run with its results, in the order given; the canaries apart."""
    document = {
        "schema": SCHEMA,
        "run": _run(run),
        "exit_code": int(run_exit_code(tuple(results))),
        "results": [_result(result) for result in cases_of(results)],
        "canaries": [_result(result) for result in canaries_of(results)],
    }
    return {key: _finite(value) for key, value in document.items()}


def comparison_json(report: ComparisonReport) -> dict[str, Any]:
    """One comparison with its verdicts, worst first."""
    comparison = report.comparison
    document = {
        "schema": SCHEMA,
        "id": comparison.id,
        "kind": comparison.kind,
        "headline": headline(report),
        "base": _side(comparison.base),
        "head": _side(comparison.head),
        "environment": _environment(comparison.head.environment),
        "profile": comparison.head.profile,
        "finished_at": comparison.finished_at,
        "threshold": comparison.threshold,
        "resolution": report.resolution,
        "machine": report.machine,
        "exit_code": int(exit_code(report)),
        "comparisons": [_compared(compared) for compared in report.comparisons],
        "canaries": [_compared(canary) for canary in report.canaries],
        "findings": [_finding(finding) for finding in report.findings],
    }
    return {key: _finite(value) for key, value in document.items()}


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "kind": run.kind,
        "repository": run.repository,
        **_commit(run.commit),
        "profile": run.profile,
        "pattern": run.pattern,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "version": run.version,
        "environment": _environment(run.environment),
    }


def _side(run: Run) -> dict[str, Any]:
    return {"run": run.id, **_commit(run.commit)}


def _commit(commit: Commit) -> dict[str, Any]:
    return {
        "commit": commit.sha,
        "dirty": bool(commit.dirty),
        "dirty_hash": commit.dirty or None,
        "subject": commit.subject,
        "author": commit.author,
        "branch": commit.branch,
        "committed_at": commit.committed_at,
    }


def _environment(environment: Environment) -> dict[str, Any]:
    facts = {field.name: getattr(environment, field.name) for field in fields(environment)}
    return {**facts, "fingerprint": environment.fingerprint, "label": environment.label}


def _result(result: Result) -> dict[str, Any]:
    return {
        "case": result.case,
        "version": result.version,
        "family": result.family,
        "params": result.params,
        "device": result.device,
        "status": result.status.value,
        "message": result.message,
        "timer": result.timer.value,
        "time_ns": _time(result),
        "error_rms": result.error_rms,
        "error_max": result.error_max,
        "error_parts": result.error_parts,
        "tolerance": result.tolerance,
        "bytes": result.bytes,
        "operations": result.operations,
        "roofline_fraction": result.roofline_fraction,
        "launches": len(result.launches.order),
        "launch_order": result.launches.order,
        "opaque": result.launches.opaque,
        "kernels": [_kernel(kernel) for kernel in result.launches.kernels],
        "output_hash": result.output_hash,
        "extra": result.extra,
    }


def _time(result: Result) -> dict[str, Any] | None:
    times = time_summary(result)
    if times is None:
        return None
    return {
        "median": times.median_ns,
        "low": times.low_ns,
        "high": times.high_ns,
        "rounds": times.rounds,
    }


def _kernel(kernel: Kernel) -> dict[str, Any]:
    # The listing is a text of hundreds of lines.
    return {field.name: getattr(kernel, field.name) for field in fields(kernel) if field.name != "listing"}


def _compared(compared: CaseComparison) -> dict[str, Any]:
    return {
        **{field.name: getattr(compared, field.name) for field in fields(compared)},
        "verdict": compared.verdict.value,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    facts = {field.name: getattr(finding, field.name) for field in fields(finding)}
    return {**facts, "verdict": finding.verdict.value}


def _finite(value: Any) -> Any:
    """Plain JSON values all the way down."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
