"""Measuring one commit alone: what `run` and `backfill` have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfsuite.cli.events import Telling
    from perfsuite.cli.measuring import Plan
    from perfsuite.config import Config
    from perfsuite.git import Repository
    from perfsuite.measure.settings import Tree
    from perfsuite.model import Commit, Result, Run
    from perfsuite.store import Store


@dataclass(frozen=True, slots=True)
class What:
    """What is measured.

    Args:
        repository: its name.
        checkout: its files, for as long as they are needed.
    """

    commit: Commit
    repository: str
    checkout: Callable[[], contextlib.AbstractContextManager[Tree]]


def measure_revision(
    plan: Plan,
    store: Store,
    repository: Repository,
    revision: str,
    *,
    branch: str | None = None,
    resume: bool = False,
    once: bool = False,
    case_timeout_s: float | None = None,
) -> Run:
    """Measures a clean checkout of a commit, stored with it as it goes.

    Args:
        branch: the branch that it is on, for the series of that branch.
        resume: goes on with such a run that was interrupted.
        once: returns such a run that is finished, and measures nothing then.

    Returns the finished run.

    Raises:
        NoCases: the pattern chooses nothing there.
        UsageError: there is no such revision, or its suite is missing or cannot be collected.
        MachineError: the GPU was waited for in vain.
    """
    what = revision_of(plan.config, revision, branch, repository)
    return measure(plan, store, what, resume=resume, once=once, case_timeout_s=case_timeout_s)


def working_tree_of(config: Config) -> What:
    """The working tree as it is, under version control or not."""
    from perfsuite.cli.measuring import tree_of
    from perfsuite.git import UNVERSIONED, NotARepository, Repository

    try:
        repository = Repository.discover(config.root)
        commit, name = repository.head(), repository.name
        commit = replace(commit, position=repository.position(commit.sha))
    except NotARepository:
        commit, name = UNVERSIONED, config.root.name
    return What(commit, name, lambda: contextlib.nullcontext(tree_of(config, commit)))


def revision_of(
    config: Config, revision: str, branch: str | None, repository: Repository | None = None
) -> What:
    """A clean checkout of a revision.

    Raises:
        UsageError: there is none of that name.
    """
    from perfsuite.cli.measuring import checkout_of
    from perfsuite.git import Repository

    repository = repository or Repository.discover(config.root)
    commit = repository.resolve(revision)
    position = repository.position(commit.sha)
    commit = replace(commit, branch=branch or commit.branch, position=position)
    return What(commit, repository.name, lambda: checkout_of(config, repository, commit))


def measure(
    plan: Plan, store: Store, what: What, *, resume: bool, once: bool, case_timeout_s: float | None
) -> Run:
    """The finished run; one that is finished already where `once` asks for it."""
    from perfsuite.cli.measuring import now
    from perfsuite.cli.progress import showing_progress
    from perfsuite.cli.ready import ready

    with showing_progress(color=plan.config.color, events=plan.manner.events) as progress:
        if once and (done := _finished(plan, store, what, progress)):
            return done
        with ready(plan, f"perfsuite run of {what.repository}", progress) as prepared:
            # Another process may have measured it while this one waited for the GPU.
            if once and (done := _finished(plan, store, what, progress)):
                return done
            unfinished = _unfinished(plan, store, what, progress) if resume else None
            run = unfinished or prepared.plan.new_run(what.commit, what.repository, "run")
            begun = unfinished is not None
            _fill(prepared.plan, store, what, run, progress, begun=begun, timeout_s=case_timeout_s)
            environment = prepared.afterwards(run.environment)
    if environment != run.environment:
        store.start_run(replace(run, environment=environment))
    store.finish_run(run.id, now())
    return store.reader.run(run.id)


def _fill(
    plan: Plan,
    store: Store,
    what: What,
    run: Run,
    progress: Telling,
    *,
    begun: bool,
    timeout_s: float | None,
) -> None:
    """Measures what a run lacks and stores it, case by case."""
    from perfsuite.cases import NoCases
    from perfsuite.cli.measuring import Once, telling_of_interruption

    def start() -> None:
        store.start_run(run)
        progress.started(run.id)

    begin = Once(start, done=begun)
    if begun:
        progress.started(run.id)

    def sink(result: Result) -> None:
        begin()
        store.save_result(run.id, result)

    with telling_of_interruption(progress, begin, "this run", "perfsuite run"), what.checkout() as tree:
        settings = plan.settings(timeout_s, _versions(store, run) if begun else {})
        plan.services.session.run(tree, settings, sink, progress)
    if not begin.done:
        raise NoCases(plan.pattern, [])


def _versions(store: Store, run: Run) -> dict[str, str]:
    """Version by case of what a run has already."""
    return {result.case: result.version for result in store.reader.results(run.id, samples=False)}


def _finished(plan: Plan, store: Store, what: What, progress: Telling) -> Run | None:
    """Such a run that is finished already."""
    found = _stored(plan, store, what, finished=True)
    if found is not None:
        progress.started(found.id)
        progress.note(f"run {found.id[:8]} of {found.commit.label} is stored: nothing to measure")
    return found


def _unfinished(plan: Plan, store: Store, what: What, progress: Telling) -> Run | None:
    from perfsuite.git import UNVERSIONED

    if what.commit.sha == UNVERSIONED.sha:
        progress.note("nothing can be resumed outside git, where changes do not show: measuring everything")
        return None
    found = _stored(plan, store, what, finished=False)
    if found is None:
        progress.note(f"nothing to resume of {what.commit.label} ({plan.profile}): measuring everything")
    else:
        cases = len(store.reader.finished_cases(found.id))
        progress.note(f"resuming run {found.id[:8]}: {cases} cases are done")
    return found


def _stored(plan: Plan, store: Store, what: What, *, finished: bool) -> Run | None:
    """Such a run that was finished, or was not; one of strangers' code only where this is one too."""
    from perfsuite.git import UNVERSIONED
    from perfsuite.report.conditions import is_untrusted

    if what.commit.sha == UNVERSIONED.sha:
        return None
    found = store.reader.unfinished_run(
        sha=what.commit.sha,
        dirty=what.commit.dirty,
        fingerprint=plan.environment.fingerprint,
        profile=plan.profile,
        pattern=plan.pattern,
        suite=plan.config.suite,
        repository=what.repository,
        finished=finished,
    )
    if found is not None and is_untrusted(found.environment) == plan.manner.trusted:
        return None
    branch = what.commit.branch
    if found is not None and found.commit.branch is None and branch is not None:
        # It was measured by its hash alone: from now on it belongs to the branch's series.
        found = replace(found, commit=replace(found.commit, branch=branch))
        store.start_run(found)
    return found
