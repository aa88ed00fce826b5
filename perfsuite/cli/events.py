"""Progress for machines: one JSON object a line, written at once."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol

from perfsuite.cli.output import check_target
from perfsuite.errors import UsageError
from perfsuite.measure.settings import Progress

if TYPE_CHECKING:
    from perfsuite.model import Status

_DESCRIPTOR = "fd:"
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Telling(Progress, Protocol):
    """Progress of a whole command: what is stored, and under which circumstances."""

    def started(self, id_: str) -> None:
        """The comparison or run of this id is in the store."""
        ...

    def confinement(self, text: str) -> None:
        """How trials are confined, or why not."""
        ...


class Events:
    """Writes lines, and tells another the same. A reader that went away, or a full disk, ends the writing
    alone."""

    def __init__(self, stream: BinaryIO, shown: Telling) -> None:
        """Args: stream: unbuffered."""
        self._stream: BinaryIO | None = stream
        self._shown = shown
        self._total = 0
        self._done = 0

    def started(self, id_: str) -> None:
        self._shown.started(id_)
        self._write("started", id=id_)

    def total(self, cases: int) -> None:
        self._shown.total(cases)
        self._total = cases
        self._write("total", cases=cases)

    def case(self, case: str, stage: str) -> None:
        self._shown.case(case, stage)
        self._write("case", case=case, stage=stage)

    def done(self, case: str, status: Status | str) -> None:
        self._shown.done(case, status)
        self._done += 1
        # A total is an estimate: a case that is measured once more counts once more.
        self._total = max(self._total, self._done)
        self._write("done", case=case, status=str(status), done=self._done, total=self._total)

    def note(self, text: str) -> None:
        self._shown.note(text)
        self._write("note", text=text)

    def waiting(self, text: str) -> None:
        self._shown.waiting(text)
        self._write("waiting", text=text)

    def going_on(self) -> None:
        self._shown.going_on()
        self._write("going on")

    def confinement(self, text: str) -> None:
        self._shown.confinement(text)
        self._write("confinement", text=text)

    def _write(self, event: str, **values: str | int) -> None:
        if self._stream is None:
            return
        # ASCII: a line end or a lone surrogate in a case id travels as an escape.
        line = json.dumps({"event": event, **values}) + "\n"
        try:
            self._stream.write(line.encode("ascii"))
        except OSError:
            self._stream = None


def check_events(target: str | None) -> None:
    """Fails before anything is measured.

    Raises:
        UsageError: no such descriptor, or a file that cannot be made.
    """
    if target is None:
        return
    descriptor = _descriptor(target)
    if descriptor is None:
        check_target(target)
        return
    try:
        os.fstat(descriptor)
    except (OSError, OverflowError):
        raise UsageError(
            f"--events {target}: this process has no descriptor {descriptor}", "pass it on, or name a file"
        ) from None


@contextlib.contextmanager
def telling(target: str, shown: Telling) -> Iterator[Telling]:
    """Also tells a file, at its end, or a descriptor, which stays open.

    Raises:
        UsageError: it cannot be written to.
    """
    descriptor = _descriptor(target)
    try:
        # Of a descriptor a copy: several measurements of one command write to it in turn.
        opened = os.open(target, _APPEND, 0o666) if descriptor is None else os.dup(descriptor)
    except OSError as error:
        raise UsageError(
            f"--events {target} cannot be written: {error.strerror}", "name a file, or fd:NUMBER"
        ) from error
    with os.fdopen(opened, "ab", buffering=0) as stream:
        yield Events(stream, shown)


def _descriptor(target: str) -> int | None:
    number = target.removeprefix(_DESCRIPTOR)
    if number == target:
        return None
    if not number.isdecimal():
        raise UsageError(f"--events {target!r}: {number!r} is no number", "such as fd:5, or name a file")
    return int(number)
