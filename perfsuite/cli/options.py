"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Profile(StrEnum):
    """How much is measured."""

    QUICK = "quick"
    PR = "pr"
    FULL = "full"


class Format(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"
    SVG = "svg"


DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="URL", help="The store: a file or a URL. Default: $PERFSUITE_DB, .perfsuite/."
    ),
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="[FILE]", help="JSON on standard output, or =FILE: into a file as well."),
]
PatternOption = Annotated[
    str,
    typer.Option(
        "--pattern", "-k", help="Only these cases: part of the id, or a glob; several separated by ' or '."
    ),
]
ProfileOption = Annotated[
    Profile, typer.Option("--profile", help="How much to measure; full: the cases marked full too.")
]
CaseTimeoutOption = Annotated[
    float | None,
    typer.Option("--case-timeout", metavar="SECONDS", min=1, help="A case that takes longer fails."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Finish what was interrupted.")]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Also write the report as Markdown.")
]
TimingsOption = Annotated[bool, typer.Option("--timings", help="Say where the time went.")]
EventsOption = Annotated[
    str | None,
    typer.Option(
        "--events", metavar="TARGET", help="Also tell the progress to a file, or fd:NUMBER, as JSON lines."
    ),
]
OnceOption = Annotated[
    bool, typer.Option("--once", help="What is stored as finished is reported, not measured again.")
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="Wait at most so long for another perfsuite on this GPU. Default: for ever.",
    ),
]
WaitIdleOption = Annotated[
    float | None,
    typer.Option(
        "--wait-idle",
        metavar="SECONDS",
        min=0,
        help="Wait at most so long until nobody else computes on the GPU. Default: note who does.",
    ),
]
ConfineOption = Annotated[
    bool, typer.Option("--confine", help="No network and files of their own for trials, where that can be.")
]
UntrustedOption = Annotated[
    bool, typer.Option("--untrusted", help="The measured code is a stranger's: nothing it writes is kept.")
]
