"""Expected failures. Each says what happened, the value, and the next step; each has an exit code.

Anything that is not a `PerfsuiteError` is a bug and keeps its traceback (exit code 4).
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    RED = 1
    """A gate is red: regressed, incorrect or failed."""
    USAGE = 2
    """Wrong usage or configuration."""
    MACHINE = 3
    """This machine cannot do that."""
    BUG = 4
    INTERRUPTED = 130
    """Ctrl-C: what was measured before is stored."""


class PerfsuiteError(Exception):
    """An expected failure.

    Args:
        what: what happened, with the value that caused it, one line.
        next_step: what the user can do about it, one line.
    """

    exit_code: Exit = Exit.USAGE

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.what}\n  next: {self.next_step}" if self.next_step else self.what


class UsageError(PerfsuiteError):
    """The command line, the configuration or an input file is wrong."""


class MachineError(PerfsuiteError):
    """The machine lacks what was asked for (a GPU, a writable disk, a package)."""

    exit_code = Exit.MACHINE


class StoreError(PerfsuiteError):
    """The database cannot be used as it is."""


class StoreUnwritable(StoreError):
    """The database is on a read-only or full disk, or locked for too long."""

    exit_code = Exit.MACHINE
