"""`perfsuite import`: exports of ours and pytest-benchmark JSON of any project into the store."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import DatabaseOption, JsonOption

if TYPE_CHECKING:
    from perfsuite.store import ImportSummary

_GZIP = b"\x1f\x8b"
FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILE", help="JSON files, gzip or not; - is standard input.")
]


def import_files(
    context: typer.Context, files: FilesArgument, db: DatabaseOption = None, json: JsonOption = None
) -> None:
    """Store exports of perfsuite, or files of `pytest --benchmark-json` of any project.

    Importing a file again changes nothing. What comparisons of unchanged code show of the noise is kept too.
    """
    from perfsuite.cli.lockstep import remember
    from perfsuite.cli.output import STANDARD_OUTPUT, check_target, show, show_json
    from perfsuite.cli.services import Services
    from perfsuite.config import prepare_database
    from perfsuite.errors import UsageError
    from perfsuite.store import import_document, open_store

    check_target(json)
    config = Services.of(context).config(db, required=False)
    prepare_database(config)
    imported = []
    with open_store(config.database) as store:
        for name in files:
            summary = import_document(store, _read(name), name)
            for comparison_id in summary.comparison_ids:
                # One that cannot be judged, of two environments, shows nothing of the noise.
                with contextlib.suppress(UsageError):
                    remember(store, comparison_id)
            imported.append((name, summary))
            if json != STANDARD_OUTPUT:
                show(f"{name}: {_counted(summary)}")
    if json is not None:
        show_json({"schema": 1, "imports": [_plain(*item) for item in imported]}, json)


def _read(name: str) -> bytes:
    """A file's contents, decompressed where it is gzip."""
    import gzip
    import zlib

    from perfsuite.errors import UsageError

    try:
        read = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return gzip.decompress(read) if read.startswith(_GZIP) else read
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{name} is a damaged gzip file: {error}", "copy or export it again") from error
    except OSError as error:
        raise UsageError(
            f"cannot read {name}: {error.strerror}",
            "name a file of pytest --benchmark-json or perfsuite export",
        ) from error


def _counted(summary: ImportSummary) -> str:
    parts = [_some(summary.runs, "run"), _some(summary.results, "result")]
    if summary.comparisons:
        parts.append(_some(summary.comparisons, "comparison"))
    return f"{', '.join(parts)} ({summary.kind})"


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _plain(name: str, summary: ImportSummary) -> dict[str, object]:
    return {
        "file": name,
        "kind": summary.kind,
        "runs": summary.runs,
        "results": summary.results,
        "comparisons": summary.comparisons,
        "run_ids": list(summary.run_ids),
    }
