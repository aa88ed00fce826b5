"""Measuring two revisions and storing what came of it: what `compare` and `noise` have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perfsuite.model import REUSED, Commit, noise_key

if TYPE_CHECKING:
    from perfsuite.cli.events import Telling
    from perfsuite.cli.measuring import Plan
    from perfsuite.config import Config
    from perfsuite.git import Repository
    from perfsuite.measure.settings import Previous, Settings, Tree
    from perfsuite.model import Comparison, ComparisonReport, Environment, Noise, Result, Side
    from perfsuite.store import Reader, Store


CANARY_HISTORY = 30
"""Of a canary's earlier times, the newest so many: machines age."""


@dataclass(frozen=True, slots=True)
class Sides:
    base: Commit
    head: Commit


@dataclass(frozen=True, slots=True)
class Request:
    """What is compared, and on which terms.

    Args:
        kind: `compare`, or `noise`: equal machine code is timed too.
        pairs: exactly so many for every case; default: until decided.
        resume: goes on with such a comparison that was interrupted.
        once: such a comparison that is finished is reported, and nothing is measured then.
        reuse: what an earlier comparison timed of the same machine code is taken over.
        merged_base: base has been merged: it is trusted even where head is not.
    """

    sides: Sides
    threshold: float
    kind: str = "compare"
    pairs: int | None = None
    resume: bool = False
    case_timeout_s: float | None = None
    once: bool = False
    reuse: bool = False
    merged_base: bool = True


def measure(plan: Plan, store: Store, repository: Repository, request: Request) -> ComparisonReport:
    """Measure, store case by case, judge, and remember the noise of what was unchanged."""
    from perfsuite.cli.progress import showing_progress
    from perfsuite.cli.ready import ready

    what, name = f"perfsuite {request.kind} of {repository.name}", repository.name
    with showing_progress(color=plan.config.color, events=plan.manner.events) as progress:
        if request.once and (done := _finished(plan, store, request, name, progress)):
            return done
        with ready(plan, what, progress) as prepared:
            # Another process may have measured it while this one waited for the GPU.
            if request.once and (done := _finished(plan, store, request, name, progress)):
                return done
            comparison = _fill(prepared.plan, store, repository, request, progress)
            environment = prepared.afterwards(comparison.head.environment)
        if environment != comparison.head.environment:
            comparison = _in(comparison, environment)
            store.start_comparison(comparison)
        return _finish(store, comparison)


def _fill(
    plan: Plan, store: Store, repository: Repository, request: Request, progress: Telling
) -> Comparison:
    """Measures what a comparison lacks and stores it, case by case."""
    from perfsuite.cases import NoCases
    from perfsuite.cli.measuring import Once, telling_of_interruption
    from perfsuite.model import Side

    found = _unfinished(plan, store, request, repository.name, progress) if request.resume else None
    earlier = _earlier(store.reader, found) if found else {}
    comparison = found or _new_comparison(plan, store.reader, repository.name, request)

    def start() -> None:
        store.start_comparison(comparison)
        progress.started(comparison.id)

    begin = Once(start, done=found is not None)
    if found is not None:
        progress.started(comparison.id)

    def sink(side: Side, result: Result) -> None:
        begin()
        store.save_result((comparison.base if side is Side.BASE else comparison.head).id, result)

    with (
        telling_of_interruption(progress, begin, "this comparison", f"perfsuite {request.kind}"),
        _trees(plan.config, repository, request.sides, progress) as (base, head),
    ):
        settings = _settings(plan, store.reader, comparison, request)
        plan.services.session.compare(base, head, settings, sink, progress, earlier)
    if not begin.done:
        raise NoCases(plan.pattern, [])
    return comparison


def _finish(store: Store, comparison: Comparison) -> ComparisonReport:
    from perfsuite.cli.measuring import now

    for run in (comparison.base, comparison.head):
        store.finish_run(run.id, now())
    store.finish_comparison(comparison.id, now())
    return remember(store, comparison.id)


def _in(comparison: Comparison, environment: Environment) -> Comparison:
    base, head = (replace(run, environment=environment) for run in (comparison.base, comparison.head))
    return replace(comparison, base=base, head=head)


def judged(reader: Reader, reference: str) -> ComparisonReport:
    """The verdicts, computed from the stored samples, and what the canaries' history says of the machine."""
    comparison = reader.comparison(reference)
    return judged_with_results(reader, comparison)[0]


def judged_with_results(
    reader: Reader, comparison: Comparison
) -> tuple[ComparisonReport, list[Result], list[Result]]:
    from perfsuite.stats.judge import judge
    from perfsuite.stats.machine import moved_since

    base, head = (reader.results(run.id) for run in (comparison.base, comparison.head))
    report = judge(comparison, base, head)
    times = {canary.case: canary.base_ns for canary in report.canaries if canary.base_ns is not None}
    since = moved_since(times, {case: _earlier_times(reader, comparison, case) for case in times})
    machine = "; ".join(sentence for sentence in (report.machine, since) if sentence)
    return replace(report, machine=machine), base, head


def _earlier_times(reader: Reader, comparison: Comparison, case: str) -> list[float]:
    """Median times of a canary in earlier comparisons here: in a run, alone on its GPU, it differs."""
    from perfsuite.report.conditions import is_untrusted

    points = reader.series(case, comparison.base.environment.fingerprint, kinds=["base"])
    trusted = (p for p in points if not is_untrusted(p.run.environment))
    earlier = [p for p in trusted if p.run.started_at < comparison.base.started_at]
    return [p.median_ns for p in earlier if p.median_ns is not None][-CANARY_HISTORY:]


