"""What a measurement is asked to do, and how it tells of its progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from perfsuite.measure.confined import Confinement
from perfsuite.measure.schedule import Effort
from perfsuite.measure.timings import Timings
from perfsuite.model import Environment, Launches, Result, Status

CASE_TIMEOUT_S = 120.0
RUN_EFFORT = {"quick": Effort(1, 1, 8), "pr": Effort(1, 3, 16), "full": Effort(1, 5, 24)}
LEAST_PAIRS = 2
"""Of fresh processes, where the noise of a case is not known: what a process's memory does to it is a noise
of its own. These are measured whatever the budget says."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a comparison may go on.

    Args:
        effort: of one pair; its `pairs` are the most.
        seconds: for the whole suite, starting and compiling included; no pair beyond `LEAST_PAIRS` begins
            that would not end in time.
    """

    effort: Effort
    seconds: float


BUDGETS = {
    "quick": Budget(Effort(3, 4, 6), 60.0),
    "pr": Budget(Effort(8, 4, 12), 120.0),
    "full": Budget(Effort(16, 6, 16), 900.0),
}
Needs = Callable[[Result, Result, int], int]
"""(base, head, cases judged together) → about how many more pairs a case needs, 0 when it is decided."""


@dataclass(frozen=True, slots=True)
class Timed:
    """What an earlier comparison measured of a case."""

    comparison: str
    """Its id, as short as people read it."""
    base: Result
    head: Result


Known = Callable[[str, str, Launches, Launches], Timed | None]
"""(case, version, launches of base, of head) → what was timed of exactly that before."""


def nothing_known(case: str, version: str, base: Launches, head: Launches) -> Timed | None:
    """Everything is timed."""
    return None


def no_look() -> None:
    """Asks nothing."""


def one_more(base: Result, head: Result, family: int) -> int:
    """Never decided: measures until the most pairs or the budget end it."""
    return 1


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout under test."""

    root: Path
    suite: str
    """Folder or file of its benchmarks, relative to `root`."""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    Args:
        environment: where this runs; with a GPU in it, device time is measured.
        state: folder for caches and logs (`.perfsuite`).
        environ: the process's environment; trials are given a cleaned part of it.
        pattern: which cases, see `perfsuite.cases.match_cases`.
        target: architecture to compile for where there is no GPU.
        cores: processors to spread compilation over.
        done: version by case of what an interrupted run has already (`--resume`).
        pairs: of a comparison, exactly so many for every case, whatever the budget; default: as needed.
        veto: whether equal machine code is not timed.
        needs: the rule that says when a case is decided.
        timings: told where the time goes.
        confinement: how trials are shut in, as `perfsuite.measure.sandbox.probe` found it possible; None:
            they are not.
        trusted: False where head (of a run: the tree) is the code of strangers.
        trusted_base: False where base is theirs too: the commit before the one that a bisect found.
        look: called between pairs, while no trial holds the GPU: whoever is there then is a stranger.
        known: of a comparison, what need not be timed again.
    """

    environment: Environment
    state: Path
    environ: Mapping[str, str]
    profile: str = "pr"
    pattern: str = ""
    target: str = "sm_90"
    case_timeout_s: float = CASE_TIMEOUT_S
    cores: int = 1
    done: Mapping[str, str] = field(default_factory=dict)
    pairs: int | None = None
    veto: bool = True
    needs: Needs = one_more
    timings: Timings = field(default_factory=Timings)
    look: Callable[[], None] = no_look
    known: Known = nothing_known
    confinement: Confinement | None = None
    trusted: bool = True
    trusted_base: bool = True

    @property
    def gpu(self) -> bool:
        return self.environment.gpu is not None

    @property
    def compile_target(self) -> str:
        """`sm_90`: of the GPU at hand, else the configured one."""
        capability = self.environment.compute_capability
        return f"sm_{capability.replace('.', '')}" if self.gpu and capability else self.target


@dataclass(frozen=True, slots=True)
class Previous:
    """What an interrupted comparison has of a case."""

    base: Result | None = None
    head: Result | None = None


class Progress(Protocol):
    """Told what happens; draws a bar or prints lines."""

    def total(self, cases: int) -> None:
        """How many steps there are in all; may be corrected later."""
        ...

    def case(self, case: str, stage: str) -> None: ...

    def done(self, case: str, status: Status | str) -> None: ...

    def note(self, text: str) -> None: ...

    def waiting(self, text: str) -> None:
        """What is waited for; may be told again and again until `going_on`."""
        ...

    def going_on(self) -> None: ...


class Silent:
    """A `Progress` that says nothing."""

    def total(self, cases: int) -> None:
        pass

    def case(self, case: str, stage: str) -> None:
        pass

    def done(self, case: str, status: Status | str) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def waiting(self, text: str) -> None:
        pass

    def going_on(self) -> None:
        pass
