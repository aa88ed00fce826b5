"""A lock between processes that lasts as long as the git that was started under it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from perfsuite.errors import MachineError

WAIT_S = 3600.0
"""Longer than the longest fetch: who still holds it then hangs."""
_POLL_S = 0.1


@contextlib.contextmanager
def locked(file: Path, *, wait_s: float = WAIT_S) -> Iterator[int]:
    """Holds `file` alone; the descriptor is for the `keep` of `run_git`.

    A git that inherits it holds the lock on when its parent is killed: whoever comes next finds no git at
    work, and may remove what it left.

    Raises:
        MachineError: the folder cannot be written, or somebody else holds it for longer than that.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise MachineError(
            f"cannot write {file}: {error.strerror or error}", "make the folder writable or free some space"
        ) from error
    try:
        _acquire(descriptor, file, wait_s)
        try:
            yield descriptor
        finally:
            # Said, not left to closing: a helper of git that lives on has the descriptor as well.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, file: Path, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise MachineError(
                    f"another process has held {file} for {wait_s:.0f} s", "stop the process that hangs"
                ) from None
        time.sleep(_POLL_S)
