"""Where the time of a measurement went, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from perfsuite.report.words import plain
from perfsuite.units import NS_PER_S, format_ns

_HEADINGS = ("phase", "time", "share", "count", "each")


def timings_text(phases: Sequence[tuple[str, float, int]]) -> str:
    """A table of phases, the longest first, with the sum below.

    Args:
        phases: name, seconds in all, how often it ran.
    """
    total_s = sum(seconds for _, seconds, _ in phases)
    longest_first = sorted(phases, key=lambda phase: (-phase[1], phase[0]))
    rows = [_row(*phase, total_s) for phase in longest_first]
    rows.append(("in all", format_ns(total_s * NS_PER_S), "", "", ""))
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    rule = "  ".join("─" * width for width in widths)
    return "\n".join([_line(_HEADINGS, widths), rule, *(_line(row, widths) for row in rows)]) + "\n"


def _row(name: str, seconds: float, count: int, total_s: float) -> tuple[str, ...]:
    share = f"{seconds / total_s:.1%}" if total_s > 0 else "–"
    each = format_ns(seconds / count * NS_PER_S) if count else "–"
    return plain(name), format_ns(seconds * NS_PER_S), share, f"{count}×", each


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The name at the left, numbers at the right."""
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join((cells[0].ljust(widths[0]), *numbers)).rstrip()
