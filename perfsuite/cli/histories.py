"""Reads folders of benchmark data: `histories/<name>/{series.jsonl.gz,labels.csv}`, `h200_aa/*.jsonl.gz`."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from perfsuite.errors import UsageError
from perfsuite.stats.rules import Series
from perfsuite.stats.scoring import DataSet, Marks
from perfsuite.stats.scoring_pairs import Block, Compared, PairedData

_TRUE_KINDS = ("change", "expected-change")
_NO_CHANGE_KINDS = ("no-change", "outlier")
"""Somebody looked and saw no change, or says that what one sees is none: alarms there are false."""
_SERIES, _LABELS, _PAIRS = "series.jsonl.gz", "labels.csv", "h200_aa"


def load_histories(folder: Path) -> list[DataSet]:
    """All data sets below `folder` or its `histories`, by name.

    Raises:
        UsageError: there are none, or a file is not what its name says.
    """
    root = folder / "histories" if (folder / "histories").is_dir() else folder
    found = [_load(file.parent) for file in sorted(root.glob(f"*/{_SERIES}"))]
    if not found and (root / _SERIES).is_file():
        found = [_load(root)]
    if not found:
        raise UsageError(
            f"no histories in {folder}",
            f"name a folder that holds <name>/{_SERIES} or histories/<name>/{_SERIES}",
        )
    return found


def _load(folder: Path) -> DataSet:
    series = tuple(_series(item) for item in read_lines(folder / _SERIES))
    ids = {one.id for one in series}
    labels = folder / _LABELS
    marks = _marks(labels) if labels.is_file() else {}
    known = {key: value for key, value in marks.items() if key in ids}
    return DataSet(folder.name, series, known or None)


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a compressed JSON-lines file.

    Raises:
        UsageError: it cannot be read; says which line.
    """
    number = 1
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                item = json.loads(line)
                if not isinstance(item, dict):
                    raise ValueError("not an object")
                yield item
                number += 1
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"cannot read {file}, line {number}: {error}", "export it again") from error


def _series(item: dict[str, Any]) -> Series:
    try:
        values = _numbers(item["values"])
        return Series(
            id=str(item["series_id"]),
            values=values,
            lower_is_better=item.get("lower_is_better") is not False,
            low=_numbers(item.get("lo") or (), len(values)),
            high=_numbers(item.get("hi") or (), len(values)),
            times=_times(item.get("times") or (), len(values)),
            commits=tuple(map(str, item.get("commits") or ())),
            boundaries=tuple(item.get("boundaries") or ()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"series {item.get('series_id', '?')}: {error!r}", "each line needs series_id and values"
        ) from error


def _numbers(values: Iterable[float | None], length: int | None = None) -> tuple[float, ...]:
    numbers = tuple(math.nan if value is None else float(value) for value in values)
    return numbers if length in (None, len(numbers)) else ()


def _times(times: Iterable[float | str | None], length: int) -> tuple[float, ...]:
    """Epoch seconds; empty unless all are known."""
    known = [_epoch(time) for time in times]
    return tuple(t for t in known if t is not None) if None not in known and len(known) == length else ()


def _epoch(time: float | str | None) -> float | None:
    if time is None or isinstance(time, int | float):
        return time
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:  # "1992-01", "Q3": an order, not a time
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _marks(file: Path) -> dict[str, Marks]:
    """Series id → for each annotator the indices of the changes. Outputs of other detectors are no labels."""
    found: dict[str, dict[str, list[int]]] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["kind"] in (*_TRUE_KINDS, *_NO_CHANGE_KINDS):
                marks = found.setdefault(row["series_id"], {}).setdefault(row["annotator"], [])
                if row["kind"] in _TRUE_KINDS:
                    marks.append(int(row["index"]))
    return {
        key: tuple(tuple(sorted(marks)) for _, marks in sorted(by_annotator.items()))
        for key, by_annotator in found.items()
    }


def load_pairs(folder: Path) -> list[PairedData]:
    """The files of A/A pairs in `h200_aa`: lines with `pair`, `case`, `rounds`, and maybe `block`, `planted`.

    Pairs with a planted slow-down are left out: too few to draw from.
    """
    files = sorted((folder / _PAIRS).glob("*.jsonl.gz"))
    found = [PairedData(f"{_PAIRS}/{file.name.partition('.')[0]}", _cases(file)) for file in files]
    return [data for data in found if data.cases]


def _cases(file: Path) -> tuple[Compared, ...]:
    measured: dict[str, dict[int, list[Block]]] = {}
    for item in read_lines(file):
        if "rounds" in item and not item.get("planted"):
            base, head = (
                np.array([one[side] for one in item["rounds"]], dtype=np.float64) for side in (0, 1)
            )
            measured.setdefault(item["case"], {}).setdefault(item["pair"], []).append(Block(base, head))
    return tuple(
        Compared(case, tuple(tuple(blocks) for blocks in pairs.values())) for case, pairs in measured.items()
    )
