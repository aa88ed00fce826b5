"""The process above a trial: shuts it in, watches what it writes, and leaves no process of it behind.

It is given one JSON object on standard input (`perfsuite.measure.sandbox.start`). The standard library and
`sandbox_kernel` alone: it starts fast, and no code of a tree is ever imported here.

    conductor ── launcher ── [process 1 of a namespace] ── trial

The launcher ends as the trial does: the same exit status, or the same signal. It is told to end by SIGTERM,
which the kernel sends too when the conductor dies, however it dies.

Facts: pid_namespaces(7), prctl(2).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from perfsuite.measure.sandbox_kernel import (
    DUMPABLE,
    PDEATHSIG,
    SUBREAPER,
    build_root,
    drop_capabilities,
    enter,
    prctl,
    write,
)

PARENT = "{parent}"
"""Part of a command: the process id of its parent, as the command sees it."""
CANNOT_CONFINE = 89
"""Exit status: the trial was not started."""
WROTE_TOO_MUCH = 88
"""Exit status: the trial was killed for what it wrote."""
LOOK_S = 1.0
"""How often the free space is looked at."""
END_S = 5.0
"""How long processes that go on forking are pursued."""
OPEN_FILES = 8192
PROCESSES = 16384
"""Threads of one user: a fork bomb ends there, a machine of many cores does not notice."""
OOM_SCORE = "800"
"""Of 1000: where memory runs out, the kernel ends a trial before its conductor."""
ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def limit(file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for what, most in (
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, PROCESSES),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))


def begin(spec: dict[str, Any]) -> tuple[int, int]:
    """Fork the trial, or process 1 above it: its process id, and where that says how the trial ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    try:
        become_trial(spec, writing)
    except Exception as error:
        sys.stderr.write(f"perfsuite: {said(error)}\n")
        sys.stderr.flush()
    finally:
        os._exit(CANNOT_CONFINE)


def become_trial(spec: dict[str, Any], writing: int) -> NoReturn:
    signal.set_wakeup_fd(-1)
    # The last two are ignored by Python, which the programs that a trial starts must not inherit.
    for number in (signal.SIGCHLD, *ENDING, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            prctl(PDEATHSIG, signal.SIGKILL)
        alone = select.poll()
        alone.register(writing, 0)
        if alone.poll(0):
            os._exit(CANNOT_CONFINE)  # the launcher had died before we asked to be killed with it
    spaces = spec["namespaces"]
    if spaces["files"]:
        build_root(spec["mounts"])
    if any(spaces.values()):
        drop_capabilities()
    if spaces["processes"]:
        reap_for_trial(spec, writing)
    os.setsid()
    os.chdir(spec["cwd"])
    command = [str(os.getppid()) if part == PARENT else part for part in spec["command"]]
    os.execvp(command[0], command)


def reap_for_trial(spec: dict[str, Any], writing: int) -> None:
    """As process 1: returns in the trial only. When this process ends, the kernel ends all others."""
    child = os.fork()
    if not child:
        return
    close_all(spec["close"])
    status = None
    while status is None:
        pid, ended = os.wait()
        status = ended if pid == child else None
    os.write(writing, str(status).encode())
    os._exit(0)


def listen() -> int:
    """Where signals can be read, each a byte, from now on."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGCHLD, *ENDING):
        signal.signal(number, lambda *_: None)
    return reading


def attend(child: int, spec: dict[str, Any], signals: int) -> tuple[int, bool]:
    """Wait for the end of `child`: its wait status, and whether it was killed for what it wrote."""
    started = time.time()
    free = {path: free_bytes(path) for path in spec["watch"]}
    too_much = False
    while (status := reaped(child)) is None:
        heard = os.read(signals, 512) if select.select([signals], [], [], LOOK_S)[0] else b""
        if not heard:
            too_much = too_much or wrote_more(free, spec["growth_bytes"], started)
        if too_much or ENDING.intersection(heard):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    return status, too_much


def reaped(child: int) -> int | None:
    """Take in all that ended: the wait status of `child`, None while it runs."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                return ended[1]
    return None


def wrote_more(free_before: dict[str, int], most: int, since: float) -> bool:
    """Whether the folders and files hold more than `most` bytes changed since then.

    Walking them would disturb what is timed: it is done only where the disk has lost as much.
    """
    lost = [path for path, before in free_before.items() if before - free_bytes(path) > most]
    return bool(lost) and sum(grown(path, since) for path in free_before) > most


def grown(path: str, since: float) -> int:
    """Bytes of a file, or of the files of a folder, that were changed since then."""
    inside = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    total = 0
    for file in (Path(path), *inside):
        with contextlib.suppress(OSError):
            found = file.lstat()
            total += found.st_blocks * 512 if found.st_ctime >= since - 1 else 0
    return total


def free_bytes(path: str) -> int:
    with contextlib.suppress(OSError):
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize
    return 0


def end_descendants() -> None:
    """Kill what the trial left behind: it was given to us when its parents died."""
    deadline = time.monotonic() + END_S
    while (left := list(descendants(os.getpid()))) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
        reaped(0)


def descendants(top: int) -> Iterator[int]:
    """All processes below one, as /proc tells it; none where there is no /proc."""
    below: dict[int, list[int]] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_bytes() if entry.name.isdigit() else b""
                # The name of the program, in brackets, may hold anything.
                _, _, fields = stat.rpartition(b")")
                if fields:
                    below.setdefault(int(fields.split()[1]), []).append(int(entry.name))
    waiting = [top]
    while waiting:
        found = below.get(waiting.pop(), [])
        yield from found
        waiting += found


def remove(folder: str) -> None:
    """A folder that hostile code may have filled, without following its links."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    if Path(folder).exists():
        for parent, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                Path(parent).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def said(error: Exception) -> str:
    """`unshare: Operation not permitted`"""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


def end_like(status: int) -> int:
    """Exit status of the trial; one that was killed by a signal kills us by the same."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError):  # SIGKILL has no handler to be reset
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)


def main() -> int:
    signals = listen()
    spec = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        prepare(spec)
        child, reading = begin(spec)
    except OSError as error:
        sys.stderr.write(f"perfsuite: {said(error)}\n")
        return CANNOT_CONFINE
    close_all(spec["close"])
    status, too_much = attend(child, spec, signals)
    end_descendants()
    told = os.read(reading, 64)
    for folder in spec["remove"]:
        remove(folder)
    return WROTE_TOO_MUCH if too_much else end_like(int(told) if told else status)


def prepare(spec: dict[str, Any]) -> None:
    """What the trial inherits from this process. Raises: OSError."""
    limit(spec["file_bytes"])
    if sys.platform != "linux":
        return
    # Sandboxed kernels lack the one or the other: trials run there all the same.
    for option, value in ((PDEATHSIG, signal.SIGTERM), (SUBREAPER, 1)):
        with contextlib.suppress(OSError):
            prctl(option, value)
    if os.getppid() != spec["parent"]:
        sys.exit(CANNOT_CONFINE)
    with contextlib.suppress(OSError):
        write("/proc/self/oom_score_adj", OOM_SCORE)
    if any(spec["namespaces"].values()):
        enter(spec["namespaces"])
        # A trial of the same user that sees us must not look through us at the host's files.
        prctl(DUMPABLE, 0)
