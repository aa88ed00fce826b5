"""Folders of one process: claimed by a lock that the kernel frees when the process dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from perfsuite.errors import MachineError

_MOST_SLOTS = 64
"""More processes than that on one commit of one checkout is a runaway script."""


@contextlib.contextmanager
def claimed_folder(parent: Path, name: str, remove: Callable[[Path], None]) -> Iterator[Path]:
    """A path `parent/name` (or `name-2`, … while others hold it) that does not exist yet and is ours.

    Folders that dead processes left under `parent` are removed first; ours is removed at the end.

    Args:
        parent: created if missing.
        name: the wanted name.
        remove: removes a folder and what else belongs to it; must not fail where nothing is left.

    Raises:
        MachineError: the disk is read-only or full.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _hide(parent)
        _remove_stale(parent, remove)
        path, lock = _claim(parent, name)
    except OSError as error:
        raise MachineError(
            f"cannot make a folder in {parent}: {error.strerror or error}",
            "make it writable or free some space",
        ) from error
    try:
        remove(path)
        yield path
    finally:
        remove(path)
        _free(path, lock)


def _hide(parent: Path) -> None:
    # `.perfsuite` may not exist before; whatever we put into a checkout must never show up in git.
    ignore = parent / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


def _claim(parent: Path, name: str) -> tuple[Path, int]:
    for slot in range(1, _MOST_SLOTS + 1):
        path = parent / (name if slot == 1 else f"{name}-{slot}")
        lock = _lock(_lock_file(path))
        if lock is not None:
            return path, lock
    raise MachineError(
        f"{_MOST_SLOTS} processes already use {parent / name}", "wait for them, or stop those that hang"
    )


def _remove_stale(parent: Path, remove: Callable[[Path], None]) -> None:
    for file in sorted(parent.glob("*.lock")):
        lock = _lock(file)
        if lock is not None:
            path = file.with_suffix("")
            remove(path)
            _free(path, lock)


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _lock(file: Path) -> int | None:
    """An open, locked descriptor; None where another process has it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Its holder may have removed the file between our open and our lock: then we hold a ghost.
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _free(path: Path, lock: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        _lock_file(path).unlink()
    os.close(lock)
