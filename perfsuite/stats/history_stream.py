"""Change points while points arrive: each new point costs a look at the newest points only.

Change points that lie `HORIZON_POINTS` or more behind the newest point are settled: they stay as they are,
and what is found anew begins at the last of them. Within the horizon the answer is the batch's, because all
that a change point is judged by lies within `segment_test.WINDOW_POINTS` of it (a drift: twice as many).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perfsuite.stats.change_points import DEFAULT, ChangePoint, Settings, points_of
from perfsuite.stats.history_noise import Floats, Whole

HORIZON_POINTS = 150
"""What lies so far back is settled: three times the window of a test, one and a half that of a drift."""


class Stream:
    """The history of one metric of one case in one environment, point by point."""

    def __init__(self, settings: Settings = DEFAULT) -> None:
        self._settings = settings
        self._values: Floats = np.empty(0)
        self._places: list[int] = []
        self._settled: list[ChangePoint] = []
        self._found: list[ChangePoint] = []
        self._seen = 0
        self._room: Floats = np.empty(1024)
        self._whole = Whole(0, 0.0, 0.0, True)

    @classmethod
    def of(cls, values: Sequence[float], settings: Settings = DEFAULT) -> Stream:
        """A stream that has seen these points; it costs what looking at them at once costs."""
        stream = cls(settings)
        for value in values:
            stream._seen += 1
            if np.isfinite(value):
                stream._append(float(value))
        stream._found = points_of(stream._values, stream._places, settings)
        stream._settle()
        return stream

    @property
    def change_points(self) -> list[ChangePoint]:
        """All change points so far, in order."""
        return [*self._settled, *self._found]

    def add(self, value: float) -> list[ChangePoint]:
        """Takes the next point, NaN if it is missing; returns the change points that were not known yet."""
        self._seen += 1
        if not np.isfinite(value):
            return []
        self._append(float(value))
        known = {point.index for point in self.change_points}
        start = self._start()
        index = self._places[start:]
        self._found = points_of(self._values[start:], index, self._settings, self._whole)
        self._settle()
        return [point for point in self._found if point.index not in known]

    def _append(self, value: float) -> None:
        count = len(self._values)
        if count == len(self._room):
            self._room = np.concatenate((self._room, np.empty(count)))
        self._room[count] = value
        self._values = self._room[: count + 1]
        self._places.append(self._seen - 1)
        if count and (value > 0 or not self._whole.logarithmic):
            self._whole = self._whole.with_next(float(self._values[-2]), value)
        else:
            self._whole = Whole.of(self._values)

    def _start(self) -> int:
        """Where the look begins: at the last settled change point, or half a horizon before the horizon."""
        earliest = max(0, len(self._values) - 2 * HORIZON_POINTS)
        if not self._settled:
            return earliest
        settled = int(np.searchsorted(self._places, self._settled[-1].index))
        return max(settled, earliest)

    def _settle(self) -> None:
        """Moves what lies behind the horizon to what is settled."""
        newest = len(self._values)
        edge = self._places[max(0, newest - HORIZON_POINTS)] if newest > HORIZON_POINTS else 0
        self._settled += [point for point in self._found if point.index < edge]
        self._found = [point for point in self._found if point.index >= edge]
