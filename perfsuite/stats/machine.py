"""What the canaries say: whether the machine moved, rather than the code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from perfsuite.model import CaseComparison, Verdict
from perfsuite.units import format_share

SIDES_MOVED = 0.005
"""Both sides run the same canary in lockstep: apart by this much, with its whole interval off zero, and it is
the machine. Floors of the canaries on an H200 are well below."""
HISTORY_LEAST = 5
"""Earlier times of a canary without which its history says nothing."""
HISTORY_MOVED = 0.03
"""Clocks and power move an absolute time by 2 % from day to day (a 4096³ matmul on an H200)."""
_SIGMAS = 5.0
_MAD_TO_SIGMA = 1.4826


def moved_apart(canaries: Iterable[CaseComparison]) -> tuple[CaseComparison, ...]:
    """The canaries whose two sides, the same code, were not equally fast."""
    return tuple(
        canary
        for canary in canaries
        if canary.low is not None
        and canary.high is not None
        and abs(canary.change or 0.0) >= SIDES_MOVED
        and not canary.low <= 0 <= canary.high
    )


def allowance(moved: Sequence[CaseComparison], canaries: Sequence[CaseComparison] = ()) -> float:
    """How large a change the machine alone may have made: added to every threshold.

    Without bound where a pinned kernel computes wrong values: then nothing can be said.
    """
    if any(canary.verdict is Verdict.INCORRECT for canary in canaries):
        return math.inf
    return max((max(abs(c.low or 0.0), abs(c.high or 0.0)) for c in moved), default=0.0)


def machine_sentence(moved: Sequence[CaseComparison], canaries: Sequence[CaseComparison] = ()) -> str:
    """Empty where nothing moved, and every pinned kernel ran."""
    broken = [c for c in canaries if c.verdict in (Verdict.INCORRECT, Verdict.FAILED)]
    if broken:
        names = ", ".join(f"{short_name(c.case)} {c.verdict}" for c in broken)
        return f"suspect the machine: pinned code does not work any more ({names})"
    if not moved:
        return ""
    names = ", ".join(f"{short_name(c.case)} {format_share(c.change or 0.0)}" for c in moved)
    return (
        f"the machine changed between base and head: the same pinned code differs ({names}); "
        "changes that this could explain are not blamed on the code"
    )


def moved_since(now_ns: Mapping[str, float], history_ns: Mapping[str, Sequence[float]]) -> str:
    """What canaries say against their own history in the same environment; empty where it holds.

    Args:
        now_ns: canary → its median time now.
        history_ns: canary → its earlier median times, oldest first.
    """
    moved = []
    for case, time_ns in now_ns.items():
        earlier = [value for value in history_ns.get(case, ()) if value > 0 and math.isfinite(value)]
        if len(earlier) < HISTORY_LEAST or not time_ns > 0:
            continue
        middle = median(earlier)
        scatter = _MAD_TO_SIGMA * median(abs(value - middle) for value in earlier) / middle
        change = time_ns / middle - 1
        if abs(change) > max(HISTORY_MOVED, _SIGMAS * scatter):
            moved.append(f"{short_name(case)} {format_share(change)} against its last {len(earlier)} runs")
    return f"the machine changed: {', '.join(moved)}" if moved else ""


def short_name(case: str) -> str:
    """`canary memory` of `perfsuite/canary[memory]`."""
    return "canary " + case.partition("[")[2].rstrip("]") if "[" in case else case
