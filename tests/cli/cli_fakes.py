"""A repository in a folder of its own and a session that measures nothing: everything else is real."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from perfsuite.cases import NoCases, match_cases
from perfsuite.cli import make_app
from perfsuite.cli.services import Services
from perfsuite.measure.nvml import GpuProcess
from perfsuite.model import Block, Environment, Kernel, Launches, Result, Round, Side, Status, Timer

CASES = ("moe/prefill[m=64]", "moe/prefill[m=512]", "moe/decode[m=1]", "quantize/rows[m=8]")
PYPROJECT = '[tool.perfsuite]\nsuite = "suite"\n'
MACHINE = Environment(host="here", cpu="a processor", torch="2.13", triton="3.7", python="3.12")


def result(case: str, *, scale: float = 1.0, status: Status = Status.OK, code: str = "a") -> Result:
    """A timed result with two blocks of rounds; `code` stands for the machine code."""
    blocks = tuple(
        Block(
            pair,
            block,
            16,
            10,
            tuple(Round(scale * (1000 + 3 * index + pair), 2 * index, index) for index in range(8)),
        )
        for pair in range(2)
        for block in range(3)
    )
    kernel = Kernel("k", code * 16, "sm_90", registers=64)
    return Result(
        case=case,
        version="v1",
        family=case.partition("[")[0],
        params={},
        device="cuda",
        status=status,
        timer=Timer.GRAPH if status is Status.OK else Timer.NONE,
        message="" if status is Status.OK else "error above the tolerance",
        blocks=blocks if status is Status.OK else (),
        error_rms=0.001,
        error_max=0.01,
        tolerance=0.02,
        launches=Launches((kernel,), (f"k#{code}",)),
    )


@dataclass
class FakeSession:
    """Hands over one result a case; `before` is called with each case first and may raise."""

    make: Callable[[str, Side], Result] = lambda case, _: result(case)
    before: Callable[[str], None] = lambda case: None
    seen: list[Any] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)

    def run(self, tree: Any, settings: Any, sink: Any, progress: Any) -> None:
        self.seen.append((tree, settings))
        for case in self._waiting(settings, settings.done, progress):
            sink(self.make(case, Side.HEAD))
            self._end(case, progress)

    def compare(
        self, base: Any, head: Any, settings: Any, sink: Any, progress: Any, earlier: Mapping[str, Any]
    ) -> None:
        self.seen.append((base, head, settings))
        self.contents = [(tree.root / "kernel.py").read_text() for tree in (base, head)]
        done = {case for case, known in earlier.items() if known.base and known.head}
        for case in self._waiting(settings, done, progress):
            sink(Side.BASE, self.make(case, Side.BASE))
            sink(Side.HEAD, self.make(case, Side.HEAD))
            self._end(case, progress)

    def _waiting(self, settings: Any, done: Any, progress: Any) -> Iterator[str]:
        chosen = match_cases(settings.pattern, CASES)
        if not chosen:
            raise NoCases(settings.pattern, CASES)
        waiting = [case for case in chosen if case not in done]
        progress.total(len(waiting))
        for case in waiting:
            progress.case(case, "measuring")
            self.before(case)
            yield case

    def _end(self, case: str, progress: Any) -> None:
        self.measured.append(case)
        progress.done(case, Status.OK)


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass
class Cli:
    """`perfsuite …` in this process, in a repository of its own."""

    folder: Path
    session: FakeSession
    capsys: pytest.CaptureFixture[str]
    environ: dict[str, str] = field(default_factory=dict)
    machine: Environment = MACHINE
    entry_points: Sequence[Any] = ()
    processes: Callable[[], Sequence[GpuProcess]] = list
    """Who is on the GPU."""

    def __call__(self, *arguments: str) -> Answer:
        services = Services(
            self.environ, self.folder, self.session, lambda _: self.machine, lambda _: self.processes
        )
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            make_app(self.entry_points)(args=list(arguments), prog_name="perfsuite", obj=services)
        captured = self.capsys.readouterr()
        return Answer(int(caught.value.code or 0), captured.out, captured.err)

    def git(self, *command: str) -> str:
        return git(self.folder, *command)

    def commit(self, text: str, message: str = "a change") -> str:
        (self.folder / "kernel.py").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD")

    @property
    def database(self) -> Path:
        return self.folder / ".perfsuite" / "perfsuite.db"


def git(folder: Path, *command: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ("git", *identity, *command), cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def slower(case: str, side: Side) -> Result:
    """Head is 10 % slower, with other machine code."""
    if side is Side.BASE:
        return result(case)
    return result(case, scale=1.1, code="b")
