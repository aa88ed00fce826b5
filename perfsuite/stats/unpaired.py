"""The verdict on two stored runs of different moments: imported ones, or those of different days.

Nothing was in lockstep, so the noise between runs decides (perfsuite.stats.between_runs): *regressed* or
*improved* needs a change that is relevant, at least the threshold, and that neither the case's own history
nor the controls explain. Controls are cases whose launches are provably the same code on both sides, the
canaries, and those that the caller names. Without history and without controls the verdict is *inconclusive*,
never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from statistics import median

from perfsuite.model import (
    CANARY_FAMILY,
    CaseComparison,
    Comparison,
    ComparisonReport,
    Result,
    Timer,
    Verdict,
)
from perfsuite.stats.between_runs import LEAST_CHANGES, LEAST_CONTROLS, Moments, Step, Steps, steps_between
from perfsuite.stats.families import findings, worst_first
from perfsuite.stats.judge import before_times, require_comparable, threshold_of
from perfsuite.stats.machine import SIDES_MOVED
from perfsuite.stats.why import changed_kernels, less_accurate, why
from perfsuite.units import format_share

TIMERS = (Timer.GRAPH, Timer.EVENTS, Timer.WALL, Timer.IMPORTED)
"""Times of the benchmarked function itself."""
_LOCKSTEP = "`perfsuite compare` measures both in lockstep, where a fraction of it is seen"


def unpaired_report(
    comparison: Comparison,
    base: Sequence[Result],
    head: Sequence[Result],
    history: Mapping[str, Sequence[float]],
    controls: Collection[str] = (),
) -> ComparisonReport:
    """Verdicts and findings on two stored runs, as `judge` gives them on a comparison in lockstep.

    Args:
        comparison: names both runs and the thresholds; need not be stored.
        base: the results of its base run.
        head: those of its head run.
        history: case → median times in ns of runs before base, in the same environment, the oldest first.
        controls: cases of which the caller knows that their code is the same on both sides.

    Raises:
        UsageError: base and head were measured in different environments.
    """
    require_comparable(comparison.base, comparison.head)
    known = frozenset(controls) | same_code(base, head)
    judged = judge_unpaired(base, head, history, known, lambda case: threshold_of(case, comparison))
    cases = worst_first(c for c in judged if c.family != CANARY_FAMILY)
    launches = {result.case: result.launches for result in base}
    changed = {
        result.case: changed_kernels(launches[result.case], result.launches)
        for result in head
        if result.case in launches
    }
    floors = [c.floor for c in cases if c.floor is not None]
    return ComparisonReport(
        comparison,
        cases,
        findings(cases, changed),
        resolution=median(floors) if floors else None,
        canaries=tuple(c for c in judged if c.family == CANARY_FAMILY),
        machine=_machine(steps_between(moments(base, head, history), known)),
    )


def judge_unpaired(
    base: Sequence[Result],
    head: Sequence[Result],
    history: Mapping[str, Sequence[float]],
    controls: Collection[str],
    threshold_of: Callable[[str], float],
) -> list[CaseComparison]:
    """One verdict a case, those of base first.

    Args:
        base: results of the run that is compared with.
        head: results of the run that is judged.
        history: case → times in ns of runs before base, in the same environment, the oldest first.
        controls: cases whose code is the same on both sides; `same_code` finds those that can be proved.
        threshold_of: case → relevant change.
    """
    bases, heads = ({result.case: result for result in side} for side in (base, head))
    steps = steps_between(moments(base, head, history), frozenset(controls))
    return [
        _judge_case(bases.get(case), heads.get(case), steps, case in controls, threshold_of(case))
        for case in {**bases, **heads}
    ]


def same_code(base: Sequence[Result], head: Sequence[Result]) -> frozenset[str]:
    """The cases that provably launch the same machine code on both sides, and the canaries."""
    bases = {result.case: result for result in base}
    return frozenset(
        result.case
        for result in head
        if result.case in bases
        and result.version == bases[result.case].version
        and (result.family == CANARY_FAMILY or bases[result.case].launches.same_code(result.launches))
    )


def moments(
    base: Sequence[Result], head: Sequence[Result], history: Mapping[str, Sequence[float]]
) -> dict[str, Moments]:
    """The cases whose times can be compared, with what is known of them before base."""
    bases = {result.case: result for result in base}
    found = {}
    for result in head:
        former = bases.get(result.case)
        if former is not None and before_times(former, result) is None and not _not_timed(former, result):
            base_ns, head_ns = _time_ns(former), _time_ns(result)
            assert base_ns is not None and head_ns is not None, "both sides are timed"
            found[result.case] = Moments(base_ns, head_ns, tuple(history.get(result.case, ())))
    return found


def _judge_case(
    base: Result | None, head: Result | None, steps: Steps, control: bool, threshold: float
) -> CaseComparison:
    known = head or base
    assert known is not None, "a case has at least one side"
    blank = CaseComparison(known.case, known.family, known.params, Verdict.INCONCLUSIVE, threshold=threshold)
    ruling = before_times(base, head)
    if ruling is not None:
        return replace(blank, verdict=ruling[0], why=ruling[1])
    assert base is not None and head is not None, "cases with one side are ruled before times"
    step = steps.cases.get(known.case)
    if step is None:
        verdict = Verdict.IDENTICAL if control else Verdict.INCONCLUSIVE
        return replace(blank, verdict=verdict, why=(_not_timed(base, head), *why(base, head)))
    timed = _with_times(blank, base, head, step)
    if control:
        return replace(timed, verdict=Verdict.IDENTICAL, why=_of_control(step))
    verdict, said = by_noise(step, threshold)
    if verdict is Verdict.IMPROVED and less_accurate(base, head):
        verdict = Verdict.LESS_ACCURATE
    return replace(timed, verdict=verdict, why=(*said, *_shifted(steps), *why(base, head)))


def _with_times(blank: CaseComparison, base: Result, head: Result, step: Step) -> CaseComparison:
    limit = step.limit
    return replace(
        blank,
        base_ns=_time_ns(base),
        head_ns=_time_ns(head),
        change=math.expm1(step.change),
        low=None if limit is None else math.expm1(step.change - limit),
        high=None if limit is None else math.expm1(step.change + limit),
        floor=None if limit is None else math.expm1(limit),
        rounds=min(len(base.samples_ns), len(head.samples_ns)),
    )


def by_noise(step: Step, threshold: float) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict against the noise between runs, and what it was judged with in words."""
    if step.limit is None:
        return Verdict.INCONCLUSIVE, (_what_it_takes(step),)
    change = math.expm1(step.change)
    noise = _noise(step)
    if step.beyond and abs(change) >= threshold:
        return (Verdict.REGRESSED if change > 0 else Verdict.IMPROVED), (
            f"beyond the noise between runs: {noise}",
        )
    inside = -threshold < math.expm1(step.change - step.limit) and (
        math.expm1(step.change + step.limit) < threshold
    )
    if inside:
        return Verdict.UNCHANGED, (noise,)
    if step.beyond:
        limit = format_share(threshold, signed=False)
        return Verdict.UNCHANGED, (
            f"beyond the noise between runs, but below the threshold of {limit}: {noise}",
        )
    return Verdict.INCONCLUSIVE, (_too_noisy(step, threshold, noise), *_level_disagrees(step, threshold))


