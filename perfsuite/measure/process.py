"""A trial's process: started shut in and without secrets, watched, and ended with all that it started.

What it says is believed as far as it can be true. It times itself, so that it could lie; but it speaks only
when asked and only of what was asked, in the form that was asked for, and no round that it claims took longer
than the clock of this process says.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from perfsuite.codec import Malformed, decode, encode
from perfsuite.measure.confined import UNCONFINED, Confinement, Sight
from perfsuite.measure.link import Link, LinkClosed, LinkTimeout, Message
from perfsuite.measure.player import BlockInfo, BlockPlan, CompiledCode, Gate, PlayerError
from perfsuite.measure.sandbox import GROWTH_BYTES, Launch, scratch_folder, start
from perfsuite.measure.sandbox_environ import without_secrets
from perfsuite.measure.sandbox_launch import CANNOT_CONFINE, PARENT, WROTE_TOO_MUCH
from perfsuite.model import Params, Round, Side
from perfsuite.units import format_bytes

T = TypeVar("T")
START_TIMEOUT_S = 300.0
"""Importing torch and collecting a suite, on a slow disk."""
QUIT_TIMEOUT_S = 10.0
KILL_TIMEOUT_S = 60.0
"""A driver may take long to give back a GPU's memory."""
LOG_TAIL_LINES = 12
LONGEST_TEXT = 20_000
"""Characters of a message: it is stored and shown, whatever a trial says."""
CLOCK_TOLERANCE = 1.01
"""By which the GPU's clock may differ from the host's, with room."""


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """What one process is for."""

    root: Path
    suite: str
    mode: str
    """`gpu`, `interpret` or `compile`."""
    cache: Path
    """Folder of its Triton cache."""
    log: Path
    case_timeout_s: float
    environ: Mapping[str, str]
    target: str = "sm_90"
    side: Side | None = None
    """Of a comparison: its errors say whose they are."""
    confinement: Confinement = UNCONFINED
    hidden: tuple[Path, ...] = ()
    """Folders that it is not shown: the state and the store."""
    growth_bytes: int = GROWTH_BYTES
    """The most that it may write to the host's disk."""


@dataclass(frozen=True, slots=True)
class CollectedCase:
    id: str
    family: str
    version: str
    params: Params
    file: str
    plain: bool
    full: bool = False
    """Measured with the profile `full`, or where the pattern names only such."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a tree's suite holds, and which of its files could not be imported."""

    cases: tuple[CollectedCase, ...]
    errors: Mapping[str, str] = field(default_factory=dict)
    """File (as in `CollectedCase.file`) → the error."""
    canaries: tuple[CollectedCase, ...] = ()
    """The harness's own pinned kernels; none where a suite has only plain benchmarks."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a test ended, and the samples of one that timed itself."""

    outcome: str
    message: str
    samples_ns: tuple[float, ...] = ()
    iterations: int = 1


@dataclass(frozen=True, slots=True)
class FileError:
    file: str
    message: str


