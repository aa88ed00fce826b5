"""How long work tells of itself: on standard error a bar or plain lines, and events for machines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from perfsuite.cli.events import Telling, telling

if TYPE_CHECKING:
    from perfsuite.model import Status

_REFRESH_HZ = 4
"""The bar shares the machine with what is measured."""
_GOOD = "ok"


class LineProgress:
    """A line when a case is done: for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = 0
        self._done = 0
        self._waiting = ""

    def started(self, id_: str) -> None:
        pass

    def confinement(self, text: str) -> None:
        self.note(text)

    def waiting(self, text: str) -> None:
        if text != self._waiting:
            self.note(f"waiting: {text}")
        self._waiting = text

    def going_on(self) -> None:
        self._waiting = ""
        self.note("going on")

    def total(self, cases: int) -> None:
        self._total = cases

    def case(self, case: str, stage: str) -> None:
        pass

    def done(self, case: str, status: Status | str) -> None:
        self._done += 1
        # A total is an estimate: a case that is measured once more counts once more.
        self._total = max(self._total, self._done)
        width = len(str(self._total))
        self._print(f"[{self._done:>{width}}/{self._total}] {case}  {status}")

    def note(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class BarProgress:
    """A bar with the case in hand; what is not ok stays on the screen above it."""

    def __init__(self, bar: Any) -> None:
        """Args: bar: a started `rich.progress.Progress`."""
        self._bar = bar
        self._task = bar.add_task("collecting", total=None)

    def started(self, id_: str) -> None:
        pass

    def confinement(self, text: str) -> None:
        self.note(text)

    def waiting(self, text: str) -> None:
        self._bar.update(self._task, description=_escape(f"waiting: {text}"))

    def going_on(self) -> None:
        self._bar.update(self._task, description="collecting")

    def total(self, cases: int) -> None:
        self._bar.update(self._task, total=cases)

    def case(self, case: str, stage: str) -> None:
        self._bar.update(self._task, description=_escape(f"{case}  {stage}"))

    def done(self, case: str, status: Status | str) -> None:
        self._bar.advance(self._task)
        if str(status) in _LOUD:
            self.note(f"{case}  {status}")

    def note(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)


_LOUD = ("incorrect", "failed", "regressed")


@contextlib.contextmanager
def showing_progress(
    *, color: bool, stream: TextIO | None = None, events: str | None = None
) -> Iterator[Telling]:
    """The progress that fits the stream, default standard error.

    Args:
        events: a file, or `fd:5`, that is told the same as JSON lines.
    """
    with _shown(color=color, stream=stream) as shown:
        if events is None:
            yield shown
            return
        with telling(events, shown) as told:
            yield told


@contextlib.contextmanager
def _shown(*, color: bool, stream: TextIO | None) -> Iterator[Telling]:
    stream = stream or sys.stderr
    if not stream.isatty():
        yield LineProgress(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(file=stream, no_color=not color)
    columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, refresh_per_second=_REFRESH_HZ) as bar:
        yield BarProgress(bar)


def _escape(text: str) -> str:
    """Case ids hold brackets, which rich reads as markup."""
    return text.replace("[", r"\[")
