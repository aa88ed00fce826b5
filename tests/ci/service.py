"""`perfsuite ci watch` as a process, against the fake GitHub and a real origin."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fakehub import FakeGitHub

from perfsuite.store import Store, open_store

SECRET = "good-token"


@dataclass
class Service:
    """One worker's service; may be killed and started again at will."""

    folder: Path
    github: FakeGitHub
    origin: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    killed: int = field(default=0, init=False)

    @property
    def database(self) -> Path:
        return self.folder / "perfsuite.db"

    @property
    def log(self) -> Path:
        return self.folder / "service.log"

    def store(self) -> Store:
        return open_store(self.database)

    def start(self, *more: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "perfsuite.cli", "ci", "watch"]
        command += ["--repo", self.github.repository, "--api-url", self.github.url]
        command += ["--git-url", str(self.origin), "--state", str(self.folder / "state")]
        command += ["--db", str(self.database), "--interval", "1", "--worker", "one", *self.options, *more]
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GIT_"))
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**clean, "GITHUB_TOKEN": SECRET},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def once(self, *more: str, timeout_s: float = 300) -> int:
        """Does everything that is wanted now; its exit status."""
        self.start("--once", *more)
        assert self.process is not None
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """`kill -9` of the service alone: what it started has to notice by itself."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.killed += 1

    def stop(self) -> int | None:
        """In order; its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def until(self, what: Callable[[], bool], why: str, timeout_s: float = 180) -> None:
        """Waits for something to become true, while the service runs."""
        deadline = time.monotonic() + timeout_s
        while not what():
            alive = self.process is not None and self.process.poll() is None
            assert alive, f"the service ended while waiting for {why}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"waited {timeout_s} s for {why}:\n{self.tail()}"
            time.sleep(0.2)

    def comment(self, number: int) -> str:
        """The body of our one comment; empty while there is none."""
        ours = [c for c in self.github.our_comments(number) if "perfsuite:comment" in c.body]
        assert len(ours) <= 1, f"{len(ours)} comments"
        return ours[0].body.replace("\r\n", "\n") if ours else ""

    def conclusion(self, sha: str) -> str:
        """Of the check of a head, or the state of its newest commit status; empty while it is not done."""
        checks = self.github.checks(sha)
        if checks:
            return checks[-1].conclusion or ""
        statuses = self.github.statuses(sha)
        return statuses[-1].state if statuses and statuses[-1].state != "pending" else ""

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]
