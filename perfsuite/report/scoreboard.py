"""The scoreboard: which rule finds most and cries wolf least. Text of a given width, and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from perfsuite.report.words import plain
from perfsuite.stats.injection import SIZES
from perfsuite.stats.operating import OperatingPoint, View, false_alarms, recall, recalls
from perfsuite.stats.scoring import Row
from perfsuite.stats.scoring_reruns import RerunRow

_NOTE = (
    "F1: a margin of 5 points, no free point at index 0. false/1000: alarms per 1,000 points (h200_aa: "
    "comparisons) where nothing changed; recorded: the same on unlabelled series as they are, true changes "
    "among them. recall: of labels, or of steps planted in steady copies, by size. delay: points."
)
_BOLD, _PLAIN = "\033[1m", "\033[0m"
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """All that was scored. `split` is the half of the series that was looked at."""

    split: str
    rows: tuple[Row, ...]
    points: tuple[OperatingPoint, ...] = ()
    reruns: tuple[RerunRow, ...] = ()
    ours: str = "perfsuite"


def scoreboard_text(board: Scoreboard, *, width: int, color: bool = False) -> str:
    """One table, the best of each data set first; then ours beside the quietest, and reruns."""
    lines = [*_rows_table(board, color), "", *wrap(_NOTE, width)]
    if board.points:
        lines += ["", "Ours with no more false alarms than the quietest useful baseline:"]
        lines += _points_table(board.points)
    if board.reruns:
        lines += ["", "The same commit measured twice, called changed:", *_reruns_table(board.reruns)]
    return "\n".join(lines) + "\n"


def scoreboard_json(board: Scoreboard) -> dict[str, Any]:
    """Plain values; shares are fractions."""
    return {
        "schema": 1,
        "split": board.split,
        "rows": [row_json(row) for row in board.rows],
        "operating_points": [_point_json(point) for point in board.points],
        "same_commit": [_rerun_json(row) for row in board.reruns],
    }


def row_json(row: Row) -> dict[str, Any]:
    return {
        "rule": row.rule,
        "data": row.data,
        "series": row.series,
        "points": row.points,
        "f1": row.f1,
        "precision": row.precision,
        "recall_labels": row.recall_labels,
        "false_alarms_per_1000": row.false_alarms_per_1000,
        "recall": _sizes(row.recall),
        "delay": row.delay,
        "recorded": None
        if row.recorded_alarms_per_1000 is None
        else {
            "alarms_per_1000": row.recorded_alarms_per_1000,
            "f1": row.recorded_f1,
            "recall": _sizes(row.recorded_recall),
        },
    }


def _rows_table(board: Scoreboard, color: bool) -> list[str]:
    sizes = [size_label(size) for size in SIZES]
    title = ["data", "rule", "F1", "false/1000", "recorded", "recall", *sizes, "delay"]
    rows: list[Row] = []
    for data in dict.fromkeys(row.data for row in board.rows):
        same = (row for row in board.rows if row.data == data)
        rows += sorted(same, key=lambda row: (-row.f1, row.false_alarms_per_1000))
    lines = aligned([title, *map(_cells, rows)])
    spaced = [lines[0]]
    for place, (row, line) in enumerate(zip(rows, lines[1:], strict=True)):
        if place == 0 or row.data != rows[place - 1].data:
            spaced.append("")
        spaced.append(f"{_BOLD}{line}{_PLAIN}" if color and row.rule == board.ours else line)
    return spaced


def aligned(rows: Sequence[Sequence[str]], left: int = 2) -> list[str]:
    """Rows of cells as lines: the first `left` columns start at the left, the others end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cells(row: Row) -> list[str]:
    return [
        plain(row.data),
        plain(row.rule),
        f"{row.f1:.3f}",
        f"{row.false_alarms_per_1000:.2f}",
        "" if row.recorded_alarms_per_1000 is None else f"{row.recorded_alarms_per_1000:.2f}",
        percent(recall(row)),
        *(percent(row.recall.get(size)) for size in SIZES),
        "" if row.delay is None else f"{row.delay:g}",
    ]


def _points_table(points: Iterable[OperatingPoint]) -> list[str]:
    title = ["data", "rule", "false/1000", "recall by size", ""]
    rows = [title]
    for point in points:
        name = f"{plain(point.data)}{' as recorded' if point.view is View.RECORDED else ''}"
        rows.append([name, plain(point.quietest.rule), *_point_cells(point.quietest, point.view), ""])
        if point.row is None:
            rows.append(["", "ours", "", "never so quiet", ""])
        else:
            better = "higher everywhere" if point.better else "not higher everywhere"
            rows.append(["", plain(point.row.rule), *_point_cells(point.row, point.view), better])
    return aligned(rows)


def _point_cells(row: Row, view: View) -> list[str]:
    shares = " ".join(percent(share, 1) for share in recalls(row, view).values())
    return [f"{false_alarms(row, view):.2f}", shares]


def _reruns_table(rows: Iterable[RerunRow]) -> list[str]:
    cells = [["data", "rule", "at once", "later", "of"]]
    for row in sorted(rows, key=lambda row: (row.data, row.share)):
        shares = [None if count is None else count / row.reruns for count in (row.at_once, row.later)]
        found = [percent(share, 2) for share in shares]
        cells.append([plain(row.data), plain(row.rule), *found, str(row.reruns)])
    return aligned(cells)


def _point_json(point: OperatingPoint) -> dict[str, Any]:
    return {
        "data": point.data,
        "view": point.view.value,
        "quietest": point.quietest.rule,
        "false_alarms_per_1000": false_alarms(point.quietest, point.view),
        "quietest_recall": _sizes(recalls(point.quietest, point.view)),
        "sensitivity": point.sensitivity,
        "ours": None if point.row is None else row_json(point.row),
        "better": point.better,
    }


def _rerun_json(row: RerunRow) -> dict[str, Any]:
    return {
        "rule": row.rule,
        "data": row.data,
        "reruns": row.reruns,
        "called_at_once": row.at_once,
        "called_later": row.later,
        "share": row.share,
    }


def _sizes(shares: Mapping[float, float]) -> dict[str, float]:
    return {size_label(size): share for size, share in shares.items()}


def size_label(size: float) -> str:
    """`0.005` → `0.5%`; 0, which stands for labels, → `labels`."""
    return f"{100 * size:g}%" if size else "labels"


def percent(share: float | None, decimals: int = 0) -> str:
    return "" if share is None else f"{100 * share:.{decimals}f} %"