def remember(store: Store, comparison_id: str) -> ComparisonReport:
    """Judge a comparison and keep what its unchanged cases show of their noise, however often called once.

    Nothing is kept where a stranger's code was measured.
    """
    from perfsuite.report.conditions import is_untrusted
    from perfsuite.stats.noise import noise_by_case

    report, base, head = judged_with_results(store.reader, store.reader.comparison(comparison_id))
    if is_untrusted(report.comparison.head.environment):
        return report
    # What was taken over was told by the comparison that measured it.
    measured = [result for result in head if REUSED not in result.extra]
    store.save_noise(comparison_id, noise_by_case(report, base, measured))
    return report


def _settings(plan: Plan, reader: Reader, comparison: Comparison, request: Request) -> Settings:
    from perfsuite.cli.reuse import Known
    from perfsuite.measure.settings import nothing_known
    from perfsuite.stats.deciding import Decider

    return replace(
        plan.settings(request.case_timeout_s),
        pairs=request.pairs,
        veto=request.kind != "noise" and plan.profile != "full",
        needs=Decider(comparison),
        known=Known(reader, comparison) if request.reuse else nothing_known,
        trusted_base=request.merged_base,
    )


def _new_comparison(plan: Plan, reader: Reader, repository: str, request: Request) -> Comparison:
    from perfsuite.cli.measuring import new_id
    from perfsuite.model import Comparison

    base = plan.new_run(request.sides.base, repository, "base")
    head = plan.new_run(request.sides.head, repository, "head")
    return Comparison(
        new_id(),
        base,
        head,
        request.threshold,
        base.started_at,
        case_thresholds=dict(plan.config.case_thresholds),
        noise=_known_noise(reader, repository, plan.environment.fingerprint),
        kind=request.kind,
    )


def _known_noise(reader: Reader, repository: str, fingerprint: str) -> dict[str, Noise]:
    known = reader.noise(repository, fingerprint)
    return {noise_key(case, version): noise for case, (version, noise) in known.items()}


@contextlib.contextmanager
def _trees(
    config: Config, repository: Repository, sides: Sides, progress: Telling
) -> Iterator[tuple[Tree, Tree]]:
    from perfsuite.cli.measuring import checkout_of

    progress.note(f"base {sides.base.label} {sides.base.subject}")
    progress.note(f"head {sides.head.label} {sides.head.subject}")
    with (
        checkout_of(config, repository, sides.base, "base") as base,
        checkout_of(config, repository, sides.head, "head") as head,
    ):
        yield base, head


def _finished(
    plan: Plan, store: Store, request: Request, repository: str, progress: Telling
) -> ComparisonReport | None:
    """The report of such a comparison that is finished already, and as far to be trusted as this one."""
    from perfsuite.report.conditions import is_untrusted

    found = _stored(plan, store, request, repository, finished=True)
    if found is None or not _has_limits(found, plan, request):
        return None
    if plan.manner.trusted and is_untrusted(found.head.environment):
        return None
    progress.started(found.id)
    progress.note(f"comparison {found.id[:8]} is stored: nothing to measure")
    return judged(store.reader, found.id)


def _unfinished(
    plan: Plan, store: Store, request: Request, repository: str, progress: Telling
) -> Comparison | None:
    from perfsuite.report.conditions import is_untrusted

    found = _stored(plan, store, request, repository, finished=False)
    if found is not None and is_untrusted(found.head.environment) == plan.manner.trusted:
        # What is half of strangers' code counts for nothing; and none of it may count for more.
        progress.note(f"comparison {found.id[:8]} was begun with other trust: measuring everything")
        return None
    if found is not None and not _has_limits(found, plan, request):
        progress.note(f"comparison {found.id[:8]} has other thresholds: measuring everything")
        return None
    if found is None:
        sides = request.sides
        names = f"{sides.base.label} and {sides.head.label} ({plan.profile})"
        progress.note(f"nothing to resume of {names}: measuring everything")
    else:
        progress.note(f"resuming comparison {found.id[:8]}")
    return found


def _stored(
    plan: Plan, store: Store, request: Request, repository: str, *, finished: bool
) -> Comparison | None:
    return store.reader.unfinished_comparison(
        base_sha=request.sides.base.sha,
        head_sha=request.sides.head.sha,
        head_dirty=request.sides.head.dirty,
        fingerprint=plan.environment.fingerprint,
        profile=plan.profile,
        pattern=plan.pattern,
        suite=plan.config.suite,
        repository=repository,
        kind=request.kind,
        finished=finished,
    )


def _has_limits(comparison: Comparison, plan: Plan, request: Request) -> bool:
    asked = request.threshold, dict(plan.config.case_thresholds)
    return (comparison.threshold, dict(comparison.case_thresholds)) == asked


def _earlier(reader: Reader, comparison: Comparison) -> dict[str, Previous]:
    """What the interrupted comparison has of each case."""
    from perfsuite.measure.settings import Previous

    base = {result.case: result for result in reader.results(comparison.base.id)}
    head = {result.case: result for result in reader.results(comparison.head.id)}
    return {case: Previous(base.get(case), head.get(case)) for case in {**base, **head}}
