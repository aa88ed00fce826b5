"""The words that all reports share, as plain text on one line."""

from __future__ import annotations

import math
import shlex
import unicodedata
from collections import Counter
from collections.abc import Sequence

from perfsuite.model import (
    CANARY_FAMILY,
    CaseComparison,
    Commit,
    Comparison,
    ComparisonReport,
    Finding,
    Kernel,
    Result,
    Run,
    Status,
    Timer,
    Verdict,
)
from perfsuite.stats.families import SEVERITY, WORDS
from perfsuite.summary import TimeSummary, summarize
from perfsuite.units import format_bytes, format_ns, format_share

_QUIET = (Verdict.UNCHANGED, Verdict.IDENTICAL)
_STATUSES = (Status.OK, Status.INCORRECT, Status.FAILED, Status.SKIPPED)
_DEFAULT_TARGET = "sm_90"
RESOLUTION_DIGITS = 1
CONFIRMED = "confirmed by fresh processes"


def plain(text: str) -> str:
    """One line without control or direction characters: what comes from outside must not steer a terminal."""
    line = " ".join(text.split())
    return "".join(c for c in line if not unicodedata.category(c).startswith("C"))


def headline(report: ComparisonReport) -> str:
    """`2 cases slower, 1 faster, 37 unchanged or identical. This gate sees 0.8 % here.`"""
    counts = Counter(c.verdict for c in report.comparisons)
    if not counts:
        return "No cases were compared."
    parts = [(counts[verdict], WORDS[verdict]) for verdict in SEVERITY if verdict not in _QUIET]
    parts.append((sum(counts[verdict] for verdict in _QUIET), "unchanged or identical"))
    return f"{_counted(parts)}. {_resolution(report)}"


def unfinished(comparison: Comparison) -> str | None:
    """What has to be known of a comparison that was interrupted; None of a whole one."""
    if comparison.finished_at is not None:
        return None
    return "Not finished: these are the cases so far; the same command with --resume goes on."


def run_answer(results: Sequence[Result]) -> str:
    """`12 cases ok, 1 incorrect.`"""
    results = cases_of(results)
    if not results:
        return "No cases were run."
    counts = Counter(result.status for result in results)
    return f"{_counted([(counts[status], str(status)) for status in _STATUSES])}."


def cases_of(results: Sequence[Result]) -> list[Result]:
    """The suite's own results: canaries are never among the cases."""
    return [result for result in results if result.family != CANARY_FAMILY]


def canaries_of(results: Sequence[Result]) -> list[Result]:
    """The pinned kernels' results."""
    return [result for result in results if result.family == CANARY_FAMILY]


def canary_times(results: Sequence[Result]) -> str:
    """`canaries compute 1.234 ms, memory 512.0 µs`; empty where none was measured."""
    shown = [f"{canary_name(r.case)} {_canary_state(r)}" for r in canaries_of(results)]
    return f"canaries {', '.join(shown)}" if shown else ""


def canary_changes(canaries: Sequence[CaseComparison]) -> str:
    """`canaries compute +0.02 %, memory -0.01 %`; empty where none was compared."""
    shown = [
        f"{canary_name(c.case)} {c.verdict.value if c.change is None else format_share(c.change)}"
        for c in canaries
    ]
    return f"canaries {', '.join(shown)}" if shown else ""


def canary_name(case: str) -> str:
    """`compute` of `perfsuite/canary[compute]`."""
    return plain(case.removeprefix(CANARY_FAMILY).strip("[]/")) or plain(case)


def _canary_state(result: Result) -> str:
    times = time_summary(result)
    return format_ns(times.median_ns) if times else result.status.value


def finding_parts(finding: Finding) -> tuple[str, str]:
    """What a finding is about, and the rest of its line: a kernel's finding names its families itself."""
    if finding.kernel is None:
        return plain(finding.family), plain(finding.text)
    subject, _, rest = plain(finding.text).partition(": ")
    return subject, rest


def sees_cell(compared: CaseComparison) -> str:
    """`0.40 %`: the smallest change of this case that stands out of its noise, where that is known."""
    return "–" if compared.floor is None else format_share(compared.floor, signed=False)


def explained(compared: CaseComparison) -> tuple[str, ...]:
    """Why, and on what evidence."""
    return (*((CONFIRMED,) if compared.confirmed else ()), *compared.why)


def machine_note(run: Run, results: Sequence[Result]) -> str | None:
    """What the times of a machine without a GPU are, and what was done instead of timing; None with a GPU."""
    if run.environment.gpu:
        return None
    targets = sorted({kernel.target for result in results for kernel in result.launches.kernels})
    note = "No GPU: no kernel was timed."
    if any(result.timer is Timer.REFERENCE for result in results):
        note += " Times are wall clock of the reference ops on the CPU and say nothing about the kernels."
    if targets or any(result.timer is Timer.REFERENCE for result in results):
        compiled = ", ".join(targets) or _DEFAULT_TARGET
        note += f" Kernels were checked in Triton's interpreter and compiled for {compiled}."
    return note


