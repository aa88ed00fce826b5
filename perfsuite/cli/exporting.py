"""`perfsuite export`: runs and comparisons with their raw samples, as one file that `import` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import DatabaseOption

if TYPE_CHECKING:
    from perfsuite.model import Comparison, Run
    from perfsuite.store import Reader

ReferencesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="REF", help="Comparisons or runs. Default: the newest.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Everything in the store.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: standard output.")
]
_EVERYTHING = 1_000_000_000


def export(
    context: typer.Context,
    references: ReferencesArgument = None,
    everything: AllOption = False,
    output: OutputOption = None,
    db: DatabaseOption = None,
) -> None:
    """Write runs and comparisons as JSON, raw samples included; compressed where FILE ends in .gz."""
    import gzip

    from perfsuite.cli.output import check_target, json_text, write_file
    from perfsuite.cli.services import Services
    from perfsuite.errors import UsageError
    from perfsuite.store import export_document, open_store

    if everything and references:
        raise UsageError("--all and references exclude each other", "drop one of them")
    check_target(output)
    config = Services.of(context).config(db, required=False)
    with open_store(config.database, create=False) as store:
        runs, comparisons = _chosen(store.reader, references or ["latest"], everything)
        text = json_text(export_document(store.reader, runs, comparisons), compact=True)
    if output is None or str(output) == "-":
        typer.echo(text, nl=False)
        return
    write_file(output, gzip.compress(text.encode(), mtime=0) if output.suffix == ".gz" else text)
    typer.echo(f"{output}: {len(runs)} runs, {len(comparisons)} comparisons", err=True)


def _chosen(reader: Reader, references: list[str], everything: bool) -> tuple[list[Run], list[Comparison]]:
    from perfsuite.cli.report import find
    from perfsuite.model import Comparison, Run

    if everything:
        return reader.runs(limit=_EVERYTHING), reader.comparisons(limit=_EVERYTHING)
    found = [find(reader, reference) for reference in references]
    runs = [item for item in found if isinstance(item, Run)]
    return runs, [item for item in found if isinstance(item, Comparison)]
