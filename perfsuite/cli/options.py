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
ProfileOption = Annotated[Profile, typer.Option("--profile", help="How much to measure.")]
CaseTimeoutOption = Annotated[
    float | None,
    typer.Option("--case-timeout", metavar="SECONDS", min=1, help="A case that takes longer fails."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Finish what was interrupted.")]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Also write the report as Markdown.")
]
TimingsOption = Annotated[bool, typer.Option("--timings", help="Say where the time went.")]
