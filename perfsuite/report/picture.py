"""A report as an SVG picture of a terminal, for pages that show pictures but run nothing."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.text import Text

WIDTH = 140
"""Columns of the terminal in the picture."""
FOLDED_LINES = 44
"""A picture is looked at, not read to its end."""


def svg(text: str, title: str, *, lines: int = FOLDED_LINES) -> str:
    """`text` with ANSI colours, at most `lines` lines of it, as SVG; further lines are counted."""
    shown = text.rstrip("\n").split("\n")
    if len(shown) > lines:
        shown = [*shown[:lines], f"… {len(shown) - lines} more lines"]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(shown)))
    # Rich points at a font on a server; whatever monospace font is there will do.
    return re.sub(r"@font-face\s*\{[^}]*\}\s*", "", console.export_svg(title=title))