@dataclass(frozen=True, slots=True)
class Suite:
    """`Collected` as it comes over the link."""

    cases: tuple[CollectedCase, ...]
    canaries: tuple[CollectedCase, ...]
    errors: tuple[FileError, ...]
    strangers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a benchmark says of itself."""

    tolerance: float | None = None
    bytes: int | None = None
    operations: int | None = None
    precision: str | None = None


class TrialFailed(Exception):
    """A trial could not be started, or its tree does not collect."""


def trial_environ(plan: TrialPlan) -> dict[str, str]:
    """An allow-list: the code under test sees no token, and nothing else of the host but its GPU settings."""
    kept = without_secrets(plan.environ)
    kept["TRITON_CACHE_DIR"] = str(plan.cache)
    kept["TRITON_INTERPRET"] = "1" if plan.mode == "interpret" else "0"
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    if plan.mode != "gpu":
        kept["CUDA_VISIBLE_DEVICES"] = ""
    return kept


class Trial:
    """One running trial. Every wait has a limit; `close` leaves no process behind."""

    def __init__(self, plan: TrialPlan) -> None:
        self.plan = plan
        ours, theirs = socket.socketpair()
        plan.log.parent.mkdir(parents=True, exist_ok=True)
        plan.cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "perfsuite.plugin", "--parent", PARENT]
        command += ["--fd", str(theirs.fileno())]
        command += ["--root", str(plan.root), "--suite", plan.suite]
        command += ["--mode", plan.mode, "--target", plan.target]
        own_processes = plan.confinement.processes
        sight = Sight(
            *(plan.root, (plan.cache,), plan.hidden, plan.mode == "gpu", plan.environ, own_processes)
        )
        self._ending = contextlib.ExitStack()
        scratch = self._ending.enter_context(scratch_folder(plan.confinement))
        fds = (theirs.fileno(),)
        launch = Launch(command, plan.root, plan.confinement, sight, scratch, fds, plan.growth_bytes)
        with plan.log.open("ab") as log, theirs:
            self._log_start = log.tell()
            self._process = start(launch, trial_environ(plan), log)
        self._link = Link(ours)
        self._asked = ""
        self._used_s = self._began_s = 0.0
        self.alive = True

    @property
    def running(self) -> bool:
        """Whether its process is there, whatever it does."""
        return self.alive and self._process.poll() is None

    def collected(self) -> Collected:
        """What the suite holds. Raises: TrialFailed."""
        try:
            message = self._receive(START_TIMEOUT_S)
            if message["say"] != "collected":
                self.close()
                raise TrialFailed(_short(str(message.get("message", message))))
            suite = self._read(Suite, message)
        except PlayerError as error:
            raise TrialFailed(error.message) from error
        if suite.strangers:
            self.close()
            raise TrialFailed(f"code from outside the tree {self.plan.root}: {', '.join(suite.strangers)}")
        errors = {error.file: _short(error.message) for error in suite.errors}
        return Collected(suite.cases, errors, suite.canaries)

    def start(self, case: str, then: str | None = None) -> Message | Ended:
        """Begin a case: the facts of its `gpu_benchmark`, or how it ended if it never called that."""
        self._used_s = 0.0
        self._began_s = time.monotonic()
        self._say(do="case", case=case, then=then)
        message = self._receive(self.plan.case_timeout_s)
        if message["say"] == "ready":
            return asdict(self._read(Facts, message.get("facts")))
        return self._ended(message)

    def finish(self) -> Ended:
        """End a case that is being served."""
        self._say(do="finish")
        return self._ended(self._receive(self._left_s()))

    def after_error(self) -> None:
        """Wait for the end of a test whose step failed."""
        if self.alive:
            self._receive(self._left_s())

    def command(self, do: str, **arguments: Any) -> Any:
        """One step of the case under way. Raises: PlayerError, `lost` where the trial is gone."""
        self._say(do=do, **arguments)
        message = self._receive(self._left_s())
        if message["say"] == "error":
            lost = bool(message.get("lost"))
            if lost:
                self.close()
            raise self._failure(str(message.get("message")), lost=lost)
        return message.get("value")

    def ask(self, kind: type[T], do: str, **arguments: Any) -> T:
        """A step that answers with a value of this kind. Raises: PlayerError."""
        return self._read(kind, self.command(do, **arguments))

    def believe(self, times_ns: Sequence[float], took_ns: float) -> None:
        """Refuse times that cannot be. Raises: PlayerError.

        Args:
            times_ns: what the trial claims to have measured, one after the other.
            took_ns: how long that took by the clock of this process, from the question to the answer.
        """
        for time_ns in times_ns:
            if not (math.isfinite(time_ns) and time_ns > 0):
                raise self._refused(f"a time of {time_ns:g} ns")
        if (claimed_ns := math.fsum(times_ns)) > took_ns * CLOCK_TOLERANCE:
            raise self._refused(f"{claimed_ns:.0f} ns measured within {took_ns:.0f} ns")

    def close(self) -> None:
        """End it and all that it started, by force. Idempotent."""
        self.alive = False
        self._process.terminate()
        try:
            self._process.wait(KILL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._link.close()
        self._ending.close()

    def dismiss(self) -> None:
        """Ask it to end in order, as pytest tears down its fixtures; `quit` waits for that."""
        self.alive = False
        with contextlib.suppress(LinkClosed):
            self._link.send(do="quit")

    def quit(self) -> None:
        """End it in order, by force if that takes long."""
        self.dismiss()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=QUIT_TIMEOUT_S)
        self.close()

    def _left_s(self) -> float:
        return max(0.001, self.plan.case_timeout_s - self._used_s)

    def _say(self, **message: Any) -> None:
        # Nobody can have answered what nobody knew would be asked.
        self._asked = secrets.token_hex(8)
        try:
            self._link.send(**message, ask=self._asked)
        except LinkClosed as error:
            raise self._died() from error

    def _receive(self, timeout_s: float) -> Message:
        started = time.monotonic()
        try:
            message = self._link.receive(timeout_s)
            if message.get("to") != self._asked or not isinstance(message.get("say"), str):
                raise ValueError("nobody asked for it")
            return message
        except LinkTimeout as error:
            self.close()
            text = f"timed out: no answer within {self.plan.case_timeout_s:g} s (--case-timeout)"
            raise self._failure(text, lost=True) from error
        except LinkClosed as error:
            raise self._died() from error
        except ValueError as error:
            raise self._refused(str(error)) from error
        finally:
            self._used_s += time.monotonic() - started

    def _died(self) -> PlayerError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        status = self._process.poll()
        self.close()
        tail = self._log_tail()
        return self._failure(
            f"the process died: {_reason(status, self.plan.growth_bytes)}" + (f"\n{tail}" if tail else ""),
            lost=True,
        )

    def _failure(self, text: str, *, lost: bool) -> PlayerError:
        return PlayerError(_short(text), lost=lost, side=self.plan.side)

    def _refused(self, what: str) -> PlayerError:
        """Whoever says what cannot be is not asked again: the process ends."""
        self.close()
        return self._failure(f"the trial said what cannot be believed: {what}", lost=True)

    def _read(self, kind: type[T], plain: Any) -> T:
        """A value from the link. The code under test could write there too: its form is checked."""
        try:
            return decode(kind, plain)
        except Malformed as error:
            raise self._refused(f"no {kind.__name__}: {error}") from error

    def _ended(self, message: Message) -> Ended:
        ended = self._read(Ended, message)
        took_ns = (time.monotonic() - self._began_s) * 1e9
        self.believe([time_ns * ended.iterations for time_ns in ended.samples_ns], took_ns)
        return replace(ended, message=_short(ended.message))

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError), self.plan.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
            # faulthandler writes the newest call first: what follows its first line tells most.
            fatal = [number for number, line in enumerate(lines) if line.startswith("Fatal Python error")]
            return "\n".join(lines[fatal[-1] :][:LOG_TAIL_LINES] if fatal else lines[-LOG_TAIL_LINES:])
        return ""


class RemotePlayer:
    """The `Player` of a case that a trial is serving."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._iterations = 1

    def compile(self) -> CompiledCode:
        return self._trial.ask(CompiledCode, "compile")

    def gate(self) -> Gate:
        gate = self._trial.ask(Gate, "gate")
        return replace(gate, message=_short(gate.message))

    def block(self, plan: BlockPlan) -> BlockInfo:
        info = self._trial.ask(BlockInfo, "block", plan=encode(plan))
        self._trial.believe([info.round_ns], math.inf)
        self._iterations = max(1, info.iterations)
        return info

    def round(self, index: int, order: int) -> Round:
        start_s = time.monotonic()
        measured = self._trial.ask(Round, "round", index=index, order=order)
        took_ns = (time.monotonic() - start_s) * 1e9
        self._trial.believe([measured.sample_ns * self._iterations], took_ns)
        return replace(measured, index=index, order=order)

    def release(self) -> None:
        self._trial.command("release")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _reason(status: int | None, growth_bytes: int) -> str:
    if status == WROTE_TOO_MUCH:
        return f"it wrote more than {format_bytes(growth_bytes)}"
    if status == CANNOT_CONFINE:
        return "it could not be started"
    if status is None:
        return "it closed its end of the link"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
