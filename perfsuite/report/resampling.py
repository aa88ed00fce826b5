"""What resampled comparisons say of the gate: its false alarms, what it finds, and what that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfsuite.stats.resampling import FAMILY, MOST_PAIRS, THRESHOLD, Resampled, permits
from perfsuite.units import format_share

BLOCK_S, PAIR_S = 0.35, 2.2
"""What a block of both sides and a pair of fresh processes cost on an H200, without gates and compiling: the
W4A8 suite, `perfsuite compare --timings`, 192 blocks."""


def resampling_text(rows: Sequence[tuple[str, Resampled]]) -> str:
    """One line a case: floor, then for each planted size what was found of it, and pairs and seconds."""
    sizes = sorted({row.size for _, row in rows})
    by_case: dict[tuple[str, str], dict[float, Resampled]] = {}
    for data, row in rows:
        by_case.setdefault((data, row.case), {})[row.size] = row
    titles = ["floor", *(_title(size) for size in sizes)]
    width = max(len(f"{data} {case}") for data, case in by_case)
    lines = [f"{'case':{width}}  " + "  ".join(f"{title:>24}" for title in titles)]
    for (data, case), found in by_case.items():
        floor = next(iter(found.values())).floor
        cells = ["–" if floor is None else format_share(floor, signed=False)]
        cells += [_cell(found[size]) for size in sizes]
        lines.append(f"{f'{data} {case}':{width}}  " + "  ".join(f"{cell:>24}" for cell in cells))
    quiet = [row for _, row in rows if not row.size]
    alarms, count = sum(row.slower + row.faster for row in quiet), sum(row.draws for row in quiet)
    lines += ["", f"Equal code: {alarms} false alarms in {count} comparisons."]
    lines += [_found(rows, size) for size in sizes if size]
    limit = format_share(THRESHOLD, signed=False)
    lines += [
        "",
        f"Threshold {limit}, {FAMILY} cases judged together, at most {MOST_PAIRS} pairs. A cell: how many",
        "were called changed (equal code) or slower; pairs (p) and seconds (s) to the end, on average;",
        "* where the floor fits twice between size and threshold. The noise is known from the same pairs",
        "that are drawn from (with --unknown it is not).",
    ]
    return "\n".join(lines) + "\n"


def resampling_json(rows: Sequence[tuple[str, Resampled]]) -> list[dict[str, Any]]:
    """Plain values; shares are fractions."""
    return [
        {
            "data": data,
            "case": row.case,
            "planted": row.size,
            "comparisons": row.draws,
            "regressed": row.slower,
            "improved": row.faster,
            "unchanged": row.unchanged,
            "covered": row.covered,
            "pairs": row.pairs,
            "blocks": row.blocks,
            "seconds": seconds(row),
            "floor": row.floor,
            "permits": bool(row.size) and permits(row.floor, row.size),
        }
        for data, row in rows
    ]


def seconds(row: Resampled) -> float:
    """About how long a comparison of the case takes on an H200."""
    return row.blocks * BLOCK_S + row.pairs * PAIR_S


def _title(size: float) -> str:
    return f"{format_share(size, signed=False)} slower" if size else "equal code"


def _cell(row: Resampled) -> str:
    share = (row.slower if row.size else row.slower + row.faster) / row.draws
    star = "*" if row.size and permits(row.floor, row.size) else " "
    return f"{share:7.2%}{star} {row.pairs:3.1f} p {seconds(row):3.0f} s"


def _found(rows: Sequence[tuple[str, Resampled]], size: float) -> str:
    seen = [row for _, row in rows if row.size == size and permits(row.floor, size)]
    if not seen:
        return f"{_title(size)}: no case's floor permits it."
    found, count = sum(row.slower for row in seen), sum(row.draws for row in seen)
    names = ", ".join(row.case for row in seen)
    share = found / count
    return f"{_title(size)}: found in {share:.2%} of {count} comparisons whose floor permits it: {names}."
