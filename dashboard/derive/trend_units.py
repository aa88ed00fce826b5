"""What a time is shown as: itself, a change, or work per second. Pure; conversion of trends in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dashboard.charts.palette import unit_of
from dashboard.derive.trend_lines import Floats, Ints, Line
from perfsuite.model import Result
from perfsuite.units import NS_PER_S

_NS_IN_TERA = 1e3
"""Per nanosecond is giga per second: so many of these are tera."""
FIRST_POINTS = 5
"""Their median is what relative values start from where no commit is pinned: one point alone is noise."""


@dataclass(frozen=True, slots=True)
class Unit:
    """How values are shown."""

    key: str
    label: str
    """Of the choice."""
    bigger: bool = False
    """Whether bigger is better."""


TIME = Unit("time", "time")
RELATIVE = Unit("relative", "relative")
TOKENS = Unit("tokens", "tok/s", bigger=True)
BANDWIDTH = Unit("bandwidth", "TB/s", bigger=True)
OPERATIONS = Unit("operations", "TFLOP/s", bigger=True)
ROOFLINE = Unit("roofline", "roofline", bigger=True)
UNITS = {unit.key: unit for unit in (TIME, RELATIVE, TOKENS, BANDWIDTH, OPERATIONS, ROOFLINE)}

_LACKING = {
    TOKENS: "has no axis `m` or `tokens` that would say how many tokens it works on",
    BANDWIDTH: "does not say how many bytes it moves",
    OPERATIONS: "does not say how many operations it does",
    ROOFLINE: "has no roofline on this machine",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one call of a case works on; None where the benchmark does not say."""

    tokens: int | None = None
    bytes: int | None = None
    operations: int | None = None
    integer: bool = False
    """Whether the operations are on integers."""

    @staticmethod
    def of(result: Result | None) -> Facts:
        """Those of a result."""
        if result is None:
            return Facts()
        tokens = result.params.get("tokens", result.params.get("m"))
        whole = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0
        return Facts(
            tokens if whole and isinstance(tokens, int) else None,
            result.bytes,
            result.operations,
            str(result.extra.get("precision", "")).startswith("int"),
        )


@dataclass(frozen=True, slots=True)
class Scale:
    """From the times of one line to shown values."""

    bigger: bool
    factor: Floats
    """One a point, NaN where it has no such value: value = factor / time, or factor · time + `offset`."""
    offset: float = 0.0

    def at(self, times_ns: Floats, points: slice | Sequence[int] | Ints | int) -> Floats:
        """The values of times that belong to `points`."""
        factor = self.factor[points]
        if self.bigger:
            return np.asarray(factor / times_ns)
        return np.asarray(factor * times_ns + self.offset)


def scales(
    lines: Sequence[Line],
    unit: Unit,
    facts: Mapping[tuple[str, str], Facts],
    first: int,
    last: int,
    pinned: int | None = None,
) -> tuple[list[Scale], str, list[str]]:
    """A scale for each line, what the values are (for the axis), and sentences on what has no such value.

    Args:
        facts: (case, version) → what its calls work on.
        first, last: the places that are visible.
        pinned: place of the commit that relative values start from. Across a boundary nothing is compared:
            a part without it starts from its first visible points.
    """
    if unit is TIME:
        visible = [line.median_ns[seen(line, first, last)] for line in lines]
        time = unit_of(np.concatenate(visible).tolist() if visible else [])
        return [Scale(False, np.full(len(line.x), 1 / time.scale)) for line in lines], time.name, []
    if unit is RELATIVE:
        made = [Scale(False, 100 / _references(line, first, last, pinned), -100.0) for line in lines]
        return made, "change in %, slower ↑", []
    made = [Scale(True, _numerators(line, unit, facts)) for line in lines]
    missing = [
        f"{line.case} {_LACKING[unit]}."
        for line, scale in zip(lines, made, strict=True)
        if len(line.x) and np.isnan(scale.factor).all()
    ]
    return made, _name(lines, unit, facts), missing


def seen(line: Line, first: int, last: int) -> Floats:
    """Which points are among the visible places."""
    return np.asarray((line.x >= first) & (line.x <= last))


def shown_change(change: float, *, bigger: bool) -> float:
    """A relative change of a time as one of what is shown: 25 % more time is 20 % less throughput."""
    return 1 / (1 + change) - 1 if bigger else change


def _name(lines: Sequence[Line], unit: Unit, facts: Mapping[tuple[str, str], Facts]) -> str:
    if unit is OPERATIONS:
        cases = {line.case for line in lines}
        kinds = {fact.integer for (case, _), fact in facts.items() if case in cases and fact.operations}
        return "TFLOP/s, of integers TOP/s" if len(kinds) > 1 else "TOP/s" if True in kinds else "TFLOP/s"
    return {TOKENS: "tok/s", BANDWIDTH: "TB/s", ROOFLINE: "fraction of the roofline"}[unit]


def _numerators(line: Line, unit: Unit, facts: Mapping[tuple[str, str], Facts]) -> Floats:
    if unit is ROOFLINE:
        # The time of the roofline itself.
        return np.asarray(line.roofline * line.median_ns)
    found = np.full(len(line.x), np.nan)
    for part in line.parts:
        fact = facts.get((line.case, part.version), Facts())
        amount, scale = {
            TOKENS: (fact.tokens, NS_PER_S),
            BANDWIDTH: (fact.bytes, 1 / _NS_IN_TERA),
            OPERATIONS: (fact.operations, 1 / _NS_IN_TERA),
        }[unit]
        if amount:
            found[part.start : part.stop] = amount * scale
    return found


def _references(line: Line, first: int, last: int, pinned: int | None) -> Floats:
    visible = seen(line, first, last)
    found = np.full(len(line.x), np.nan)
    for part in line.parts:
        times, x = line.median_ns[part.start : part.stop], line.x[part.start : part.stop]
        chosen = times[x == pinned] if pinned is not None else times[:0]
        if not len(chosen):
            chosen = times[visible[part.start : part.stop]][:FIRST_POINTS]
        if len(chosen):
            found[part.start : part.stop] = float(np.median(chosen))
    return found
