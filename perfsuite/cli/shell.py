"""How commands end: expected failures in one line with their exit code, bugs with a file to send in."""

from __future__ import annotations

import errno
import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

import perfsuite
from perfsuite.errors import Exit, PerfsuiteError

# typer exports this base class under different names over time; its subclass it always exports.
_NOT_OURS: tuple[type[BaseException], ...] = (
    *(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"),
    *(typer.Exit, typer.Abort, BrokenPipeError),
)
_MACHINE_ERRNOS = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""What the machine is to blame for, wherever it happens."""


class Shell(TyperGroup):
    """The top group: turns whatever a command raises into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _NOT_OURS:
            raise
        except PerfsuiteError as error:
            code = _tell(str(error), error.exit_code)
        except KeyboardInterrupt:
            code = _tell("interrupted; what was measured before is stored", Exit.INTERRUPTED, "")
        except OSError as error:
            if error.errno not in _MACHINE_ERRNOS:
                code = _tell_of_bug(error)
            else:
                code = _tell(f"{error}\n  next: free some space or name another place", Exit.MACHINE)
        except Exception as error:
            code = _tell_of_bug(error)
        raise typer.Exit(code)


class ValueOptionalCommand(TyperCommand):
    """A command whose `--json` may stand alone (standard output) or name a file.

    `--json FILE` is taken as such where FILE ends with `.json`; any other name is written `--json=FILE`, so
    that `compare --json BASE HEAD` means what it says.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_values(args))


def _with_values(args: list[str]) -> list[str]:
    done: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*done, word, *rest]
        if word == "--json":
            named = bool(rest) and (rest[0] == "-" or rest[0].endswith(".json"))
            word = f"--json={rest.pop(0) if named else '-'}"
        done.append(word)
    return done


def _tell(text: str, code: Exit, prefix: str = "error: ") -> Exit:
    sys.stdout.flush()
    print(f"{prefix}{text}", file=sys.stderr, flush=True)
    return code


def _tell_of_bug(error: Exception) -> Exit:
    last = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
    return _tell(f"{last}\n  next: report it with the traceback in {_write_crash(error)}", Exit.BUG, "bug: ")


def _write_crash(error: Exception) -> str:
    called = f"perfsuite {perfsuite.__version__}, {' '.join(sys.argv)}"
    text = "\n".join((called, *traceback.format_exception(error)))
    name = f"crash-{datetime.now():%Y%m%d-%H%M%S}.txt"
    for folder in (_state_folder(), Path(tempfile.gettempdir())):
        if folder is not None:
            try:
                (folder / name).write_text(text, encoding="utf-8")
                return str(folder / name)
            except OSError:
                continue
    print(text, file=sys.stderr)
    return "the lines above"


def _state_folder() -> Path | None:
    here = Path.cwd()
    return next((f / ".perfsuite" for f in (here, *here.parents) if (f / ".perfsuite").is_dir()), None)
