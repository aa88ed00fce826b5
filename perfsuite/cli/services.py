"""What commands take from outside, in one place: a test hands in other services, everything else is real."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from perfsuite.config import Config, load_config, override_database, process_environ
from perfsuite.model import Environment, Result, Side

if TYPE_CHECKING:
    from perfsuite.measure.nvml import GpuProcess
    from perfsuite.measure.settings import Previous, Progress, Settings, Tree


class Session(Protocol):
    """What measures."""

    def run(
        self, tree: Tree, settings: Settings, sink: Callable[[Result], None], progress: Progress
    ) -> None: ...

    def compare(
        self,
        base: Tree,
        head: Tree,
        settings: Settings,
        sink: Callable[[Side, Result], None],
        progress: Progress,
        earlier: Mapping[str, Previous],
    ) -> None: ...


class MeasuringSession:
    """The real one; imported when it is used."""

    def run(self, tree: Tree, settings: Settings, sink: Callable[[Result], None], progress: Progress) -> None:
        from perfsuite.measure.session import run_suite

        run_suite(tree, settings, sink, progress)

    def compare(
        self,
        base: Tree,
        head: Tree,
        settings: Settings,
        sink: Callable[[Side, Result], None],
        progress: Progress,
        earlier: Mapping[str, Previous],
    ) -> None:
        from perfsuite.measure.comparing import compare_suites

        compare_suites(base, head, settings, sink, progress, earlier)


def _this_machine(environ: Mapping[str, str]) -> Environment:
    from perfsuite.measure.environment import read_environment

    return read_environment(environ)


def _on_this_gpu(environ: Mapping[str, str]) -> Callable[[], Sequence[GpuProcess]]:
    from perfsuite.measure.environment import gpu_index
    from perfsuite.measure.nvml import Nvml

    nvml = Nvml.open()
    index = gpu_index(environ, nvml)
    own = {os.getpid()}
    return lambda: nvml.other_processes(index, own) if nvml is not None and index is not None else []


@dataclass(frozen=True, slots=True)
class Services:
    environ: Mapping[str, str]
    cwd: Path
    session: Session
    environment: Callable[[Mapping[str, str]], Environment]
    processes: Callable[[Mapping[str, str]], Callable[[], Sequence[GpuProcess]]] = _on_this_gpu
    """What asks for all processes on the GPU."""

    @classmethod
    def real(cls) -> Services:
        return cls(process_environ(), Path.cwd(), MeasuringSession(), _this_machine)

    @classmethod
    def of(cls, context: typer.Context) -> Services:
        """Those given to `main`, else the real ones."""
        given = context.find_object(cls)
        return given or cls.real()

    def config(self, database: str | None = None, *, required: bool = True) -> Config:
        """The configuration of the current folder; `database` is what `--db` says."""
        config = load_config(self.cwd, self.environ, required=required)
        return override_database(config, database, self.cwd)
