"""The verdict on every case of a comparison, recomputed from stored results.

Correctness, presence and equal machine code come before statistics. Then, with T the case's threshold and
[low, high] the interval of the relative change: regressed if low ≥ T, improved if high ≤ −T (plainly, not
T / (1 + T): the number that people set is the number that they read), each confirmed by fresh processes;
unchanged if −T < low and high < T, else inconclusive. What the canaries moved is not blamed on the code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from perfsuite.cases import match_cases
from perfsuite.errors import UsageError
from perfsuite.model import (
    CANARY_FAMILY,
    REUSED,
    CaseComparison,
    Comparison,
    ComparisonReport,
    Result,
    Run,
    Status,
    Timer,
    Verdict,
    noise_key,
)
from perfsuite.stats.families import findings, worst_first
from perfsuite.stats.machine import allowance, machine_sentence, moved_apart
from perfsuite.stats.noise import floor_of
from perfsuite.stats.paired import Effect, Terms, paired_effect
from perfsuite.stats.sequential import Direction
from perfsuite.stats.settle import what_settles
from perfsuite.stats.why import changed_kernels, less_accurate, why
from perfsuite.units import format_share

COMPARED_TIMERS = (Timer.GRAPH, Timer.EVENTS, Timer.WALL)
"""Times of the benchmarked function itself. Reference and imported times are never compared."""
_ENVIRONMENT = ("gpu", "gpu_memory_bytes", "driver", "cuda", "torch", "triton", "clocks", "cpu", "python")
Ruling = tuple[Verdict, tuple[str, ...]]


def judge(comparison: Comparison, base: Sequence[Result], head: Sequence[Result]) -> ComparisonReport:
    """Verdicts, findings and resolution of a comparison.

    Raises:
        UsageError: base and head were measured in different environments.
    """
    require_comparable(comparison.base, comparison.head)
    bases = {result.case: result for result in base}
    heads = {result.case: result for result in head}
    names = list({**bases, **heads})
    canaries = _judge_canaries(comparison, bases, heads)
    moved = moved_apart(canaries)
    scene = _Scene(
        comparison,
        family=sum(_is_timed(bases.get(case), heads.get(case), comparison) for case in names),
        allowance=allowance(moved, canaries),
    )
    compared = worst_first(
        _judge_case(bases.get(case), heads.get(case), scene) for case in names if not _is_canary(case)
    )
    changed = {
        case: changed_kernels(bases[case].launches, heads[case].launches)
        for case in names
        if case in bases and case in heads
    }
    widths = [(c.high - c.low) / 2 for c in compared if c.low is not None and c.high is not None]
    return ComparisonReport(
        comparison,
        compared,
        findings(compared, changed),
        resolution=median(widths) if widths else None,
        canaries=canaries,
        machine=machine_sentence(moved, canaries),
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    """What all cases of a comparison share."""

    comparison: Comparison
    family: int
    allowance: float = 0.0

    def terms(self, of: Result) -> Terms:
        return terms_of(of, self.comparison, self.family)

    @property
    def veto(self) -> bool:
        """Whether equal machine code decides; measuring the noise is done with equal code on purpose."""
        return self.comparison.kind != "noise"


def _is_canary(case: str) -> bool:
    return case.partition("[")[0] == CANARY_FAMILY


def _is_timed(base: Result | None, head: Result | None, comparison: Comparison) -> bool:
    """Whether a case is judged by its times: it belongs to the family of tests."""
    if base is None or head is None or _is_canary(head.case) or before_times(base, head) is not None:
        return False
    veto = comparison.kind != "noise" and base.launches.same_code(head.launches)
    return not veto and _not_timed(base, head) is None and bool(base.blocks) and bool(head.blocks)


def _judge_canaries(
    comparison: Comparison, bases: Mapping[str, Result], heads: Mapping[str, Result]
) -> tuple[CaseComparison, ...]:
    """Canaries have no threshold of their own: their interval against none is what matters."""
    scene = _Scene(replace(comparison, kind="noise"), family=1)
    return tuple(
        _judge_case(bases.get(case), heads.get(case), scene)
        for case in {**bases, **heads}
        if _is_canary(case)
    )


def require_comparable(base: Run, head: Run) -> None:
    """Refuse runs of different environments, naming what differs.

    Raises:
        UsageError: the fingerprints differ.
    """
    before, after = base.environment, head.environment
    if before.fingerprint == after.fingerprint:
        return
    differing = [
        f"{name} {getattr(before, name)} → {getattr(after, name)}"
        for name in _ENVIRONMENT
        if getattr(before, name) != getattr(after, name)
    ]
    raise UsageError(
        f"base {base.commit.label} and head {head.commit.label} were measured in different environments: "
        + ", ".join(differing),
        "measure both again on one machine with `perfsuite compare`",
    )


def threshold_of(case: str, comparison: Comparison) -> float:
    """The case's threshold: that of the first glob that matches, else the comparison's."""
    return _first_match(case, comparison.case_thresholds, comparison.threshold)


def terms_of(result: Result, comparison: Comparison, family: int) -> Terms:
    """What a case is judged against.

    Args:
        family: how many cases are judged together.
    """
    known = comparison.noise.get(noise_key(result.case, result.version))
    return Terms(threshold_of(result.case, comparison), known, family)


def _first_match(case: str, thresholds: Mapping[str, float], default: float) -> float:
    """Patterns mean what `-k` means."""
    return next((share for pattern, share in thresholds.items() if match_cases(pattern, [case])), default)


def _judge_case(base: Result | None, head: Result | None, scene: _Scene) -> CaseComparison:
    known = head or base
    assert known is not None, "a case of a comparison has at least one side"
    terms = scene.terms(known)
    blank = CaseComparison(
        known.case,
        known.family,
        known.params,
        Verdict.INCONCLUSIVE,
        threshold=terms.threshold,
        floor=floor_of(terms.noise),
    )
    ruling = before_times(base, head)
    if ruling is not None:
        return replace(blank, verdict=ruling[0], why=ruling[1])
    assert base is not None and head is not None, "cases with one side are ruled before times"
    identical = scene.veto and base.launches.same_code(head.launches)
    refusal = _not_timed(base, head)
    effect = None if refusal else paired_effect(base, head, terms)
    if effect is None:
        reason = refusal or "no rounds of base and head belong together: measure the case again"
        ruling = (Verdict.IDENTICAL, why(base, head)) if identical else _untimed(base, head, reason)
        return replace(blank, verdict=ruling[0], why=ruling[1])
    ruling = _identical_but(effect) if identical else by_time(effect, terms, scene.allowance)
    verdict = ruling[0]
    if verdict is Verdict.IMPROVED and less_accurate(base, head):
        verdict = Verdict.LESS_ACCURATE
    said = (*ruling[1], *why(base, head), *_remarks(base, head, verdict), *effect.notes)
    return _with_times(replace(blank, verdict=verdict, why=said), effect)


def _with_times(blank: CaseComparison, effect: Effect) -> CaseComparison:
    return replace(
        blank,
        base_ns=effect.base_ns,
        head_ns=effect.head_ns,
        change=effect.change,
        # Too few blocks span a range, not an interval: nobody should read a confidence into it.
        low=effect.low if effect.enough else None,
        high=effect.high if effect.enough else None,
        pairs=effect.pairs,
        rounds=effect.rounds,
        blocks=effect.blocks,
        confirmed=effect.confirmed,
    )


def before_times(base: Result | None, head: Result | None) -> Ruling | None:
    """What is settled without a look at times, or None."""
    if head is None:
        return Verdict.REMOVED, ("not measured at head",)
    if head.status is Status.INCORRECT:
        return Verdict.INCORRECT, _incorrect(base, head)
    if head.status is Status.FAILED:
        already = (f"already {base.status} at base",) if base and base.status is Status.FAILED else ()
        return Verdict.FAILED, (_message(head), *already)
    if head.status is Status.SKIPPED:
        both = base is None or base.status is Status.SKIPPED
        return (Verdict.INCONCLUSIVE if both else Verdict.REMOVED), (f"skipped at head: {_message(head)}",)
    if base is None:
        return Verdict.NEW, ("not measured at base",)
    if base.version != head.version:
        return Verdict.NEW, ("benchmark changed: its versions are not compared",)
    if base.status is not Status.OK and base.blocks and head.blocks:
        return Verdict.INCONCLUSIVE, (f"{base.status} at base while it was timed: {_message(base)}",)
    if base.status is not Status.OK:
        return Verdict.NEW, (f"{base.status} at base, ok at head: {_message(base)}",)
    return None


def _incorrect(base: Result | None, head: Result) -> tuple[str, ...]:
    errors = f"error (RMS) {_number(head.error_rms)}, tolerance {_number(head.tolerance)}"
    if head.error_max is not None:
        errors += f", largest {_number(head.error_max)}"
    if base is None:
        return errors, _message(head)
    if base.status is Status.INCORRECT:
        return errors, f"already incorrect at base: error (RMS) {_number(base.error_rms)}", _message(head)
    at_base = (f"error (RMS) at base {_number(base.error_rms)}",) if base.error_rms is not None else ()
    code = why(replace(base, error_rms=None), replace(head, timer=base.timer))
    return (errors, *at_base, *code, _message(head))


def _not_timed(base: Result, head: Result) -> str | None:
    """Why the times of two good results cannot be compared, or None."""
    untimed = (Timer.REFERENCE, Timer.NONE)
    if base.timer in untimed and head.timer in untimed:
        return "no device times: needs a GPU"
    if base.timer != head.timer:
        return f"timed by {base.timer} at base and {head.timer} at head: not comparable"
    if base.device != head.device:
        return f"ran on {base.device} at base and on {head.device} at head: not comparable"
    if base.timer not in COMPARED_TIMERS:
        return f"{base.timer} times are no lockstep pairs: measure with `perfsuite compare`"
    return None


def _untimed(base: Result, head: Result, reason: str) -> Ruling:
    return Verdict.INCONCLUSIVE, (reason, *why(base, replace(head, timer=base.timer)))


def by_time(effect: Effect, terms: Terms, allowance: float = 0.0) -> Ruling:
    """The verdict of the stopwatch.

    Args:
        allowance: a change that the machine alone may have made.
    """
    if not effect.enough:
        return Verdict.INCONCLUSIVE, (what_settles(effect, terms.threshold),)
    moved = format_share(min(allowance, 1.0), signed=False)
    if effect.within and max(-effect.low, effect.high) + allowance >= terms.threshold and allowance:
        return Verdict.INCONCLUSIVE, (f"the machine itself moved by up to {moved}: measure again",)
    if effect.within:
        return Verdict.UNCHANGED, _real_but_small(effect, terms.threshold)
    if effect.direction is Direction.NEITHER or not effect.confirmed:
        return Verdict.INCONCLUSIVE, (what_settles(effect, terms.threshold), *_below_floor(terms))
    nearest = effect.low if effect.direction is Direction.SLOWER else -effect.high
    if allowance and nearest < terms.threshold + allowance:
        return Verdict.INCONCLUSIVE, (f"the machine itself moved by up to {moved}: measure again",)
    return (Verdict.REGRESSED if effect.direction is Direction.SLOWER else Verdict.IMPROVED), ()


def _below_floor(terms: Terms) -> tuple[str, ...]:
    floor = floor_of(terms.noise)
    if floor is None or floor <= terms.threshold:
        return ()
    limit, seen = (format_share(value, signed=False) for value in (terms.threshold, floor))
    return (f"the threshold of {limit} is below this case's noise floor of {seen}",)


def _real_but_small(effect: Effect, threshold: float) -> tuple[str, ...]:
    if effect.low <= 0 <= effect.high:
        return ()
    direction = "slower" if effect.change > 0 else "faster"
    return (f"{direction}, but by less than the threshold of {format_share(threshold, signed=False)}",)


def _identical_but(effect: Effect) -> Ruling:
    """Equal machine code that was timed all the same (profile full) accuses only the machine."""
    moved = effect.enough and effect.direction is not Direction.NEITHER
    sentence = f"same machine code, yet {format_share(effect.change)}: suspect the machine"
    return Verdict.IDENTICAL, ((sentence,) if moved else ())


def _remarks(base: Result, head: Result, verdict: Verdict) -> tuple[str, ...]:
    return (*_unexplained(base, head, verdict), *_reused(head))


def _reused(head: Result) -> tuple[str, ...]:
    comparison = head.extra.get(REUSED)
    return (f"measured in comparison {comparison}, of the same machine code",) if comparison else ()


def _unexplained(base: Result, head: Result, verdict: Verdict) -> tuple[str, ...]:
    same = bool(base.launches.order) and base.launches.order == head.launches.order
    if verdict in (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.LESS_ACCURATE) and same:
        opaque = "; ".join(base.launches.opaque or head.launches.opaque) or "no compiled kernel"
        return (f"same launches as far as they are known ({opaque}): suspect the machine, or the rest",)
    return ()


def _message(result: Result) -> str:
    return result.message.strip().split("\n", 1)[0] or f"{result.status} without a message"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
