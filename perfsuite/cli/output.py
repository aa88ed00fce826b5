"""What goes to standard output and into files. Progress and messages go to standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perfsuite.errors import MachineError, UsageError

STANDARD_OUTPUT = "-"
_WIDTH_ELSEWHERE = 140
"""Columns where standard output is no terminal: a case id and its numbers fit into a line."""
_LEAST_WIDTH = 60


def text_width(environ: Mapping[str, str]) -> int:
    """Columns for tables on standard output."""
    if sys.stdout.isatty():
        return max(_LEAST_WIDTH, shutil.get_terminal_size().columns)
    columns = environ.get("COLUMNS", "")
    return max(_LEAST_WIDTH, int(columns)) if columns.isdigit() else _WIDTH_ELSEWHERE


def colored(wanted: bool) -> bool:
    """Whether to color standard output."""
    return wanted and sys.stdout.isatty()


def show(text: str) -> None:
    """Prints with exactly one line end."""
    print(text.rstrip("\n"), flush=True)


def json_text(document: object, *, compact: bool = False) -> str:
    """JSON that every reader takes: no NaN, UTF-8."""
    if compact:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def show_json(document: Mapping[str, Any], target: str) -> None:
    """Writes what `--json` asks for.

    Args:
        document: plain values.
        target: a file, or `-` for standard output.
    """
    if target == STANDARD_OUTPUT:
        show(json_text(document))
    else:
        write_file(Path(target), json_text(document))


def check_target(target: str | Path | None) -> None:
    """Fails before the work is done, where a file could not be written after it.

    Raises:
        UsageError: the folder does not exist, or the target is a folder.
    """
    if target is None or str(target) == STANDARD_OUTPUT:
        return
    path = Path(target)
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", "name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}", f"mkdir -p {path.parent}")


def write_file(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        MachineError: the disk is read-only or full.
    """
    check_target(path)
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():  # a pipe or a device: nothing to replace
            path.write_bytes(data)
            return
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise MachineError(
            f"cannot write {path}: {error.strerror or error}", "make it writable or free some space"
        ) from error
