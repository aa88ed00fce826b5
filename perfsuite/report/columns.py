"""A plain table: columns as wide as their widest cell, nothing cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_GAP = "  "


def columns(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Its lines, headings and a rule first.

    Args:
        headings: one a column.
        rows: one cell a column; one line each.
        right: which columns are numbers, which stand at the right.
    """
    lines = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numbers = frozenset(right)
    aligned = [
        _GAP.join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return [aligned[0], _GAP.join("─" * width for width in widths), *aligned[1:]]
