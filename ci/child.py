"""A measurement as a process: started, watched through its events, ended when it has to be."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perfsuite.errors import MachineError

GRACE_S = 15.0
"""A comparison that is told to end takes its trials and worktrees down first."""
_READ = 1 << 16
_TAIL_BYTES = 8192
_ERROR = re.compile(r"^(?:error|bug): ", re.MULTILINE)
"""How `perfsuite` begins to tell how it failed."""
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
PASSED_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "TRITON_", "TORCH_", "OMP_", "MKL_", "HIP_", "ROCR_", "PG")
_SECRET = ("TOKEN", "SECRET", "CREDENTIAL", "PRIVATE_KEY")


def child_environ(environ: Mapping[str, str], database: str) -> dict[str, str]:
    """What a measurement sees: an allow-list without tokens, and the database's address.

    The trials that it starts see less still (`perfsuite.measure.process`): not the database, for one.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if (name in PASSED_ON or name.startswith(PASSED_PREFIXES))
        and not any(word in name for word in _SECRET)
    }
    return {**kept, "PERFSUITE_DB": database, "NO_COLOR": "1", "CI": "1"}


class Child:
    """One `perfsuite …` process. Its events are a pipe that nobody else has; its words go to a log."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path,
        kept_open: Sequence[int] = (),
    ) -> None:
        """Args: kept_open: descriptors (locks) that stay held as long as it lives."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        self._events, self._buffer = read, bytearray()
        self._log = log
        self.started_s = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        leash = [sys.executable, "-P", "-m", "ci.leash", str(os.getpid())]
        command = [sys.executable, "-P", "-m", "perfsuite.cli", *arguments, "--events", f"fd:{write}"]
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [*leash, *command],
                    cwd=cwd,
                    env=dict(environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(write, *kept_open),
                    start_new_session=True,
                )
        except OSError as error:
            os.close(read)
            raise MachineError(f"cannot start a measurement: {error}", "see the machine's limits") from error
        finally:
            os.close(write)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.started_s

    def poll(self) -> tuple[list[dict[str, Any]], int | None]:
        """The events since the last call, and the exit status once it has ended and told everything."""
        status = self._process.poll()
        return self._drain(), status

    def stop(self) -> None:
        """End it in order, by force if that takes long, with everything that it started."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Frees the pipe; a process that still runs is ended."""
        self.stop()
        if self._events >= 0:
            os.close(self._events)
            self._events = -1

    def last_words(self) -> str:
        """Its error, if it told of one; empty otherwise: whatever else it printed is not for everybody."""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
            *_, last = _ERROR.split(text)
            return last.strip() if _ERROR.search(text) else ""
        return ""

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _drain(self) -> list[dict[str, Any]]:
        with contextlib.suppress(BlockingIOError):
            while self._events >= 0 and (chunk := os.read(self._events, _READ)):
                self._buffer += chunk
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        return [event for line in lines if (event := _event(line)) is not None]


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
