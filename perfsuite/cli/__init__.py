"""The command line: the composition root. `main` is the console script `perfsuite`.

Nothing heavy is imported before a command runs: `perfsuite --help` answers at once.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

import perfsuite
from perfsuite.cli import (
    alerts,
    backfill,
    bisect,
    compare,
    db,
    doctor,
    exporting,
    history,
    importing,
    noise,
    report,
    run,
    scoreboard,
)
from perfsuite.cli.entry import EntryPoint, add_commands
from perfsuite.cli.shell import Shell, ValueOptionalCommand

if TYPE_CHECKING:
    from perfsuite.cli.services import Services

_HELP = "Is this commit of a GPU kernel right, is it faster or slower, by how much, and why."
_EPILOG = "Exit codes: 0 nothing red, 1 a gate is red, 2 wrong usage, 3 not on this machine, 4 a bug."
_COMMANDS = (
    ("doctor", doctor.doctor),
    ("run", run.run),
    ("compare", compare.compare),
    ("noise", noise.noise),
    ("history", history.history),
    ("bisect", bisect.bisect),
    ("backfill", backfill.backfill),
    ("report", report.report),
    ("import", importing.import_files),
    ("export", exporting.export),
    ("scoreboard", scoreboard.scoreboard),
)


def make_app(entry_points: Iterable[EntryPoint] | None = None) -> typer.Typer:
    """The whole command line.

    Args:
        entry_points: of the group `perfsuite.commands`; default: those installed.
    """
    # Without rich markup, help is plain text and takes a third of the time.
    app = typer.Typer(
        cls=Shell,
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, function in _COMMANDS:
        app.command(name, cls=ValueOptionalCommand)(function)
    app.add_typer(alerts.commands, name="alerts")
    app.add_typer(db.commands, name="db")
    add_commands(app, entry_points)
    return app


def main(arguments: Sequence[str] | None = None, services: Services | None = None) -> None:
    """Runs one command and exits with its code.

    Args:
        arguments: default: the command line.
        services: what commands take from outside; default: the real things.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without Unicode shows replacement characters, never a traceback.
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    make_app()(args=arguments, prog_name="perfsuite", obj=services)


def _interrupt(number: int, frame: object) -> None:
    # The way of Ctrl-C: everything that is open closes itself and no process stays behind.
    raise KeyboardInterrupt


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"perfsuite {perfsuite.__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass
