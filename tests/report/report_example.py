"""Values that the report tests share: small, complete, and hostile where it matters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from perfsuite.model import (
    Block,
    CaseComparison,
    Commit,
    Comparison,
    ComparisonReport,
    Environment,
    Kernel,
    Launches,
    Result,
    Round,
    Run,
    Status,
    Timer,
    Verdict,
)
from perfsuite.stats.families import findings, worst_first

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GPU = Environment("node", gpu="NVIDIA H200", driver="580.1", cuda="13.0", torch="2.11.0", triton="3.6.0")
CPU = Environment("laptop", cpu="EPYC", torch="2.13.0", triton="3.7.1", python="3.12")
KERNEL = Kernel("_gemm1", "a" * 16, "sm_90", 168, 0, 0, 98304, 8, 3, (132,), {"BLOCK_N": 128})


def run(sha: str = "1", environment: Environment = GPU, subject: str = "Faster tiles") -> Run:
    return Run(sha * 32, Commit(sha * 40, subject), "us/kernels", environment, "quick", WHEN)


def result(case: str = "moe/prefill[m=1]", timer: Timer = Timer.GRAPH, status: Status = Status.OK) -> Result:
    rounds = tuple(Round(1000.0 + index, 2 * index, index) for index in range(10))
    return Result(
        case,
        "v1",
        case.split("[")[0],
        {"m": 1},
        "cuda",
        status,
        timer,
        blocks=(Block(0, 0, 16, 100, rounds),),
        error_rms=0.0041,
        error_max=0.01,
        tolerance=0.02,
        launches=Launches((KERNEL,), ("_gemm1#aaaa[132](BLOCK_N=128)",)),
        roofline_fraction=0.62,
    )


def compared(case: str, verdict: Verdict, change: float | None = None, *why: str) -> CaseComparison:
    blank = CaseComparison(case, case.split("[")[0], {"m": 1}, verdict, threshold=0.02, why=why)
    if change is None:
        return blank
    return replace(
        blank,
        base_ns=1000.0,
        head_ns=1000.0 * (1 + change),
        change=change,
        low=change - 0.002,
        high=change + 0.002,
        pairs=2,
        rounds=48,
    )


def report(*comparisons: CaseComparison, subject: str = "Faster tiles") -> ComparisonReport:
    ordered = worst_first(comparisons)
    comparison = Comparison("c" * 32, run("a", subject="Base"), run("b", subject=subject), 0.02, WHEN, WHEN)
    timed = any(c.low is not None for c in ordered)
    return ComparisonReport(comparison, ordered, findings(ordered), 0.008 if timed else None)


def trusted() -> ComparisonReport:
    """What only a report with noise floors, canaries and fresh processes has."""
    slower = compared("moe/decode[m=1]", Verdict.REGRESSED, 0.05, "_gemm1: registers 168 → 190")
    worse = compared(
        "moe/prefill[m=1]", Verdict.LESS_ACCURATE, -0.08,
        "less accurate: error (RMS) 0.004 → 0.009, tolerance 0.02",
    )  # fmt: skip
    cases = [
        replace(slower, confirmed=True, blocks=16, floor=0.004),
        replace(compared("gemm[m=1]", Verdict.REGRESSED, 0.03), confirmed=True, floor=0.01),
        worse,
    ]
    blamed = {case.case: {"_gemm1": ("registers 168 → 190",)} for case in cases}
    canaries = (compared("perfsuite/canary[compute]", Verdict.IDENTICAL, 0.021),)
    machine = "the machine changed: compute +2.10 %"
    found = findings(worst_first(cases), blamed)
    return replace(report(*cases), findings=found, canaries=canaries, machine=machine)


def mixed() -> ComparisonReport:
    return report(
        compared("moe/prefill[m=1]", Verdict.REGRESSED, 0.041, "_gemm1: registers 128 → 168, spills 0 → 12"),
        compared("moe/prefill[m=2]", Verdict.REGRESSED, 0.098),
        compared("moe/prefill[m=4]", Verdict.UNCHANGED, 0.001),
        compared("moe/decode[m=1]", Verdict.IMPROVED, -0.05),
        compared("moe/decode[m=2]", Verdict.IDENTICAL),
        compared("gemm[m=1]", Verdict.INCORRECT, None, "error (RMS) 0.31, tolerance 0.02"),
    )
