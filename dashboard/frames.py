"""Model values → the frames that tables and charts show. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from dashboard.words import KINDS, verdict_label, when
from perfsuite.model import ComparisonReport, Result, Run, Status, Timer, Verdict
from perfsuite.report.words import timer_label
from perfsuite.store.reader import SeriesPoint
from perfsuite.summary import TimeSummary
from perfsuite.units import NS_PER_US

RUN_COLUMNS = [
    "when (UTC)", "commit", "subject", "kind", "ok", "incorrect", "failed", "skipped", "environment",
    "project",
]  # fmt: skip
RESULT_COLUMNS = [
    "case", "status", "median (µs)", "low (µs)", "high (µs)", "rounds", "time is", "error (RMS)", "tolerance",
    "roofline (%)", "registers", "spills", "message",
]  # fmt: skip
SERIES_COLUMNS = [
    "commit", "subject", "when", "environment", "segment", "boundary", "status", "median_ns", "low_ns",
    "high_ns", "timer",
]  # fmt: skip
COMPARISON_COLUMNS = [
    "case", "verdict", "base_ns", "head_ns", "change", "low", "high", "threshold", "rounds", "why",
]  # fmt: skip


def runs_frame(runs: Sequence[Run], counts: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """One row a run; `counts`: run id → status → number of cases."""
    rows = [
        {
            "when (UTC)": when(run).removesuffix(" UTC"),
            "commit": run.commit.label,
            "subject": run.commit.subject,
            "kind": KINDS.get(run.kind, run.kind) + ("" if run.finished_at else ", unfinished"),
            "project": run.repository,
            "environment": run.environment.label,
            **{status.value: counts[run.id].get(status.value, 0) for status in Status},
        }
        for run in runs
    ]
    return pd.DataFrame(rows, columns=RUN_COLUMNS)


def results_frame(results: Sequence[Result], times: Mapping[str, TimeSummary]) -> pd.DataFrame:
    """One row a case; what is not ok first, then by name."""
    ordered = sorted(results, key=lambda r: (r.status is Status.OK, r.case))
    return pd.DataFrame(
        [_result_row(result, times.get(result.case)) for result in ordered], columns=RESULT_COLUMNS
    )


def by_clock(points: Sequence[SeriesPoint]) -> dict[str, list[SeriesPoint]]:
    """What a time is → its points. Device time and somebody's wall clock never share an axis.

    A point without a time (a red gate) goes with the others of its environment.
    """
    clocks: dict[str, str] = {}
    for point in points:
        if point.timer != Timer.NONE:
            clocks[point.run.environment.fingerprint] = _clock(point.timer)
    groups: dict[str, list[SeriesPoint]] = {}
    for point in points:
        known = clocks.get(point.run.environment.fingerprint, timer_label(Timer.NONE))
        clock = known if point.timer == Timer.NONE else _clock(point.timer)
        groups.setdefault(clock, []).append(point)
    return groups


def _clock(timer: Timer) -> str:
    return "device time" if timer in (Timer.GRAPH, Timer.EVENTS) else timer_label(timer)


def series_frame(points: Sequence[SeriesPoint]) -> pd.DataFrame:
    """One row a run of the case, in the order given; see `charts.trend`.

    Each environment is a series of its own. A new segment of it begins where the benchmark's version or the
    timer changed: across that, times say nothing about the code.
    """
    rows = []
    before: dict[str, SeriesPoint] = {}
    segments: dict[str, int] = {}
    for point in points:
        fingerprint = point.run.environment.fingerprint
        boundary = _boundary(before.get(fingerprint), point, first=not before)
        if boundary or not before:
            segments[fingerprint] = max(segments.values(), default=-1) + 1
        if point.status == Status.OK or fingerprint not in before:
            before[fingerprint] = point
        rows.append(_series_row(point, segments[fingerprint], boundary))
    return pd.DataFrame(rows, columns=SERIES_COLUMNS)


def comparison_frame(report: ComparisonReport) -> pd.DataFrame:
    """One row a compared case, in the order of the report: the worst verdict first."""
    rows = [
        {**{name: getattr(c, name) for name in COMPARISON_COLUMNS}, "why": "; ".join(c.why)}
        for c in report.comparisons
    ]
    frame = pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
    numbers = ["base_ns", "head_ns", "change", "low", "high", "threshold"]
    frame[numbers] = frame[numbers].astype(float)
    frame["threshold"] = frame["threshold"].fillna(report.comparison.threshold)
    return frame


def comparison_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The same in the words and units of a table."""
    return pd.DataFrame(
        {
            "case": frame["case"],
            "verdict": [verdict_label(Verdict(verdict)) for verdict in frame["verdict"]],
            "change (%)": frame["change"] * 100,
            "low (%)": frame["low"] * 100,
            "high (%)": frame["high"] * 100,
            "base (µs)": frame["base_ns"] / NS_PER_US,
            "head (µs)": frame["head_ns"] / NS_PER_US,
            "rounds": frame["rounds"],
            "why": frame["why"],
        }
    )


def _result_row(result: Result, time: TimeSummary | None) -> dict[str, object]:
    # A red gate shows no time, even if there were one.
    time = time if result.status is Status.OK else None
    kernels = result.launches.kernels
    return {
        "case": result.case,
        "status": result.status.value,
        "median (µs)": time and time.median_ns / NS_PER_US,
        "low (µs)": time and time.low_ns / NS_PER_US,
        "high (µs)": time and time.high_ns / NS_PER_US,
        "rounds": time.rounds if time else 0,
        "time is": timer_label(result.timer),
        "error (RMS)": result.error_rms,
        "tolerance": result.tolerance,
        "roofline (%)": None if result.roofline_fraction is None else result.roofline_fraction * 100,
        "registers": max((k.registers for k in kernels if k.registers is not None), default=None),
        "spills": max((k.spills for k in kernels if k.spills is not None), default=None),
        "message": result.message.partition("\n")[0],
    }


def _series_row(point: SeriesPoint, segment: int, boundary: str) -> dict[str, object]:
    return {
        "commit": point.run.commit.label,
        "subject": point.run.commit.subject[:80],
        "when": when(point.run),
        "environment": point.run.environment.label,
        "segment": segment,
        "boundary": boundary,
        "status": Status(point.status).value,
        "median_ns": float("nan") if point.median_ns is None else point.median_ns,
        "low_ns": float("nan") if point.low_ns is None else point.low_ns,
        "high_ns": float("nan") if point.high_ns is None else point.high_ns,
        "timer": timer_label(Timer(point.timer)),
    }


def _boundary(before: SeriesPoint | None, point: SeriesPoint, *, first: bool) -> str:
    if before is None:
        return "" if first else "new environment"
    if before.version != point.version:
        return "benchmark changed"
    # A case without a time has no timer, which is no change of it.
    timers = {before.timer, point.timer} - {Timer.NONE}
    return "timer changed" if len(timers) == 2 else ""
