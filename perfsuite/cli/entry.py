"""Commands that other packages add: entry points of the group `perfsuite.commands`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Protocol

import typer

GROUP = "perfsuite.commands"


class EntryPoint(Protocol):
    """The part of `importlib.metadata.EntryPoint` that is needed."""

    @property
    def name(self) -> str: ...

    def load(self) -> Any: ...


def add_commands(app: typer.Typer, entry_points: Iterable[EntryPoint] | None = None) -> None:
    """Lets each entry point `register(app)` itself. A broken one costs a warning, not the command line."""
    for entry in _installed() if entry_points is None else entry_points:
        try:
            entry.load()(app)
        # Foreign code: whatever it raises, the other commands must work.
        except Exception as error:
            print(
                f"warning: the command {entry.name!r} is broken: {type(error).__name__}: {error}",
                file=sys.stderr,
            )


def _installed() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
