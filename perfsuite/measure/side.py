"""One tree being measured: its trial, replaced when a case takes it down, and its compiling workers."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from perfsuite.measure.ahead import Compiled, CompilePool, worker_count
from perfsuite.measure.confined import UNCONFINED
from perfsuite.measure.process import Collected, CollectedCase, Trial, TrialPlan
from perfsuite.measure.sandbox import hide_environment, refuse_links_out
from perfsuite.measure.sandbox_cache import cache_of_strangers
from perfsuite.measure.settings import Settings, Tree
from perfsuite.model import Launches, Side


@dataclass(frozen=True, slots=True)
class SidePlan:
    tree: Tree
    settings: Settings
    sides: int
    cache: Path
    side: Side | None = None
    """Of a comparison; None for a run."""

    @property
    def trusted(self) -> bool:
        """Base is, where it has been merged."""
        return self.settings.trusted or (self.side is Side.BASE and self.settings.trusted_base)


class TreeSide:
    """A context manager: leaving it leaves no process."""

    def __init__(self, plan: SidePlan) -> None:
        self._plan = plan
        settings = plan.settings
        strict = settings.confinement is not None or not settings.trusted
        refuse_links_out(plan.tree.root, plan.tree.suite, everywhere=strict)
        if strict:
            hide_environment()
        self._ending = contextlib.ExitStack()
        cache = plan.cache
        if not plan.trusted:
            cache = self._ending.enter_context(cache_of_strangers(cache.parent))
        stamp = time.strftime("%Y%m%d-%H%M%S")
        log = settings.state / "logs" / f"{stamp}-{plan.side or 'run'}.log"
        self._trial_plan = TrialPlan(
            root=plan.tree.root,
            suite=plan.tree.suite,
            mode=mode_of(settings),
            cache=cache,
            log=log,
            case_timeout_s=settings.case_timeout_s,
            environ=settings.environ,
            target=settings.compile_target,
            side=plan.side,
            confinement=settings.confinement or UNCONFINED,
            hidden=(settings.state, settings.state.parent),
        )
        ahead = replace(self._trial_plan, mode="compile", log=log.with_suffix(".compile.log"))
        self._started = 0
        self._trial = self._start()
        self._fresh = True
        self._next: Trial | None = None
        """Started ahead; it collects and waits."""
        self._leaving: Trial | None = None
        """Asked to end; its memory on the GPU may still be there."""
        self.collected = Collected(())
        self._pool = CompilePool(ahead, worker_count(settings.cores, plan.sides))

    def __enter__(self) -> TreeSide:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()
        for trial in (self._leaving, self._next, self._trial):
            if trial is not None:
                trial.close()
        self._ending.close()

    def collect(self) -> Collected:
        """What the suite holds. Raises: TrialFailed."""
        self.collected = self._trial.collected()
        self._fresh = False
        return self.collected

    def compile_ahead(self, cases: list[CollectedCase]) -> None:
        self._pool.ask([case.id for case in cases if not case.plain])

    def compiled(self, case: CollectedCase) -> Compiled:
        if case.plain:
            opaque = Launches(opaque=("a plain benchmark: what it launches is not captured",))
            return Compiled(opaque)
        return self._pool.result(case.id)

    def trial(self) -> Trial:
        """A living trial that has collected. Raises: TrialFailed."""
        if self._leaving is not None:
            self._leaving.quit()
            self._leaving = None
        if not self._trial.alive:
            self._replace()
        if self._fresh:
            self._trial.collected()
            self._fresh = False
        return self._trial

    def abandon(self) -> None:
        """End the process whatever it does; the next use gets a fresh one."""
        self._trial.close()

    def prepare(self) -> None:
        """Start the process that `restart` will put in place: it imports and collects, and then waits.

        It uses memory of the host only: nothing touches the GPU before a process's first case. To be called
        by the thread that lives longest, since a process ends with the thread that started it.
        """
        if self._next is None:
            self._next = self._start()

    def restart(self) -> None:
        """A fresh process, prepared or started now; its collection is waited for at the next use.

        The old one ends meanwhile, which is waited for then too: two sides' processes end side by side.
        """
        if self._leaving is not None:
            self._leaving.quit()
        self._leaving = self._trial
        self._leaving.dismiss()
        self._replace()

    def _replace(self) -> None:
        prepared, self._next = self._next, None
        if prepared is not None and not prepared.running:
            prepared.close()
            prepared = None
        self._trial = prepared or self._start()
        self._fresh = True

    def _start(self) -> Trial:
        """Each process has a log of its own: a prepared one writes while another is measured."""
        self._started += 1
        log = self._trial_plan.log
        if self._started > 1:
            log = log.with_suffix(f".{self._started}.log")
        return Trial(replace(self._trial_plan, log=log))


def mode_of(settings: Settings) -> str:
    """How cases are run: on the GPU, else in the interpreter."""
    return "gpu" if settings.gpu else "interpret"
