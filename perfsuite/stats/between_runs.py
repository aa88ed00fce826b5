"""How much the same code differs from run to run: what two runs of different moments are judged with.

The spread within a run says nothing about the spread between runs (the same commit twice on cloud H100s:
0.6 % within, 10 % and more between). Two things tell it:

- **history**: the changes between earlier runs of the same case;
- **controls**: cases whose code is provably the same on both sides. They show what the machine did between
  these very two runs, a common shift included.

In log times, a case is as surprising as the *smaller* of its changes against base and against the level
before (the median of the last `LEVEL_RUNS` runs up to base), and not at all where they disagree in sign: an
outlier at base is not blamed on head. That is measured in units of the case's own scale: the geometric mean
of the median and the largest absolute change of its history, of which heavy tails mislead one, seldom both.

The limit at an error of `ERROR`: of m exchangeable values the next one exceeds the k-th largest with
probability k / (m + 1), whatever their distribution. Beyond that the tail is taken as a power law of index
`TAIL_INDEX`: P(next > c · k-th largest) ≈ c^(-index) · k / (m + 1) (Weissman, JASA 73, 1978), solved for c.
Few values make the limit large, and honest. A case must also move more than it ever did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import median

import numpy as np

ERROR = 1e-3
"""Of one case: unchanged code is called regressed or improved at most once in 1,000 comparisons."""
TAIL_INDEX = 2.0
"""Of the power law beyond what was seen: between the heaviest tails of Triton kernels on cloud H100s (Hill
estimates of 1.3 to 2.2 over 34 runs of liger_h100) and those of a quiet machine. With it, of 12,652 changes
of other libraries' kernels between neighbouring runs there, 0.9 in 1,000 are called, some of them true."""
TOP_SHARE = 0.01
"""The tail is anchored at the largest 1 % of the controls: a single one of hundreds decides nothing alone."""
LEVEL_RUNS = 5
"""Runs up to base whose median is the level before: two outliers among them do no harm."""
LEAST_CHANGES = 5
"""Changes between earlier runs below which a history tells nothing of its scale."""
LEAST_CONTROLS = 5
"""Controls below which nothing is said of the machine, nor of a common shift."""
LONGEST_HISTORY = 50
"""Runs that are looked back at: noise of long ago was another machine's."""
SMALLEST_SCALE = 0.002
"""No case is taken as calmer than this from run to run: on an idle H200 the medians of processes differ by
0.06 % to 0.85 %, so that a calmer history is luck."""


