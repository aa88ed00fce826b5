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
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0: one a core.")]


def scoreboard(
    context: typer.Context,
    folder: FolderArgument = None,
    rule: RuleOption = None,
    data: DataOption = None,
    split: SplitOption = Split.ALL,
    jobs: JobsOption = 0,
    db: DatabaseOption = None,
    json: JsonOption = None,
) -> None:
    """Score change-point rules: F1, false alarms, recall by size of step, delay."""
    from perfsuite.cli.output import STANDARD_OUTPUT, check_target, colored, show, show_json, text_width
    from perfsuite.cli.scoring import score_folder
    from perfsuite.cli.services import Services
    from perfsuite.errors import UsageError
    from perfsuite.report.scoreboard import scoreboard_json, scoreboard_text

    check_target(json)
    services = Services.of(context)
    config = services.config(db, required=False)
    if folder is None:
        raise UsageError("there are no triaged alerts to score rules on", "name a folder of histories")
    board = score_folder(
        services.cwd / folder, tuple(rule or ()), tuple(data or ()), split.value, jobs, color=config.color
    )
    if json is not None:
        show_json(scoreboard_json(board), json)
    if json != STANDARD_OUTPUT:
        show(scoreboard_text(board, width=text_width(services.environ), color=colored(config.color)))
