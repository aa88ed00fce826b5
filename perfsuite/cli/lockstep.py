"""Measuring two revisions and storing what came of it: what `compare` and `noise` have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perfsuite.model import Commit, noise_key

if TYPE_CHECKING:
    from perfsuite.cli.measuring import Plan
    from perfsuite.config import Config
    from perfsuite.git import Repository
    from perfsuite.measure.settings import Previous, Progress, Settings, Tree
    from perfsuite.model import Comparison, ComparisonReport, Noise, Result, Side
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
    """

    sides: Sides
    threshold: float
    kind: str = "compare"
    pairs: int | None = None
    resume: bool = False
    case_timeout_s: float | None = None


def measure(plan: Plan, store: Store, repository: Repository, request: Request) -> ComparisonReport:
    """Measure, store case by case, judge, and remember the noise of what was unchanged."""
    from perfsuite.cli.measuring import Once, now, telling_of_interruption
    from perfsuite.cli.progress import showing_progress
    from perfsuite.model import Side

    with showing_progress(color=plan.config.color) as progress:
        found = _unfinished(plan, store, request, repository.name, progress) if request.resume else None
        earlier = _earlier(store.reader, found) if found else {}
        comparison = found or _new_comparison(plan, store.reader, repository.name, request)
        begin = Once(lambda: store.start_comparison(comparison), done=found is not None)

        def sink(side: Side, result: Result) -> None:
            begin()
            store.save_result((comparison.base if side is Side.BASE else comparison.head).id, result)

        with (
            telling_of_interruption(progress, begin, "this comparison", f"perfsuite {request.kind}"),
            _trees(plan.config, repository, request.sides, progress) as (base, head),
        ):
            settings = _settings(plan, comparison, request)
            plan.services.session.compare(base, head, settings, sink, progress, earlier)
    _require_cases(plan, done=begin.done)
    for run in (comparison.base, comparison.head):
        store.finish_run(run.id, now())
    store.finish_comparison(comparison.id, now())
    return remember(store, comparison.id)


def judged(reader: Reader, reference: str) -> ComparisonReport:
    """The verdicts, computed from the stored samples, and what the canaries' history says of the machine."""
    comparison = reader.comparison(reference)
    return _judged(reader, comparison)[0]


def _judged(reader: Reader, comparison: Comparison) -> tuple[ComparisonReport, list[Result], list[Result]]:
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
    points = reader.series(case, comparison.base.environment.fingerprint, kinds=["base"])
    earlier = [p for p in points if p.run.started_at < comparison.base.started_at]
    return [p.median_ns for p in earlier if p.median_ns is not None][-CANARY_HISTORY:]


def remember(store: Store, comparison_id: str) -> ComparisonReport:
    """Judge a comparison and keep what its unchanged cases show of their noise, however often called once."""
    from perfsuite.stats.noise import noise_by_case

    report, base, head = _judged(store.reader, store.reader.comparison(comparison_id))
    store.save_noise(comparison_id, noise_by_case(report, base, head))
    return report


def _settings(plan: Plan, comparison: Comparison, request: Request) -> Settings:
    from perfsuite.stats.deciding import Decider

    return replace(
        plan.settings(request.case_timeout_s),
        pairs=request.pairs,
        veto=request.kind != "noise" and plan.profile != "full",
        needs=Decider(comparison),
    )


def _require_cases(plan: Plan, *, done: bool) -> None:
    from perfsuite.cases import NoCases

    if not done:
        raise NoCases(plan.pattern, [])


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
    config: Config, repository: Repository, sides: Sides, progress: Progress
) -> Iterator[tuple[Tree, Tree]]:
    """Both checkouts: whatever is edited from now on does not reach them."""
    from perfsuite.measure.settings import Tree

    below = config.root.relative_to(repository.root)
    folder = config.make_state_folder() / "worktrees"
    progress.note(f"base {sides.base.label} {sides.base.subject}")
    progress.note(f"head {sides.head.label} {sides.head.subject}")
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(repository.worktree(sides.base.sha, folder=folder))
        if sides.head.dirty:
            head = stack.enter_context(repository.snapshot(folder=folder))
        else:
            head = stack.enter_context(repository.worktree(sides.head.sha, folder=folder))
        yield (
            Tree(base / below, config.suite, f"base {sides.base.label}"),
            Tree(head / below, config.suite, f"head {sides.head.label}"),
        )


def _unfinished(
    plan: Plan, store: Store, request: Request, repository: str, progress: Progress
) -> Comparison | None:
    sides = request.sides
    found = store.reader.unfinished_comparison(
        base_sha=sides.base.sha,
        head_sha=sides.head.sha,
        head_dirty=sides.head.dirty,
        fingerprint=plan.environment.fingerprint,
        profile=plan.profile,
        pattern=plan.pattern,
        suite=plan.config.suite,
        repository=repository,
        kind=request.kind,
    )
    limits = request.threshold, dict(plan.config.case_thresholds)
    if found is not None and (found.threshold, dict(found.case_thresholds)) != limits:
        progress.note(f"comparison {found.id[:8]} has other thresholds: measuring everything")
        return None
    if found is None:
        names = f"{sides.base.label} and {sides.head.label} ({plan.profile})"
        progress.note(f"nothing to resume of {names}: measuring everything")
    else:
        progress.note(f"resuming comparison {found.id[:8]}")
    return found


def _earlier(reader: Reader, comparison: Comparison) -> dict[str, Previous]:
    """What the interrupted comparison has of each case."""
    from perfsuite.measure.settings import Previous

    base = {result.case: result for result in reader.results(comparison.base.id)}
    head = {result.case: result for result in reader.results(comparison.head.id)}
    return {case: Previous(base.get(case), head.get(case)) for case in {**base, **head}}
