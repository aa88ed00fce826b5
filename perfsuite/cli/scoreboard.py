"""`perfsuite scoreboard`: rules against each other on data whose truth is known."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from perfsuite.cli.options import DatabaseOption, JsonOption


class Split(StrEnum):
    """Which half of the series is looked at."""

    ALL = "all"
    TUNING = "tuning"
    HELD_OUT = "held-out"


FolderArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR", help="Folder of histories. Default: the alerts of the store that somebody triaged."
    ),
]
RuleOption = Annotated[
    list[str] | None, typer.Option("--rule", metavar="NAME", help="Only this rule; may be repeated.")
]
DataOption = Annotated[
    list[str] | None, typer.Option("--data", metavar="NAME", help="Only this data set; may be repeated.")
]
SplitOption = Annotated[Split, typer.Option("--split", help="Only one half of the series, chosen by hash.")]
ResampleOption = Annotated[
    int | None,
    typer.Option(
        "--resample",
        metavar="N",
        min=1,
        help="Instead: draw N comparisons of each case and size from DIR/h200_aa and judge them.",
    ),
]
UnknownOption = Annotated[
    bool, typer.Option("--unknown", help="With --resample: without knowing the noise of the cases.")
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0: one a core.")]


def scoreboard(
    context: typer.Context,
    folder: FolderArgument = None,
    rule: RuleOption = None,
    data: DataOption = None,
    split: SplitOption = Split.ALL,
    jobs: JobsOption = 0,
    resample: ResampleOption = None,
    unknown: UnknownOption = False,
    db: DatabaseOption = None,
    json: JsonOption = None,
) -> None:
    """Score change-point rules: F1, false alarms, recall by size of step, delay.

    With DIR on the data in it; without, on the alerts of this store that somebody triaged.
    """
    from perfsuite.cli.output import STANDARD_OUTPUT, check_target, colored, show, show_json, text_width
    from perfsuite.cli.scoring import score_folder, score_store
    from perfsuite.cli.services import Services
    from perfsuite.report.scoreboard import scoreboard_json, scoreboard_text

    check_target(json)
    services = Services.of(context)
    config = services.config(db, required=False)
    chosen = tuple(rule or ())
    if resample is not None:
        _resampled(services.cwd / (folder or "."), resample, json, known=not unknown)
        return
    if folder is None:
        board = score_store(config, chosen)
    else:
        board = score_folder(
            services.cwd / folder, chosen, tuple(data or ()), split.value, jobs, color=config.color
        )
    if json is not None:
        show_json(scoreboard_json(board), json)
    if json != STANDARD_OUTPUT:
        show(scoreboard_text(board, width=text_width(services.environ), color=colored(config.color)))


def _resampled(folder: Path, draws: int, json: str | None, *, known: bool) -> None:
    from perfsuite.cli.histories import load_pairs
    from perfsuite.cli.output import STANDARD_OUTPUT, show, show_json
    from perfsuite.errors import UsageError
    from perfsuite.report.resampling import resampling_json, resampling_text
    from perfsuite.stats.resampling import SIZES, resample

    files = load_pairs(folder)
    if not files:
        raise UsageError(f"no A/A pairs in {folder / 'h200_aa'}", "name the folder that holds h200_aa")
    rows = [
        (data.name, resample(case, size, draws, known=known))
        for data in files
        for case in data.cases
        for size in SIZES
    ]
    if json is not None:
        show_json({"schema": 1, "known": known, "rows": resampling_json(rows)}, json)
    if json != STANDARD_OUTPUT:
        show(resampling_text(rows))
