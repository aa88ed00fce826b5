"""What a measurement is asked to do, and how it tells of its progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from perfsuite.measure.schedule import Effort
from perfsuite.model import Environment, Result, Status

CASE_TIMEOUT_S = 120.0
RUN_EFFORT = {"quick": Effort(1, 1, 8), "pr": Effort(1, 3, 16), "full": Effort(1, 5, 24)}
COMPARE_EFFORT = {"quick": Effort(2, 3, 12), "pr": Effort(2, 4, 16), "full": Effort(4, 4, 24)}
"""Two pairs of fresh processes at least: what a process's memory does to a case is a noise of its own."""


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