@dataclass(frozen=True, slots=True)
class Moments:
    """One case at two moments, in any positive unit, and before: `history` holds runs before base, the oldest
    first; values that are not positive numbers are left out."""

    base: float
    head: float
    history: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What one case did between base and head. Log ratios; slower is positive."""

    change: float
    """log(head / base), the common shift taken out."""
    surprise: float
    """The signed smaller of the changes against base and against the level before; 0 where they disagree."""
    limit: float | None
    """What the noise between runs explains at `ERROR`; None where nothing is known of it."""
    changes: int
    """In its history, base included."""
    typical: float
    """Median absolute change of its history; 0 without one."""
    largest: float
    controls: int
    """Other cases that the limit comes from; 0: from its history alone."""

    @property
    def beyond(self) -> bool:
        """Whether noise between runs does not explain it."""
        return self.limit is not None and abs(self.surprise) > self.limit


@dataclass(frozen=True, slots=True)
class Steps:
    cases: Mapping[str, Step]
    shift: float
    """Log ratio that the controls have in common, 0 where there are too few."""
    controls: int


def steps_between(cases: Mapping[str, Moments], controls: Set[str]) -> Steps:
    """What each case did between two runs, and what noise explains.

    Args:
        cases: those with positive times on both sides.
        controls: which of them run provably the same code on both sides.
    """
    known = {case: _Logs.of(moments) for case, moments in cases.items()}
    control_names = sorted(case for case in known if case in controls)
    enough = len(control_names) >= LEAST_CONTROLS
    shift = median(known[case].change for case in control_names) if enough else 0.0
    shifted = {case: logs.without(shift) for case, logs in known.items()}
    seen = _Controls.of({case: shifted[case] for case in control_names})
    found = {case: logs.step(*seen.limit(case, logs)) for case, logs in shifted.items()}
    return Steps(found, shift, len(control_names))


def reach(values: int, rank: int = 1) -> float:
    """How many times the `rank`-th largest of so many values the next one stays below, but for `ERROR`."""
    return max(1.0, math.pow(rank / ((values + 1) * ERROR), 1 / TAIL_INDEX))


@dataclass(frozen=True, slots=True)
class _Logs:
    """One case: log times before, at base and at head, and the sizes of its changes up to base."""

    before: tuple[float, ...]
    """Up to and with base."""
    head: float
    sizes: tuple[float, ...]

    @classmethod
    def of(cls, moments: Moments) -> _Logs:
        usable = [value for value in moments.history if value > 0 and math.isfinite(value)]
        logs = [math.log(value) for value in (*usable[-LONGEST_HISTORY:], moments.base)]
        sizes = tuple(float(size) for size in np.abs(np.diff(logs)))
        return cls(tuple(logs), math.log(moments.head), sizes)

    def without(self, shift: float) -> _Logs:
        return _Logs(self.before, self.head - shift, self.sizes)

    @property
    def change(self) -> float:
        return self.head - self.before[-1]

    @property
    def surprise(self) -> float:
        against_level = self.head - median(self.before[-LEVEL_RUNS:])
        if self.change * against_level <= 0:
            return 0.0
        return math.copysign(min(abs(self.change), abs(against_level)), self.change)

    @property
    def known(self) -> bool:
        return len(self.sizes) >= LEAST_CHANGES

    @property
    def constant(self) -> bool:
        """A metric that never moves (memory, counts) is no measure of others' noise, nor they of its."""
        return self.known and not any(self.sizes)

    @property
    def largest(self) -> float:
        return max(self.sizes, default=0.0)

    @property
    def scale(self) -> float:
        return math.hypot(math.sqrt(self.largest * median(self.sizes)), SMALLEST_SCALE)

    @property
    def own_limit(self) -> float:
        """From its history alone."""
        return math.hypot(self.largest, SMALLEST_SCALE) * reach(len(self.sizes))

    def step(self, limit: float | None, controls: int) -> Step:
        typical = median(self.sizes) if self.sizes else 0.0
        return Step(self.change, self.surprise, limit, len(self.sizes), typical, self.largest, controls)


@dataclass(frozen=True, slots=True)
class _Controls:
    """How far the controls moved: in units of their own scale, and as they are; each the largest first."""

    scaled: tuple[tuple[float, str], ...]
    plain: tuple[tuple[float, str], ...]
    names_scaled: frozenset[str]
    names: frozenset[str]

    @classmethod
    def of(cls, controls: Mapping[str, _Logs]) -> _Controls:
        moving = {case: logs for case, logs in controls.items() if not logs.constant}
        scaled = [(abs(logs.surprise) / logs.scale, case) for case, logs in moving.items() if logs.known]
        plain = [(abs(logs.surprise), case) for case, logs in moving.items()]
        return cls(
            tuple(sorted(scaled, reverse=True)),
            tuple(sorted(plain, reverse=True)),
            frozenset(case for _, case in scaled),
            frozenset(moving),
        )

    def limit(self, case: str, logs: _Logs) -> tuple[float | None, int]:
        """The limit of a case, and how many controls it comes from. No control is judged by itself."""
        if not logs.known:
            return _tail(self.plain, case, self.names)
        if logs.constant:
            return logs.own_limit, 0
        tail, others = _tail(self.scaled, case, self.names_scaled)
        if tail is None:
            return logs.own_limit, 0
        return max(logs.scale * max(tail, 1.0), logs.largest), others


def _tail(values: Sequence[tuple[float, str]], without: str, known: Set[str]) -> tuple[float | None, int]:
    """What the next value stays below, by all values, the largest first, but that of one case."""
    others = len(values) - (without in known)
    if others < LEAST_CONTROLS:
        return None, 0
    rank = max(1, int(TOP_SHARE * others))
    top = [value for value, case in values[: rank + 1] if case != without]
    return top[rank - 1] * reach(others, rank), others
