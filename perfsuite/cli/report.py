"""`perfsuite report`: what was measured before, judged anew from its stored samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import DatabaseOption, Format, JsonOption

if TYPE_CHECKING:
    from perfsuite.cli.services import Services
    from perfsuite.config import Config
    from perfsuite.model import Comparison, Run
    from perfsuite.store import Reader

ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="Comparison or run: id, beginning of an id, or of a commit's sha. Default: the newest.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to write it.")]
BudgetsOption = Annotated[
    bool, typer.Option("--budgets", help="Of a run: what its cases may take, against what they took.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write into a file.")
]


def report(
    context: typer.Context,
    reference: ReferenceArgument = "latest",
    format_: FormatOption = Format.TEXT,
    budgets: BudgetsOption = False,
    output: OutputOption = None,
    db: DatabaseOption = None,
    json: JsonOption = None,
) -> None:
    """Show a comparison or a run again; verdicts are computed from the stored samples."""
    from perfsuite.cli.output import STANDARD_OUTPUT, check_target, show, write_file
    from perfsuite.cli.services import Services
    from perfsuite.store import open_store

    services = Services.of(context)
    if json is not None:
        format_, output = Format.JSON, output if json == STANDARD_OUTPUT else Path(json)
    check_target(output)
    config = services.config(db, required=False)
    with open_store(config.database, create=False) as store:
        if budgets:
            text, code = _budgets(config, store.reader, reference, format_)
        else:
            found = find(store.reader, reference)
            text, code = _rendered(services, config, store.reader, found, format_, plain=output is not None)
    if output is None:
        show(text)
    else:
        write_file(output, text)
    raise typer.Exit(code)


def find(reader: Reader, reference: str) -> Run | Comparison:
    """A comparison or a run; for "latest" what was started last.

    Raises:
        UsageError: there is none; names the nearest.
    """
    from perfsuite.errors import UsageError

    if reference == "latest":
        return _newest(reader)
    try:
        return reader.comparison(reference)
    except UsageError:
        # Not a comparison: the error about runs is the one to show, for it knows commits as well.
        return reader.run(reference)


def _newest(reader: Reader) -> Run | Comparison:
    found: list[Run | Comparison] = [*reader.comparisons(limit=1), *_newest_runs(reader)]
    return max(found, key=lambda item: item.started_at) if found else reader.run("latest")


def _newest_runs(reader: Reader) -> list[Run]:
    """The newest of each kind that is no side of a comparison."""
    return [run for kind in ("run", "import") for run in reader.runs(limit=1, kind=kind)]


def _budgets(config: Config, reader: Reader, reference: str, format_: Format) -> tuple[str, int]:
    from perfsuite.cli.budgets import require_budgets
    from perfsuite.cli.output import json_text
    from perfsuite.errors import UsageError
    from perfsuite.report import budgets as report
    from perfsuite.report.picture import svg

    known = require_budgets(config)
    newest = _newest_runs(reader) if reference == "latest" else []
    run = max(newest, key=lambda run: run.started_at) if newest else reader.run(reference)
    results = reader.results(run.id)
    measured = report.measured_budgets(known, run, results)
    strays = report.stray_budgets(known, run, results, config.suite)
    if not measured:
        there = ", ".join(dict.fromkeys(budget.gpu for budget in known))
        raise UsageError(
            f"run {run.id[:12]} was measured on {run.environment.gpu or 'no GPU'}, which has no budgets",
            f"there are some for {there}: name a run measured there",
        )
    gate = config.budget_gate
    writers = {
        Format.TEXT: lambda: report.budgets_text(run, measured, strays),
        Format.MARKDOWN: lambda: report.budgets_markdown(run, measured, strays),
        Format.JSON: lambda: json_text(report.budgets_json(run, results, measured, strays, gate=gate)),
        Format.SVG: lambda: svg(report.budgets_text(run, measured, strays), "perfsuite report --budgets"),
    }
    return writers[format_](), report.budgets_exit_code(results, measured, gate=gate)


def _rendered(
    services: Services,
    config: Config,
    reader: Reader,
    found: Run | Comparison,
    format_: Format,
    *,
    plain: bool,
) -> tuple[str, int]:
    from perfsuite.cli.lockstep import judged
    from perfsuite.cli.output import colored, json_text, text_width
    from perfsuite.model import Run
    from perfsuite.report import exit_code, run_exit_code
    from perfsuite.report import json as as_json
    from perfsuite.report import markdown as as_markdown
    from perfsuite.report import text as as_text
    from perfsuite.report.picture import WIDTH, svg

    width, color = text_width(services.environ), colored(config.color) and not plain
    if isinstance(found, Run):
        results = reader.results(found.id)
        writers = {
            Format.TEXT: lambda: as_text.run_text(found, results, width=width, color=color),
            Format.MARKDOWN: lambda: as_markdown.run_markdown(found, results),
            Format.JSON: lambda: json_text(as_json.run_json(found, results)),
            Format.SVG: lambda: svg(
                as_text.run_text(found, results, width=WIDTH, color=True), "perfsuite run"
            ),
        }
        return writers[format_](), run_exit_code(results)
    verdicts = judged(reader, found.id)
    writers = {
        Format.TEXT: lambda: as_text.comparison_text(verdicts, width=width, color=color),
        Format.MARKDOWN: lambda: as_markdown.comparison_markdown(verdicts),
        Format.JSON: lambda: json_text(as_json.comparison_json(verdicts)),
        Format.SVG: lambda: svg(
            as_text.comparison_text(verdicts, width=WIDTH, color=True), "perfsuite compare"
        ),
    }
    return writers[format_](), exit_code(verdicts)