def _noise(step: Step) -> str:
    """`noise between runs explains ±6.2 % (13 earlier changes: typically 0.7 %, at most 4.1 %)`."""
    assert step.limit is not None, "asked only where it is known"
    parts = []
    if step.changes:
        typical, largest = (
            format_share(math.expm1(size), signed=False) for size in (step.typical, step.largest)
        )
        parts.append(f"{_count(step.changes, 'earlier change')}: typically {typical}, at most {largest}")
    if step.controls:
        parts.append(_count(step.controls, "control"))
    explained = format_share(math.expm1(step.limit), signed=False)
    return f"noise between runs explains ±{explained} ({'; '.join(parts)})"


def _too_noisy(step: Step, threshold: float, noise: str) -> str:
    # What history alone knows of the limit falls as more of it comes; controls are there or not.
    more = "" if step.controls else f", more runs or {LEAST_CONTROLS} unchanged cases would lower it"
    return f"{noise}{more}; {_LOCKSTEP}"


def _level_disagrees(step: Step, threshold: float) -> tuple[str, ...]:
    if abs(step.change) < threshold or abs(step.surprise) > abs(step.change) / 2:
        return ()
    return ("the runs before base were not where base is: base may be the exception",)


def _what_it_takes(step: Step) -> str:
    missing = LEAST_CHANGES - step.changes
    return (
        "how much two runs differ by themselves is not known here: it takes "
        f"{_count(missing, 'more earlier run')} of this case in this environment, or {LEAST_CONTROLS} cases "
        f"of unchanged code that both runs timed; {_LOCKSTEP}"
    )


def _of_control(step: Step) -> tuple[str, ...]:
    change = math.expm1(step.change)
    if step.beyond and abs(change) >= SIDES_MOVED:
        return (f"same code, yet {format_share(change)}: suspect the machine",)
    return ()


def _shifted(steps: Steps) -> tuple[str, ...]:
    """Said wherever the printed change is not the ratio of the printed times."""
    if abs(steps.shift) < SIDES_MOVED / 10:
        return ()
    shift = format_share(math.expm1(steps.shift))
    return (f"the {steps.controls} controls moved by {shift} together: taken out of the change",)


def _machine(steps: Steps) -> str:
    if abs(steps.shift) < SIDES_MOVED:
        return ""
    shift = format_share(math.expm1(steps.shift))
    return (
        f"the machine changed between base and head: {steps.controls} cases of unchanged code moved by "
        f"{shift} together; this is taken out of every change"
    )


def _not_timed(base: Result, head: Result) -> str:
    """Why the times of two good results cannot be compared; empty where they can."""
    if base.timer != head.timer:
        return f"timed by {base.timer} at base and {head.timer} at head: not comparable"
    if base.device != head.device:
        return f"ran on {base.device} at base and on {head.device} at head: not comparable"
    if base.timer not in TIMERS:
        return "no times of the benchmarked function: needs a GPU"
    if _time_ns(base) is None or _time_ns(head) is None:
        return "no samples that are positive numbers: measure the case again"
    return ""


def _time_ns(result: Result) -> float | None:
    """The median over all samples: how they spread says nothing about the spread between runs."""
    samples = [sample for sample in result.samples_ns if sample > 0 and math.isfinite(sample)]
    return median(samples) if samples else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
