"""Ours at the false alarms of the quietest baseline that is of use: the fair comparison of recalls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from perfsuite.stats.scoring import Row

USEFUL_RECALL = 0.10
"""A rule that finds less is quiet because it is blind."""


class View(StrEnum):
    """Which false alarms and recalls are meant: see `perfsuite.stats.injection`."""

    KNOWN = "known"
    """Labels, or steady copies: the truth is known."""
    RECORDED = "recorded"
    """Series as they are."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Ours, as sensitive as it may be without more false alarms than the quietest useful baseline.

    `sensitivity` and `row` are None where even the least sensitive one has more.
    """

    data: str
    view: View
    quietest: Row
    sensitivity: float | None
    row: Row | None

    @property
    def better(self) -> bool:
        """Whether the recall is higher at every size of step."""
        if self.row is None:
            return False
        ours, theirs = recalls(self.row, self.view), recalls(self.quietest, self.view)
        return all(ours[size] > theirs[size] for size in theirs)


def operating_points(baselines: Sequence[Row], ours: Mapping[float, Sequence[Row]]) -> list[OperatingPoint]:
    """For each data set and view; `ours` are the rows by sensitivity."""
    found = []
    for data in dict.fromkeys(row.data for row in baselines):
        theirs = [row for row in baselines if row.data == data]
        levels = [(level, row) for level, rows in ours.items() for row in rows if row.data == data]
        for view in View:
            quietest = quietest_useful(theirs, view)
            if quietest and levels:
                found.append(_point(data, view, quietest, levels))
    return found


def quietest_useful(rows: Iterable[Row], view: View) -> Row | None:
    """With the fewest false alarms of those with a mean recall above `USEFUL_RECALL`; of equals the best."""
    useful = [row for row in rows if recall(row, view) > USEFUL_RECALL]
    return min(useful, key=lambda row: (false_alarms(row, view), -recall(row, view)), default=None)


def false_alarms(row: Row, view: View) -> float:
    """Per 1,000."""
    if view is View.KNOWN or row.recorded_alarms_per_1000 is None:
        return row.false_alarms_per_1000
    return row.recorded_alarms_per_1000


def recalls(row: Row, view: View) -> Mapping[float, float]:
    """By size of step; of labels under the size 0."""
    found = row.recall if view is View.KNOWN else row.recorded_recall
    return found or ({} if row.recall_labels is None or view is View.RECORDED else {0.0: row.recall_labels})


def recall(row: Row, view: View = View.KNOWN) -> float:
    """The mean over the sizes, or of the labels; 0 where nothing was there to find."""
    return fmean(recalls(row, view).values() or (0.0,))


def _point(data: str, view: View, quietest: Row, levels: Iterable[tuple[float, Row]]) -> OperatingPoint:
    limit = false_alarms(quietest, view)
    allowed = [(level, row) for level, row in levels if false_alarms(row, view) <= limit]
    level, row = max(allowed, key=lambda item: recall(item[1], view), default=(None, None))
    return OperatingPoint(data, view, quietest, level, row)
