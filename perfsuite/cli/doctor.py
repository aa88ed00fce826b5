"""`perfsuite doctor`: what this machine can do, and what to do about what it cannot."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import DatabaseOption, JsonOption

if TYPE_CHECKING:
    from perfsuite.cli.services import Services
    from perfsuite.config import Config
    from perfsuite.model import Environment

_LEAST_FREE_BYTES = 2 << 30
"""Triton caches and two worktrees of a large suite fit into it."""
_PYTHONS = ((3, 11), (3, 14))
_EXTRAS = {"dashboard": "streamlit", "ci": "github3", "postgres": "psycopg"}

RequireOption = Annotated[
    list[str] | None,
    typer.Option(
        "--require", metavar="CHECK", help="Exit code 3 where this is missing, such as gpu; repeatable."
    ),
]


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    state: State
    text: str
    next_step: str = ""


def doctor(
    context: typer.Context, require: RequireOption = None, db: DatabaseOption = None, json: JsonOption = None
) -> None:
    """Tell what this machine can do."""
    from perfsuite.cli.output import STANDARD_OUTPUT, check_target, show, show_json
    from perfsuite.cli.services import Services

    check_target(json)
    checks = list(_checks(Services.of(context), db))
    if json is not None:
        show_json({"schema": 1, "checks": [asdict(check) for check in checks]}, json)
    if json != STANDARD_OUTPUT:
        show(as_text(checks))
    require_all(checks, require or [])


def as_text(checks: list[Check]) -> str:
    """One line a check, the next step below it."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.state.value:<8} {check.name:<{width}}  {check.text}")
        if check.next_step:
            lines.append(f"{'':<8} {'':<{width}}  → {check.next_step}")
    return "\n".join(lines)


def require_all(checks: list[Check], names: list[str]) -> None:
    """Raises: UsageError for a name that is no check, MachineError where a required one is missing."""
    from perfsuite.config import nearest
    from perfsuite.errors import MachineError, UsageError

    by_name = {check.name: check for check in checks}
    for name in names:
        if name not in by_name:
            raise UsageError(
                f"there is no check {name!r}{nearest(name, list(by_name))}",
                f"known checks: {', '.join(by_name)}",
            )
        if by_name[name].state is State.MISSING:
            raise MachineError(f"this machine lacks {name}: {by_name[name].text}", by_name[name].next_step)


def _checks(services: Services, db: str | None) -> Iterator[Check]:
    from perfsuite.cli.probe import Probe
    from perfsuite.config import DEFAULT_TARGET
    from perfsuite.errors import PerfsuiteError

    config: Config | None = None
    problem = ""
    try:
        config = services.config(db, required=False)
    except PerfsuiteError as error:
        problem = str(error)
    environment = services.environment(services.environ)
    target = config.target if config else DEFAULT_TARGET
    tried = ["interpreter", "compile", *(["cuda"] if environment.gpu else [])]
    installed = environment.torch is not None and environment.triton is not None
    probes = {what: Probe(what, target, services.environ) for what in tried} if installed else {}
    try:
        yield _python()
        yield from _gpu(environment)
        yield from _packages(environment)
        for what, probe in probes.items():
            yield _tried(what, *probe.finish())
        yield _confinement(services)
        yield _git(services.cwd)
        yield _configuration(config, problem)
        if config:
            yield _database(config)
            yield _disk(config)
        yield from _extras()
    finally:
        for probe in probes.values():
            probe.close()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]:
        return Check("python", State.OK, version)
    return Check("python", State.WARN, version, "use Python 3.11, 3.12 or 3.13")


