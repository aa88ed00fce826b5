"""One measurement at a time on each GPU of this machine, whoever's: a lock that the kernel frees.

The lock is a file that everybody may lock and nobody removes. It says who holds it, for those who wait; what
it says is only shown. It is one machine's: containers that share a GPU and not their `/tmp` do not see each
other's lock, and show up as foreign processes instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from perfsuite.errors import MachineError

if TYPE_CHECKING:
    from perfsuite.measure.settings import Progress

_SYSTEM_TMP = Path("/tmp")
FOLDER = (_SYSTEM_TMP if _SYSTEM_TMP.is_dir() else Path(tempfile.gettempdir())) / "perfsuite-gpu"
"""The machine's temporary folder, not that of `TMPDIR`: users, and a service, have their own there."""
POLL_S = 1.0
_ANYBODY = 0o666
_FOLDER_MODE = 0o1777
_HOLDER_BYTES = 1000
"""More than that nobody who holds a lock writes."""


@contextlib.contextmanager
def holding_gpu(
    uuid: str,
    what: str,
    progress: Progress,
    *,
    wait_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Holds the lock of a GPU; waits for it, telling for whom.

    Args:
        uuid: of the GPU.
        what: what it is held for, for those who wait.
        wait_s: how long to wait; None: for ever.

    Raises:
        MachineError: others held it all that time, or its file cannot be used.
    """
    lock = _open(re.sub(r"[^\w-]", "_", uuid))
    try:
        _wait(lock, uuid, progress, wait_s, sleep, clock)
        _write_holder(lock, what)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _wait(
    lock: int,
    uuid: str,
    progress: Progress,
    wait_s: float | None,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    started, waited = clock(), False
    while not _locked(lock):
        holder = f"{uuid} is used by {_holder(lock)}"
        if wait_s is not None and clock() - started >= wait_s:
            raise MachineError(
                f"{holder}; it was waited for {wait_s:g} s (--wait)", "repeat the command later"
            )
        progress.waiting(holder)
        waited = True
        sleep(POLL_S)
    if waited:
        progress.going_on()


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(lock: int, what: str) -> None:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "what": what[: _HOLDER_BYTES // 2], "since": since})
    # A full disk is no reason not to measure: the lock holds all the same.
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode("ascii"), 0)


def _holder(lock: int) -> str:
    """Who holds it, as the file says, which anybody may have written."""
    try:
        held = json.loads(os.pread(lock, _HOLDER_BYTES, 0))
        pid, what, since = int(held["pid"]), str(held["what"]), str(held["since"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
    return _line(f"{what} (pid {pid}) since {since}")


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _open(name: str) -> int:
    """The lock's file, made where it is missing; never what a link leads to."""
    try:
        folder = _open_folder()
        try:
            return _open_file(folder, f"{name}.lock")
        finally:
            os.close(folder)
    except OSError as error:
        raise MachineError(
            f"the GPU cannot be locked: {FOLDER}: {error.strerror or error}",
            "see who made that folder, and remove it",
        ) from error


def _open_folder() -> int:
    with contextlib.suppress(FileExistsError):
        FOLDER.mkdir(parents=True)
        # What the umask took away: the folder is everybody's, its files their makers'.
        FOLDER.chmod(_FOLDER_MODE)
    return os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _open_file(folder: int, name: str) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        # In two steps: kernels refuse O_CREAT on another's file in a folder of everybody's.
        try:
            lock = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError:
            try:
                lock = os.open(name, flags | os.O_CREAT | os.O_EXCL, _ANYBODY, dir_fd=folder)
            except FileExistsError:
                continue
            os.fchmod(lock, _ANYBODY)
        found = os.fstat(lock)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return lock
        os.close(lock)
        raise OSError(f"{name} is no file of its own")
