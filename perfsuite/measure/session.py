"""Measuring one tree: every case gated, compiled, timed where the machine can, and handed over at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from perfsuite.cases import NoCases
from perfsuite.errors import UsageError
from perfsuite.measure import outcome
from perfsuite.measure.ahead import Compiled
from perfsuite.measure.matching import chosen_ids
from perfsuite.measure.player import PlayerError
from perfsuite.measure.process import Collected, CollectedCase, Ended, RemotePlayer, TrialFailed
from perfsuite.measure.schedule import Effort, measure_alone
from perfsuite.measure.settings import RUN_EFFORT, Progress, Settings, Tree
from perfsuite.measure.side import SidePlan, TreeSide
from perfsuite.model import Result, Status

INTERPRETER_EFFORT = Effort(1, 1, 5, least_rounds=1)
"""Without a GPU only the reference is timed: a rough figure is enough, and a slow one is timed once."""
COLLECTION = "(collection)"


def run_suite(
    tree: Tree, settings: Settings, sink: Callable[[Result], None], progress: Progress
) -> list[CollectedCase]:
    """Measure every chosen case of a tree and give each result to `sink` as soon as it is there.

    Returns the chosen cases.

    Raises:
        NoCases: the pattern chooses nothing.
        UsageError: the suite is missing or cannot be collected.
    """
    require_suite(tree)
    cache = settings.state / "triton" / "tree"
    with TreeSide(SidePlan(tree, settings, 1, cache)) as side:
        collected = collect(side, tree)
        cases = choose(collected, settings)
        waiting = [case for case in cases if settings.done.get(case.id) != case.version]
        waiting += _canaries(collected, waiting, settings)
        progress.total(len(waiting) + len(collected.errors))
        side.compile_ahead(waiting)
        for result in collection_failures(collected, settings):
            sink(result)
            progress.done(result.case, result.status)
        for number, case in enumerate(waiting):
            progress.case(case.id, "measuring" if settings.gpu else "checking")
            then = waiting[number + 1].id if number + 1 < len(waiting) else None
            result = measure_case(side, case, then, settings, RUN_EFFORT[settings.profile])
            sink(result)
            progress.done(case.id, result.status)
    return cases


def _canaries(collected: Collected, waiting: list[CollectedCase], settings: Settings) -> list[CollectedCase]:
    """The pinned kernels, wherever a GPU times anything: their history is the machine's."""
    if not settings.gpu or all(case.plain for case in waiting):
        return []
    return [case for case in collected.canaries if settings.done.get(case.id) != case.version]


def require_suite(tree: Tree) -> None:
    """Raises: UsageError when the tree has no such suite."""
    if not (tree.root / tree.suite).exists():
        raise UsageError(
            f"no suite at {tree.suite} in {tree.label or tree.root}",
            "name its folder as `suite` in [tool.perfsuite] of pyproject.toml",
        )


def collect(side: TreeSide, tree: Tree) -> Collected:
    try:
        return side.collect()
    except TrialFailed as error:
        raise UsageError(
            f"the suite {tree.suite} of {tree.label or tree.root} cannot be read: {error}",
            f"run `pytest {tree.suite}` there: it fails alike",
        ) from error


def choose(collected: Collected, settings: Settings) -> list[CollectedCase]:
    """The chosen cases in the suite's order. Raises: NoCases."""
    chosen = chosen_ids(collected.cases, settings.pattern, settings.profile)
    if not chosen and not collected.errors:
        raise NoCases(settings.pattern, [case.id for case in collected.cases])
    return [case for case in collected.cases if case.id in chosen]


def collection_failures(collected: Collected, settings: Settings) -> list[Result]:
    """A file that cannot be imported is a failed result of its own: it must not go unnoticed."""
    device = "cuda" if settings.gpu else "cpu"
    return [
        outcome.empty(
            CollectedCase(f"{file}/{COLLECTION}", file, "", {}, file, False), device, Status.FAILED, text
        )
        for file, text in collected.errors.items()
    ]


def measure_case(
    side: TreeSide, case: CollectedCase, then: str | None, settings: Settings, effort: Effort
) -> Result:
    """One case on one tree. Its own failures are results; only the machine's are raised."""
    device = "cuda" if settings.gpu else "cpu"
    compiled = side.compiled(case)
    try:
        return _measured(side, case, then, settings, effort, compiled)
    except PlayerError as error:
        settle(side, error)
        return outcome.with_launches(outcome.empty(case, device, Status.FAILED, error.message), compiled)
    except TrialFailed as error:
        return outcome.empty(case, device, Status.FAILED, f"no trial could be started: {error}")


def _measured(
    side: TreeSide,
    case: CollectedCase,
    then: str | None,
    settings: Settings,
    effort: Effort,
    compiled: Compiled,
) -> Result:
    trial = side.trial()
    started = trial.start(case.id, then)
    if isinstance(started, Ended):
        return outcome.of_plain(case, started, 0, 0)
    player = RemotePlayer(trial)
    gate = player.gate()
    result = outcome.from_facts(case, "cuda" if settings.gpu else "cpu", started)
    result = outcome.with_launches(outcome.with_gate(result, gate), compiled, gate.launches)
    if result.status is Status.OK and not settings.gpu:
        result = uncompiled(result, compiled, settings)
    if result.status is Status.OK:
        wanted = effort if settings.gpu else INTERPRETER_EFFORT
        blocks, info = measure_alone(player, 0, wanted)
        result = outcome.with_blocks(result, blocks, info, settings.environment)
    return ended(result, trial.finish())


def ended(result: Result, end: Ended) -> Result:
    """A test that fails after it was measured has failed all the same."""
    if end.outcome != "failed" or result.status is not Status.OK:
        return result
    return replace(result, status=Status.FAILED, message=end.message, blocks=(), roofline_fraction=None)


def uncompiled(result: Result, compiled: Compiled, settings: Settings) -> Result:
    """Without a GPU, code that does not compile for the target is a failure; the gate could not see it."""
    if compiled.launches is not None:
        return result
    text = outcome.DOES_NOT_COMPILE.format(target=settings.compile_target, message=compiled.message)
    return replace(result, status=Status.FAILED, message=text)


def settle(side: TreeSide, error: PlayerError) -> None:
    """After a step failed: the test ends, or its process is gone and the next case gets a new one."""
    if error.lost:
        return
    try:
        side.trial().after_error()
    except (PlayerError, TrialFailed):
        # It died while ending: the next case gets a new process.
        return
