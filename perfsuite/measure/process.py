"""A trial's process: started in a group of its own without secrets, watched, and killed whole."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from perfsuite.codec import Malformed, decode, encode
from perfsuite.measure.link import Link, LinkClosed, LinkTimeout, Message
from perfsuite.measure.player import BlockInfo, BlockPlan, CompiledCode, Gate, PlayerError
from perfsuite.model import Params, Round, Side

T = TypeVar("T")
START_TIMEOUT_S = 300.0
"""Importing torch and collecting a suite, on a slow disk."""
QUIT_TIMEOUT_S = 10.0
LOG_TAIL_LINES = 12
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "USER",
    "LOGNAME",
)
PASSED_PREFIXES = (
    "LC_",
    "CUDA_",
    "NVIDIA_",
    "TRITON_",
    "TORCH_",
    "PYTORCH_",
    "OMP_",
    "MKL_",
    "HIP_",
    "ROCR_",
)
SECRET = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")


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


@dataclass(frozen=True, slots=True)
class CollectedCase:
    id: str
    family: str
    version: str
    params: Params
    file: str
    plain: bool


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


class TrialFailed(Exception):
    """A trial could not be started, or its tree does not collect."""


def trial_environ(plan: TrialPlan) -> dict[str, str]:
    """An allow-list: the code under test sees no token, and nothing else of the host but its GPU settings."""
    kept = {
        name: value
        for name, value in plan.environ.items()
        if (name in PASSED_ON or name.startswith(PASSED_PREFIXES))
        and not any(word in name for word in SECRET)
    }
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
        command = [sys.executable, "-P", "-m", "perfsuite.plugin"]
        command += ["--fd", str(theirs.fileno()), "--parent", str(os.getpid()), "--root", str(plan.root)]
        command += ["--suite", plan.suite, "--mode", plan.mode, "--target", plan.target]
        with plan.log.open("ab") as log, theirs:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd=plan.root,
                env=trial_environ(plan),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._link = Link(ours)
        self._used_s = 0.0
        self.alive = True

    @property
    def running(self) -> bool:
        """Whether its process is there, whatever it does."""
        return self.alive and self._process.poll() is None

    def collected(self) -> Collected:
        """What the suite holds. Raises: TrialFailed."""
        try:
            message = self._receive(START_TIMEOUT_S)
        except PlayerError as error:
            raise TrialFailed(error.message) from error
        if message["say"] != "collected":
            self.close()
            raise TrialFailed(str(message.get("message", message)))
        if message["strangers"]:
            self.close()
            raise TrialFailed(
                f"code from outside the tree {self.plan.root}: {', '.join(message['strangers'])}"
            )
        cases, canaries = (
            tuple(decoded(CollectedCase, case) for case in message[name]) for name in ("cases", "canaries")
        )
        errors = {error["file"]: error["message"] for error in message["errors"]}
        return Collected(cases, errors, canaries)

    def start(self, case: str, then: str | None = None) -> Message | Ended:
        """Begin a case: the facts of its `gpu_benchmark`, or how it ended if it never called that."""
        self._used_s = 0.0
        self._say(do="case", case=case, then=then)
        message = self._receive(self.plan.case_timeout_s)
        return message["facts"] if message["say"] == "ready" else _ended(message)

    def finish(self) -> Ended:
        """End a case that is being served."""
        self._say(do="finish")
        return _ended(self._receive(self._left_s()))

    def after_error(self) -> None:
        """Wait for the end of a test whose step failed."""
        if self.alive:
            self._receive(self._left_s())

    def command(self, do: str, **arguments: Any) -> Any:
        """One step of the case under way. Raises: PlayerError, `lost` where the trial is gone."""
        self._say(do=do, **arguments)
        message = self._receive(self._left_s())
        if message["say"] == "error":
            if message["lost"]:
                self.close()
            raise self._failure(message["message"], lost=bool(message["lost"]))
        return message.get("value")

    def close(self) -> None:
        """End it, by force if need be. Idempotent."""
        self.alive = False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._link.close()

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
        try:
            self._link.send(**message)
        except LinkClosed as error:
            raise self._died() from error

    def _receive(self, timeout_s: float) -> Message:
        started = time.monotonic()
        try:
            message = self._link.receive(timeout_s)
            message["say"]
            return message
        except LinkTimeout as error:
            self.close()
            text = f"timed out: no answer within {self.plan.case_timeout_s:g} s (--case-timeout)"
            raise self._failure(text, lost=True) from error
        except (LinkClosed, ValueError, KeyError) as error:
            raise self._died() from error
        finally:
            self._used_s += time.monotonic() - started

    def _died(self) -> PlayerError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        status = self._process.poll()
        self.close()
        tail = self._log_tail()
        return self._failure(
            f"the process died: {_reason(status)}" + (f"\n{tail}" if tail else ""), lost=True
        )

    def _failure(self, text: str, *, lost: bool) -> PlayerError:
        return PlayerError(text, lost=lost, side=self.plan.side)

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

    def compile(self) -> CompiledCode:
        return self._ask(CompiledCode, "compile")

    def gate(self) -> Gate:
        return self._ask(Gate, "gate")

    def block(self, plan: BlockPlan) -> BlockInfo:
        return self._ask(BlockInfo, "block", plan=encode(plan))

    def round(self, index: int, order: int) -> Round:
        return self._ask(Round, "round", index=index, order=order)

    def release(self) -> None:
        self._trial.command("release")

    def _ask(self, kind: type[T], do: str, **arguments: Any) -> T:
        return decoded(kind, self._trial.command(do, **arguments), self._trial.plan.side)


def decoded(kind: type[T], plain: Any, side: Side | None = None) -> T:
    """A value from the wire. The code under test could write there too: its form is checked."""
    try:
        return decode(kind, plain)
    except Malformed as error:
        raise PlayerError(
            f"the trial sent something that is no {kind.__name__}: {error}", side=side
        ) from error


def _ended(message: Message) -> Ended:
    return decoded(Ended, {key: value for key, value in message.items() if key != "say"})


def _reason(status: int | None) -> str:
    if status is None:
        return "it closed its end of the link"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
