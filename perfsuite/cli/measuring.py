"""What `run` and `compare` have in common: the machine, the settings, and a store that fills case by case."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import perfsuite
from perfsuite.model import Commit, Environment, Run, Scalar

if TYPE_CHECKING:
    from perfsuite.cli.options import Profile
    from perfsuite.cli.services import Services
    from perfsuite.config import Config
    from perfsuite.git import Repository
    from perfsuite.measure.sandbox import Confinement
    from perfsuite.measure.settings import Progress, Settings, Tree
    from perfsuite.measure.timings import Timings


def nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command measures, beside what it measures.

    Args:
        events: where progress is told as JSON lines: a file, or `fd:5`; None for nowhere.
        wait_s: how long another perfsuite on the same GPU is waited for; None: for ever.
        wait_idle_s: how long processes of others on the GPU are waited for; None: they are noted.
        confine: trials get no network and files of their own, as far as the kernel allows.
        trusted: False where head is the code of strangers: nothing that it writes is read by others.
    """

    events: str | None = None
    wait_s: float | None = None
    wait_idle_s: float | None = None
    confine: bool = False
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for, where it is measured, and on which terms."""

    services: Services
    config: Config
    environment: Environment
    profile: str
    pattern: str
    timings: Timings
    manner: Manner = Manner()
    look: Callable[[], None] = nothing
    """Looks who else uses the GPU; called while no trial holds it."""
    confinement: Confinement | None = None

    def knowing(self, **facts: Scalar) -> Plan:
        """The same with further facts of the environment, kept with its runs, those that are not empty."""
        known = {name: fact for name, fact in facts.items() if fact}
        details = {**self.environment.details, **known}
        return replace(self, environment=replace(self.environment, details=details))

    def settings(self, case_timeout_s: float | None, done: Mapping[str, str] | None = None) -> Settings:
        from perfsuite.measure.settings import Settings

        return Settings(
            environment=self.environment,
            state=self.config.make_state_folder(),
            environ=self.services.environ,
            profile=self.profile,
            pattern=self.pattern,
            target=self.config.target,
            case_timeout_s=case_timeout_s or self.config.case_timeout_s,
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            done=done or {},
            timings=self.timings,
            look=self.look,
            confinement=self.confinement,
            trusted=self.manner.trusted,
        )

    def new_run(self, commit: Commit, repository: str, kind: str) -> Run:
        return Run(
            id=new_id(),
            commit=commit,
            repository=repository,
            environment=self.environment,
            profile=self.profile,
            started_at=now(),
            kind=kind,
            pattern=self.pattern,
            version=perfsuite.__version__,
            suite=self.config.suite,
        )


def make_plan(
    services: Services, config: Config, profile: Profile, pattern: str, manner: Manner | None = None
) -> Plan:
    """Reads the machine; nothing is measured yet."""
    from perfsuite.measure.timings import Timings

    config.make_state_folder()
    environment = services.environment(services.environ)
    return Plan(
        *(services, config, environment, profile.value, pattern.strip(), Timings()),
        manner=manner or Manner(),
    )


def new_id() -> str:
    return uuid.uuid4().hex


def now() -> datetime:
    return datetime.now(UTC)


def tree_of(config: Config, commit: Commit) -> Tree:
    """The working tree, as what is measured."""
    from perfsuite.measure.settings import Tree

    return Tree(config.root, config.suite, commit.label)


@contextlib.contextmanager
def checkout_of(config: Config, repository: Repository, commit: Commit, side: str = "") -> Iterator[Tree]:
    """A checkout of a commit: whatever is edited from now on does not reach it.

    Args:
        commit: a dirty one is the working tree as it is now.
        side: `base` or `head` of a comparison.
    """
    from perfsuite.measure.settings import Tree

    folder = config.make_state_folder() / "worktrees"
    below = config.root.relative_to(repository.root)
    checkout = (
        repository.snapshot(folder=folder) if commit.dirty else repository.worktree(commit.sha, folder=folder)
    )
    with checkout as path:
        yield Tree(path / below, config.suite, f"{side} {commit.label}".strip())


class Once:
    """Calls a function the first time it is asked to: a run begins with its first result, so that a mistake
    in the pattern leaves no empty run behind."""

    def __init__(self, begin: Callable[[], None], *, done: bool = False) -> None:
        self._begin = begin
        self.done = done
        self.count = 0

    def __call__(self) -> None:
        if not self.done:
            self._begin()
            self.done = True
        self.count += 1


@contextlib.contextmanager
def telling_of_interruption(progress: Progress, saved: Once, noun: str, again: str) -> Iterator[None]:
    """Says what an interruption leaves behind, whatever interrupts."""
    try:
        yield
    except BaseException:
        if saved.done:
            progress.note(
                f"{noun} is stored as far as it got; finish it with: {again}, the same options and --resume"
            )
        raise