def timer_label(timer: Timer) -> str:
    """The timer in a table; what is no time of the kernel says so."""
    return {Timer.REFERENCE: "wall clock of reference, CPU", Timer.NONE: "–"}.get(timer, str(timer))


def time_summary(result: Result) -> TimeSummary | None:
    """Of a good result with samples: a red gate shows no time, even if there were one."""
    samples = [sample for sample in result.samples_ns if math.isfinite(sample)]
    return summarize(samples) if samples and result.status is Status.OK else None


def time_cell(result: Result) -> str:
    """`1.234 ms [1.230 ms … 1.240 ms]`."""
    times = time_summary(result)
    if times is None:
        return "–"
    return f"{format_ns(times.median_ns)} [{format_ns(times.low_ns)} … {format_ns(times.high_ns)}]"


def roofline_cell(result: Result) -> str:
    """`62%` of what the roofline allows."""
    fraction = result.roofline_fraction
    return "–" if fraction is None or result.status is not Status.OK else f"{fraction:.0%}"


def change_cell(compared: CaseComparison) -> str:
    """`+4.10 % [+3.92 … +4.31]`, or why there is none."""
    if compared.change is None:
        return "–"
    change = format_share(compared.change)
    if compared.low is None or compared.high is None:
        return f"{change} [no interval]"
    low, high = (format_share(value).removesuffix(" %") for value in (compared.low, compared.high))
    return f"{change} [{low} … {high}]"


def times_cell(compared: CaseComparison) -> str:
    """`1.234 ms → 1.301 ms`."""
    if compared.base_ns is None or compared.head_ns is None:
        return "–"
    return f"{format_ns(compared.base_ns)} → {format_ns(compared.head_ns)}"


def heaviest_kernel(result: Result) -> Kernel | None:
    """The kernel nearest to the limits of the device: most spills, then registers, then shared memory."""
    return max(
        result.launches.kernels,
        key=lambda k: (k.spills or 0, k.registers or 0, k.shared_bytes or 0, k.name),
        default=None,
    )


def resources_cell(result: Result) -> str:
    """`168/0/96.0 KiB`: registers, spills and shared memory of the heaviest kernel."""
    kernel = heaviest_kernel(result)
    if kernel is None:
        return "–"
    shared = "?" if kernel.shared_bytes is None else format_bytes(kernel.shared_bytes)
    registers, spills = ("?" if v is None else str(v) for v in (kernel.registers, kernel.spills))
    return f"{registers}/{spills}/{shared}"


def error_cell(result: Result) -> str:
    """`0.0041 of 0.02`: RMS error and its tolerance."""
    if result.error_rms is None:
        return "–"
    tolerance = "" if result.tolerance is None else f" of {result.tolerance:.3g}"
    return f"{result.error_rms:.2g}{tolerance}"


def commit_line(commit: Commit) -> str:
    """`1a2b3c4d5e the subject`."""
    return plain(f"{commit.label} {commit.subject}")


def reproduce(comparison: Comparison) -> str:
    """The command that measures this comparison again: one line, quoted for a shell."""
    base, head = comparison.base.commit, comparison.head
    if comparison.kind == "stored":
        return f"perfsuite compare --stored {comparison.base.id[:12]} {head.id[:12]}"
    if comparison.kind == "noise":
        chosen = ["-k", plain(head.pattern)] if head.pattern else []
        return shlex.join(["perfsuite", "noise", base.sha[:10], *chosen, "--profile", plain(head.profile)])
    parts = ["perfsuite", "compare", base.sha[:10]]
    if not head.commit.dirty:
        parts.append(head.commit.sha[:10])
    if head.pattern:
        parts += ["-k", plain(head.pattern)]
    parts += ["--profile", plain(head.profile), "--threshold", f"{comparison.threshold:.6g}"]
    command = shlex.join(parts)
    return f"{command}   # with the uncommitted changes" if head.commit.dirty else command


def quiet(compared: CaseComparison) -> bool:
    """Whether a case is only worth counting: identical, and nothing to say about it."""
    return compared.verdict is Verdict.IDENTICAL and not compared.why


def _counted(parts: Sequence[tuple[int, str]]) -> str:
    shown = [part for part in parts if part[0]]
    first, *others = shown
    noun = "case" if first[0] == 1 else "cases"
    return ", ".join([f"{first[0]} {noun} {first[1]}", *(f"{count} {word}" for count, word in others)])


def _resolution(report: ComparisonReport) -> str:
    share = resolution_share(report)
    return f"This gate sees {share} here." if share else unresolved(report)


def resolution_share(report: ComparisonReport) -> str | None:
    """`0.8 %`: the smallest change that this comparison would have seen; None where it is not known."""
    if report.resolution is None:
        return None
    percent = report.resolution * 100
    digits = RESOLUTION_DIGITS if percent >= 0.1 else RESOLUTION_DIGITS + 1
    return f"{percent:.{digits}f} %"


def unresolved(report: ComparisonReport) -> str:
    """Why there is no resolution."""
    return "Nothing was timed." if not _timed(report) else "Too few blocks to know the resolution."


def _timed(report: ComparisonReport) -> bool:
    return any(c.change is not None for c in report.comparisons)