def _gpu(environment: Environment) -> Iterator[Check]:
    from perfsuite.units import format_bytes

    if environment.gpu is None:
        yield Check(
            "gpu",
            State.MISSING,
            "none: kernels run through the interpreter and are compiled, not timed",
            "on a machine with an NVIDIA GPU, check nvidia-smi and CUDA_VISIBLE_DEVICES",
        )
        return
    memory = format_bytes(environment.gpu_memory_bytes) if environment.gpu_memory_bytes else "unknown memory"
    yield Check(
        "gpu", State.OK, f"{environment.gpu}, {memory}, compute capability {environment.compute_capability}"
    )
    yield Check("driver", State.OK, f"{environment.driver}, CUDA {environment.cuda}")
    if environment.clocks == "default":
        yield Check("clocks", State.OK, "default")
    else:
        text = f"{environment.clocks}: compared only with runs under the same"
        yield Check("clocks", State.WARN, text, "nvidia-smi -rac and -pl undo it")


def _packages(environment: Environment) -> Iterator[Check]:
    for name, version in (("torch", environment.torch), ("triton", environment.triton)):
        if version:
            yield Check(name, State.OK, version)
        else:
            yield Check(name, State.MISSING, "not installed", f"pip install {name}")


def _tried(what: str, worked: bool, text: str) -> Check:
    if worked:
        return Check(what, State.OK, text)
    steps = {
        "cuda": "install a torch build for CUDA: pip install --force-reinstall torch",
        "interpreter": "pip install --force-reinstall triton numpy",
        "compile": "pip install --force-reinstall triton",
    }
    return Check(what, State.MISSING, text, steps[what])


def _confinement(services: Services) -> Check:
    from perfsuite.measure.sandbox import probe

    held = probe(services.environ)
    if held.level == "full":
        return Check("confinement", State.OK, held.sentence)
    step = "permit user namespaces (kernel.apparmor_restrict_unprivileged_userns, seccomp of the container)"
    return Check("confinement", State.WARN, held.sentence, f"only for code of strangers: {step}")


def _git(cwd: Path) -> Check:
    from perfsuite.errors import PerfsuiteError
    from perfsuite.git import Repository

    try:
        repository = Repository.discover(cwd)
        return Check("git", State.OK, f"{repository.name} at {repository.head().label}")
    except PerfsuiteError as error:
        return Check("git", State.MISSING, error.what.splitlines()[0], error.next_step)


def _configuration(config: Config | None, problem: str) -> Check:
    from perfsuite.errors import PerfsuiteError

    if config is None:
        what, _, step = problem.partition("\n  next: ")
        return Check("configuration", State.MISSING, what, step)
    try:
        folder = config.suite_folder()
    except PerfsuiteError as error:
        return Check("configuration", State.MISSING, error.what, error.next_step)
    return Check("configuration", State.OK, f"suite {folder}")


def _database(config: Config) -> Check:
    from perfsuite.errors import PerfsuiteError
    from perfsuite.store import open_store

    if "://" not in config.database and not Path(config.database).exists():
        return Check("database", State.OK, f"{config.database}, made by the first run")
    try:
        with open_store(config.database, create=False) as store:
            newest = store.reader.runs(limit=1)
            last = f"last run {newest[0].started_at:%Y-%m-%d %H:%M} UTC" if newest else "no run yet"
            return Check("database", State.OK, f"{store.label}, {last}")
    except PerfsuiteError as error:
        return Check("database", State.MISSING, error.what, error.next_step)


def _disk(config: Config) -> Check:
    from perfsuite.units import format_bytes

    folder = config.state if config.state.is_dir() else config.root
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("disk", State.WARN, f"{folder}: {error.strerror}")
    text = f"{format_bytes(free)} free at {folder}"
    if not os.access(folder, os.W_OK):
        return Check("disk", State.MISSING, f"{folder} is not writable", "make it writable")
    if free < _LEAST_FREE_BYTES:
        return Check("disk", State.WARN, text, f"free {format_bytes(_LEAST_FREE_BYTES)} or more")
    return Check("disk", State.OK, text)


def _extras() -> Iterator[Check]:
    for extra, module in _EXTRAS.items():
        if find_spec(module):
            yield Check(extra, State.OK, "installed")
        else:
            yield Check(extra, State.WARN, f"{module} is not installed", f"pip install 'perfsuite[{extra}]'")
